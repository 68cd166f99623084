"""Which TCP ports are free."""

import errno
import random
import socket
from collections.abc import Collection

from .errors import StackError

# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 on macOS). In
# that range a client that tries again and again to reach a stopped server may be given the server's own
# port, and then the server cannot come back.
LAST_SAFE_PORT = 32_767


def is_taken(host: str, port: int) -> bool:
    """Return whether a server could not listen on `host`:`port` now.

    Raises StackError when this machine has no such address, or may not use such a low port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as candidate:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise StackError(
                f"Cannot listen on {host}:{port}: {error.strerror}. FLEET_HOST must be an address of this "
                "machine, and ports below 1024 usually belong to root."
            ) from error
    # Where a listener on all addresses does not stand in the way of one on a single address (macOS), clients
    # would reach either.
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        return client.connect_ex((reachable, port)) == 0


def next_free_port(host: str, first: int, *, avoid: Collection[int] = ()) -> int:
    """Return the lowest free port from `first` on that is not in `avoid`; StackError if there is none."""
    for port in range(first, max(LAST_SAFE_PORT, first + 1_000) + 1):
        if port not in avoid and not is_taken(host, port):
            return port
    raise StackError(f"No free port on {host} from {first} on.")


def random_free_port(host: str = "127.0.0.1") -> int:
    """Return a free port far from the usual ones, so that test runs side by side rarely meet."""
    while is_taken(host, port := random.randint(20_000, LAST_SAFE_PORT)):  # noqa: S311 - keeps no secret
        pass
    return port
