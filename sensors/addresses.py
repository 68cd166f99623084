"""Where a request comes from: its address, and under what it is counted."""

import ipaddress
from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle


def client_address(request: HttpRequest | Request) -> str:
    """Return the address that the request comes from, behind NUM_PROXIES proxies.

    Empty where it is none: a socket of this machine has none, and a client may write anything into a header.
    """
    try:
        return str(ipaddress.ip_address((BaseThrottle().get_ident(cast(Request, request)) or "").strip()))
    except ValueError:
        return ""


def origin(address: str | None) -> str:
    """Return under what an address is counted: of IPv6 its /64, of which every host may use all addresses."""
    try:
        found = ipaddress.ip_address((address or "").strip())
    except ValueError:
        return address or ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))
