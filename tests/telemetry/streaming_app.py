"""An ASGI application that streams, behind the middleware under test; its reader may stall for a second."""

import asyncio
from typing import Any

from fleet.backpressure import BackPressure

CHUNK = b"x" * 65_536
sent = 0
ended: list[str] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve /state, /whole, /fails (in the middle), /refuses (before the start) and /endless."""
    global sent  # noqa: PLW0603
    path = scope["path"]
    if path == "/refuses":
        raise RuntimeError("before the answer began")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/state":
        await send({"type": "http.response.body", "body": f"{sent} {','.join(ended)}".encode()})
        return
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        for _ in range(1_000_000 if path == "/endless" else 40):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            sent += 1
            await asyncio.sleep(0)
            if gone.done():
                raise ConnectionAbortedError
        if path == "/fails":
            raise RuntimeError("in the middle")
        await send({"type": "http.response.body"})
    except BaseException as error:
        ended.append(type(error).__name__)
        raise
    finally:
        gone.cancel()


async def _disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


application_of_this_server = BackPressure(application, stall_timeout_s=1)
