"""Streams over HTTP go as fast as their reader reads, and one that fails never looks complete.

daphne takes whatever an application sends into memory, at once and without bound. When an application fails in
the middle of a response, daphne tries to send a second one, fails at that, and from then on no longer cleans up
after any connection. Both are put right here, by the public interface of the Twisted request behind daphne's
`send`; on another server this does nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
from twisted.web.http import Request

log = structlog.get_logger(__name__)

# A reader who takes nothing for so long is gone; until then a stream keeps what it reads from open.
STALL_TIMEOUT_S: Final = 60.0

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


class ReaderStalledError(Exception):
    """The reader of a stream has taken nothing for too long."""


class BackPressure:
    """ASGI middleware around the HTTP application: `BackPressure(get_asgi_application())`."""

    def __init__(self, application: Application, *, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        self._application = application
        self._stall_timeout_s = stall_timeout_s

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        """Serve one request."""
        request = _twisted_request(send)
        if request is None:
            await self._application(scope, receive, send)
            return
        response = _PacedResponse(request, send, self._stall_timeout_s)
        try:
            await self._application(scope, receive, response.send)
        except Exception as error:
            if not response.unfinished:
                raise
            log.exception("a stream broke off", path=scope.get("path"), error=type(error).__name__)
        finally:
            response.release()
            if response.unfinished:
                response.abort()


class _PacedResponse:
    """One response; the producer (twisted.internet.interfaces.IPushProducer) of its connection."""

    def __init__(self, request: Any, send: Send, stall_timeout_s: float) -> None:
        self._request = request
        self._send = send
        self._stall_timeout_s = stall_timeout_s
        self._writable = asyncio.Event()
        self._writable.set()
        self._registered = False
        # Begun, and not yet brought to its end.
        self.unfinished = False

    async def send(self, message: Message) -> None:
        """Send one message, and return when the connection can take the next one."""
        if message["type"] == "http.response.start":
            self.unfinished = True
        elif not message.get("more_body", False):
            self.release()
            self.unfinished = False
        elif not self._registered and self._request.channel is not None:
            self._registered = True
            self._request.registerProducer(self, True)
        await self._send(message)
        try:
            async with asyncio.timeout(self._stall_timeout_s):
                await self._writable.wait()
        except TimeoutError as error:
            raise ReaderStalledError(f"nothing was read for {self._stall_timeout_s:g} s") from error

    def abort(self) -> None:
        """Break the connection off: without its last chunk the reader knows that something is missing."""
        if self._request.channel is not None:
            self._request.channel.transport.abortConnection()

    def release(self) -> None:
        """Stop being the connection's producer, so that it can serve another request."""
        if self._registered:
            self._registered = False
            if self._request.channel is not None:
                self._request.unregisterProducer()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """Take note that the connection's buffer is full."""
        self._writable.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        """Take note that the connection's buffer is empty."""
        self._writable.set()

    def stopProducing(self) -> None:  # noqa: N802
        """Take note that the connection is closed; daphne tells the application."""
        self._writable.set()


def _twisted_request(send: Send) -> Any:
    """Return the request behind daphne's `send`, which is bound to it; None on another server."""
    if isinstance(send, partial) and send.args and isinstance(send.args[0], Request):
        return send.args[0]
    return None
