"""To which addresses notifications may go: those of the public internet, and what NOTIFICATION_PRIVATE_TARGETS names.

Without this an operator of one network could have the service knock at what only the service reaches: its own
database, its neighbours, the metadata of a cloud.
"""

import ipaddress
import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Translates to the IPv4 address in the last 32 bits (RFC 6052).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
# IPv4-compatible, long deprecated (RFC 4291).
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")


def is_allowed(text: str) -> bool:
    """Return whether the numeric address `text` may be connected to; False for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    meant = list(_meanings(address))
    networks = _networks(tuple(settings.NOTIFICATION_PRIVATE_TARGETS))
    if any(one in network for one in meant for network in networks if one.version == network.version):
        return True
    return all(_is_public(one) for one in meant)


def addresses_of(host: str) -> list[str]:
    """Return the numeric addresses of `host`; OSError where it has none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


def parse_networks(texts: tuple[str, ...]) -> list[Network]:
    """Return the networks that `texts` name, a single address being a network of one; ValueError for anything else."""
    return [ipaddress.ip_network(text.strip(), strict=False) for text in texts]


_networks = lru_cache(maxsize=8)(parse_networks)


def _meanings(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 addresses to which it may lead."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        embedded = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64 or address in _COMPATIBLE:
            embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (one for one in embedded if one is not None)


def _is_public(address: Address) -> bool:
    if address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local:
            return False
        if address.ipv4_mapped is not None:
            # What it leads to is judged beside it; by itself it is reserved.
            return True
    return address.is_global
