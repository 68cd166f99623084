"""The bench's WebSocket against a server that is none of ours."""

import asyncio
import json
import time
from datetime import UTC, datetime

from websockets.asyncio.server import ServerConnection, serve

from tests.bench.sightings import Seen, View
from tests.bench.viewers import Viewer


async def test_a_viewer_counts_items_by_their_delay_and_echoes() -> None:
    echoed: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    measured_at = datetime.fromtimestamp(time.time() - 1, UTC)
    # Long enough for each of the three lengths of a frame's head.
    sizes = (1, 10, 2_000)

    async def server(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "snapshot", "sensors": [], "alerts": [], "truncated": False}))
        for size in sizes:
            items = [{"measured_at": measured_at.isoformat(), "value": {"x": 1}}] * size
            await socket.send(json.dumps({"type": "measurements", "sensor": "a", "items": items}))
        await socket.ping()
        await socket.send(json.dumps({"type": "gap", "dropped": 3}))
        await socket.send(json.dumps({"type": "sync", "seq": 7}))
        async for text in socket:
            echoed.put_nowait(json.loads(text))

    async with serve(server, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        loop = asyncio.get_running_loop()
        seen, ready = Seen(), loop.create_future()
        view = View(port, "token", ["network=bench"], since_s=measured_at.timestamp())
        transport, _ = await loop.create_connection(
            lambda: Viewer(view, view.queries[0], seen, ready), "127.0.0.1", port
        )
        await asyncio.wait_for(ready, 10)
        echoes = [await asyncio.wait_for(echoed.get(), 10) for _ in range(2)]
        transport.abort()

    assert echoes == [{"type": "echo", "seq": 0}, {"type": "echo", "seq": 7}]
    assert seen.items == sum(sizes)
    assert seen.left_out == 3
    assert min(seen.delays) >= 10_000
