"""Django's ASGI handler with one change of threads a request.

Django's own gives each request a new thread and changes between it and the event loop up to five times: for
the signal at the start, the middleware, the view, and the signal at the end. Each change wakes another thread and
waits for the interpreter's lock: together 1.5 of the 7 ms of a short answer. Here a request is served from its first
signal to its last in one thread of a lasting pool; only streams go on in the event loop.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import django
from asgiref.sync import sync_to_async
from django.apps import apps
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import set_script_prefix

# Far more than there are database connections: a request that waits for one keeps no probe from being answered.
# They are made when needed.
MAX_THREADS: Final = 200

AnyResponse = HttpResponse | StreamingHttpResponse


class ThreadedHandler(ASGIHandler):
    """Serves HTTP; middleware and views run in a thread, and async views in the event loop as ever."""

    def __init__(self) -> None:
        super().__init__()
        threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="http")
        self._in_thread = sync_to_async(self._respond, thread_sensitive=False, executor=threads)
        self._close_in_thread = sync_to_async(_close, thread_sensitive=False, executor=threads)

    def load_middleware(self, is_async: bool = False) -> None:
        """Load the chain for one thread, whatever Django asks for."""
        super().load_middleware(is_async=False)

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve one request."""
        try:
            body_file = await self.read_body(receive)
        except RequestAborted:
            return
        try:
            response = await self._in_thread(_with_length(scope, body_file), body_file)
            if response.streaming:
                await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)
        finally:
            body_file.close()

    def _respond(self, scope: dict[str, Any], body_file: Any) -> AnyResponse:
        """Return the response; all that the request held in this thread is given back, unless it is a stream."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, error_response = self.create_request(scope, body_file)
        response: Any = error_response if request is None else self.get_response(request)
        response._handler_class = self.__class__
        if response.streaming:
            # The stream may last for minutes and go on in any thread; this one's connection is free for others.
            close_old_connections()
        else:
            # Its content is complete: what follows needs neither the request nor the database.
            response.close()
        return response

    async def _stream(self, response: AnyResponse, receive: Any, send: Any) -> None:
        """Send a stream until it ends or its reader goes."""
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leaving, sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RequestAborted):
                await leaving
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await sending
            finally:
                await self._close_in_thread(response)


def get_application() -> ThreadedHandler:
    """Return the HTTP application; Django is set up on the way."""
    # Again, it would configure the logs anew under loggers that are in use.
    if not apps.ready:
        django.setup(set_prefix=False)
    return ThreadedHandler()


def _with_length(scope: dict[str, Any], body_file: Any) -> dict[str, Any]:
    """Return `scope` with the length of a body that came in chunks, which has no header that says it.

    Django REST framework takes a body of unknown length for an empty one, and the limit of a body's length is
    that of its header.
    """
    if any(name == b"content-length" for name, _ in scope["headers"]):
        return scope
    length = body_file.seek(0, 2)
    body_file.seek(0)
    return {**scope, "headers": [*scope["headers"], (b"content-length", b"%d" % length)]} if length else scope


def _close(response: AnyResponse) -> None:
    response.close()
