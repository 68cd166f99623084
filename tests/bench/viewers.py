"""`python -m tests.bench.viewers`: viewers of live data, many WebSockets in one cheap process.

Input and output are lines of JSON. It reads a `View`, prints "ready" when every viewer has its snapshot, reads since
when to count (Unix seconds), and at the next line prints `Seen` and ends. Frames are read by hand: a library would
cost more than what is measured.
"""

import asyncio
import base64
import json
import os
import sys
import time
from typing import Any, Final

import msgspec

from tests.bench.sightings import BUCKETS_PER_MS, Frame, Seen, View

_READY_S: Final = 60.0
_TEXT, _PING, _PONG = 0x1, 0x9, 0xA
_FIRST_ECHO: Final = {"type": "echo", "seq": 0}

_decode: Final = msgspec.json.Decoder(Frame).decode


class Viewer(asyncio.Protocol):
    """One WebSocket (RFC 6455) that echoes as the dashboard does and counts how late items are."""

    def __init__(self, view: View, query: str, seen: Seen, ready: "asyncio.Future[None]") -> None:
        self._view = view
        self._query = query
        self._seen = seen
        self._ready = ready
        self._open = False
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands (4.1)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /ws/live/?{self._query} HTTP/1.1\r\nHost: 127.0.0.1:{self._view.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {self._view.token}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so if it was not open yet, else note that a viewer is gone."""
        self._seen.lost += 1
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(f"a viewer was refused: {self._buffer[:200]!r}"))

    def data_received(self, data: bytes) -> None:
        """Take the whole frames that are there (5.2); the server's are not masked."""
        now_s = time.time()
        buffer = self._buffer + data
        if not self._open:
            head, end, rest = buffer.partition(b"\r\n\r\n")
            if not end or not head.startswith(b"HTTP/1.1 101"):
                self._buffer = buffer
                return
            self._open = True
            buffer = rest
            self._send(_TEXT, json.dumps(_FIRST_ECHO).encode())
        position = 0
        while len(buffer) - position >= 2:
            size, start = buffer[position + 1] & 0x7F, position + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, start = int.from_bytes(buffer[start : start + width], "big"), start + width
            if len(buffer) < start + size:
                break
            self._take(buffer[position] & 0x0F, buffer[start : start + size], now_s)
            position = start + size
        self._buffer = buffer[position:]

    def _take(self, opcode: int, payload: bytes, now_s: float) -> None:
        if opcode == _PING:
            self._send(_PONG, payload)
        if opcode != _TEXT:
            return
        frame = _decode(payload)
        self._seen.frames += 1
        if frame.type == "measurements":
            for item in frame.items:
                self._note(now_s, item.measured_at.timestamp())
        elif frame.type == "sync":
            self._send(_TEXT, json.dumps({"type": "echo", "seq": frame.seq}).encode())
        elif frame.type == "gap":
            self._seen.left_out += frame.dropped or 0
        elif frame.type == "snapshot" and not self._ready.done():
            self._ready.set_result(None)

    def _note(self, now_s: float, measured_s: float) -> None:
        if self._view.since_s is not None and measured_s >= self._view.since_s:
            bucket = int((now_s - measured_s) * 1_000 * BUCKETS_PER_MS)
            self._seen.delays[bucket] = self._seen.delays.get(bucket, 0) + 1

    def _send(self, opcode: int, payload: bytes) -> None:
        assert self._transport is not None
        assert len(payload) < 126
        # Clients must mask (5.3); a mask of zeros changes nothing.
        self._transport.write(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)


async def look(view: View) -> Seen:
    """Open the sockets, and return what was seen between the next two lines of input."""
    loop = asyncio.get_running_loop()
    seen = Seen()
    for query in view.queries:
        ready: asyncio.Future[None] = loop.create_future()

        def make(query: str = query, ready: "asyncio.Future[None]" = ready) -> Viewer:
            return Viewer(view, query, seen, ready)

        await loop.create_connection(make, "127.0.0.1", view.port)
        await asyncio.wait_for(ready, _READY_S)
    print("ready", flush=True)
    view.since_s = float(await next_line())
    seen.frames = seen.left_out = 0
    await next_line()
    return seen


async def next_line() -> str:
    """Return the next line of input, or end when there is none: the bench is gone."""
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if not line:
        os._exit(0)
    return line


def main() -> None:
    """Serve one `View`."""
    view = msgspec.json.decode(sys.stdin.readline(), type=View)
    seen: Any = asyncio.run(look(view))
    print(msgspec.json.encode(seen).decode(), flush=True)


if __name__ == "__main__":
    main()
