"""Watches every connection that the delivery of a notification makes, at the moment when it is made.

An address that was looked at before may be another one when it is used (DNS rebinding), and a server may send the
client elsewhere (redirects). Python asks its audit hooks in `connect` itself, with the numeric address at hand,
whichever library is calling (PEP 578). A hook cannot be taken away, so it is a single one, and it minds nothing but
what happens inside `with Guard(…)`.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final

from alerts.delivery.hosts import is_allowed

_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})


class ForbiddenAddress(PermissionError):  # noqa: N818 - says what it is
    """The delivery would have connected to an address that is not public. An OSError, so that libraries clean up."""


class Guard:
    """Inside its block connections go to allowed addresses only, and none is made after `time_s`.

    Holds for the block's own thread, and for what takes over its context (`contextvars`); not for threads that
    libraries start without it. refused: the first address that was not allowed, or "".
    """

    def __init__(self, *, time_s: float) -> None:
        self.refused = ""
        self._ends_s = time.monotonic() + time_s
        self._is_over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._token: Token[Guard | None] | None = None

    def __enter__(self) -> "Guard":
        _install()
        self._token = _active.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._token is not None
        _active.reset(self._token)
        self.end()

    def end(self) -> None:
        """End what is still connected, from any thread: who reads from it fails at once. Nothing connects any more."""
        with self._lock:
            self._is_over = True
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def look(self, event: str, sock: socket.socket, address: Any) -> None:
        """Raise ForbiddenAddress unless `sock` may go to `address`, TimeoutError after the end."""
        # Already connected: its address was looked at then.
        if address is None:
            return
        host = address[0] if isinstance(address, tuple) and address else ""
        # A name would be resolved once more on the way; only numbers are sure.
        if not isinstance(host, str) or not is_allowed(host):
            self.refused = self.refused or str(host or "a local socket")[:100]
            raise ForbiddenAddress(f"notifications may not go to {self.refused}")
        if event == "socket.connect":
            self._keep(sock)

    def _keep(self, sock: socket.socket) -> None:
        """Remember the connection by a descriptor of its own, which outlives TLS taking over the socket's."""
        with self._lock:
            if self._is_over or time.monotonic() > self._ends_s:
                raise TimeoutError("the delivery has had its time")
            self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))


_active: ContextVar[Guard | None] = ContextVar("notification_guard", default=None)
_installing = threading.Lock()
_is_installed = False


def _install() -> None:
    global _is_installed  # noqa: PLW0603 - a hook is there once a process and for ever
    with _installing:
        if not _is_installed:
            sys.addaudithook(_hook)
            _is_installed = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every event of the process: imports, files, everything.
    if event in _EVENTS and (guard := _active.get()) is not None:
        guard.look(event, arguments[0], arguments[1])
