"""Handshakes of tests: with a version of TLS of one's choice, where a system would no longer offer it."""

import socket
import ssl
import warnings
from pathlib import Path
from typing import Final

# As of a careless system: everything that OpenSSL can still do.
PERMISSIVE: Final = """\
openssl_conf = all
[all]
ssl_conf = modules
[modules]
system_default = defaults
[defaults]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""


def permissive_context(version: ssl.TLSVersion, *, ca_file: Path) -> ssl.SSLContext:
    """Return a client's context that speaks `version` and no other, with any cipher."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        # Python says that TLS 1.1 is deprecated, which is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    return context


def handshake(port: int, context: ssl.SSLContext, *, host: str = "127.0.0.1") -> str | None:
    """Return the version that server and client agree on; raises OSError when they do not."""
    with (
        socket.create_connection((host, port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as secure,
    ):
        return secure.version()
