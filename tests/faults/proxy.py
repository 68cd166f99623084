"""A TCP proxy whose connections a test cuts as a bad network does, and that counts what the bridge acknowledges."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

Result = TypeVar("Result")

# MQTT 3.1.1, table 2.1: the packet type is the upper half of the first byte.
PUBACK = 4
# Closing with this set sends RST and forgets what was to be sent (tcp(7), socket(7)).
ABRUPT = struct.pack("ii", 1, 0)


class Packets:
    """Counts a client's MQTT packets by type, from its bytes in whatever pieces they come (MQTT 3.1.1, 2.2.3)."""

    def __init__(self, counts: dict[int, int]) -> None:
        self._counts = counts
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self._buffer += data
        while (end := self._end()) is not None:
            kind = self._buffer[0] >> 4
            self._counts[kind] = self._counts.get(kind, 0) + 1
            del self._buffer[:end]

    def _end(self) -> int | None:
        """Return where the first packet ends, None if it is not all here."""
        length = 0
        for place in range(1, min(len(self._buffer), 5)):
            length |= (self._buffer[place] & 0x7F) << (7 * (place - 1))
            if self._buffer[place] < 0x80:
                end = place + 1 + length
                return end if len(self._buffer) >= end else None
        return None


class Proxy:
    """Listens on a free port of loopback and passes on to a server; pushes back where a side does not read."""

    def __init__(self, url: str, *, mqtt: bool = False) -> None:
        """url: of the server. mqtt: count the packets that clients send."""
        self._parts = urlsplit(url)
        self._mqtt = mqtt
        self._refusing = False
        self._sent: dict[int, int] = {}
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._ghosts: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = server.result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Return the server's address by way of this proxy."""
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def packets(self, kind: int) -> int:
        """Return how many MQTT packets of this type clients have sent."""
        return self._sent.get(kind, 0)

    def reset(self) -> int:
        """Cut all connections by RST on both sides; return how many there were."""
        return self._in_loop(self._reset, server_too=True)

    def forget_clients(self) -> int:
        """Cut all connections by RST on the clients' side; the server is told nothing, as after a power cut."""
        return self._in_loop(self._reset, server_too=False)

    @contextmanager
    def resetting(self, *, every_s: float) -> Iterator[list[int]]:
        """Reset again and again meanwhile; the list grows by the number of connections of each time."""
        ending = threading.Event()
        cut: list[int] = []

        def work() -> None:
            while not ending.wait(every_s):
                cut.append(self.reset())

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield cut
        finally:
            ending.set()
            thread.join()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Accept no connection meanwhile; those that there are stay."""
        self._refusing = True
        try:
            yield
        finally:
            self._refusing = False

    def close(self) -> None:
        """Cut everything and end."""
        self._in_loop(self._server.close)
        self.reset()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for ghost in self._ghosts:
            _abort(ghost)
        # Each of them ends with its connection.
        if tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(tasks, timeout=5)

    def _in_loop(self, work: Callable[..., Result], **options: Any) -> Result:
        async def run() -> Result:
            return work(**options)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _reset(self, *, server_too: bool) -> int:
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            _abort(client)
            if server_too:
                _abort(server)
            else:
                self._ghosts.append(server)
        return len(pairs)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            if self._refusing:
                raise ConnectionRefusedError
            from_server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        except OSError:
            _abort(to_client)
            return
        pair = (to_client, to_server)
        self._pairs.append(pair)
        packets = Packets(self._sent) if self._mqtt else None
        upstream = asyncio.create_task(_pass_on(from_client, to_server, packets))
        downstream = asyncio.create_task(_pass_on(from_server, to_client, None))
        try:
            await asyncio.wait((upstream, downstream), return_when=asyncio.FIRST_COMPLETED)
        finally:
            upstream.cancel()
            downstream.cancel()
            if pair in self._pairs:  # one side ended by itself
                self._pairs.remove(pair)
                to_client.close()
                to_server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, packets: Packets | None) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            if packets is not None:
                packets.feed(data)
            writer.write(data)
            await writer.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
    writer.transport.abort()
