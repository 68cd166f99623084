"""The short way out of daphne is taken there, and nowhere else."""

import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from fleet.live.wire import direct_writer
from sensors import live
from tests.live.web import ROOT, WebProcess, open_socket

# In a process of its own: daphne installs Twisted's reactor.
PROBE = """
from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from fleet.live.wire import direct_writer

sends = []


async def application(scope, receive, send):
    sends.append(send)


def connect(extensions):
    server = Server(application, endpoints=["tcp:0"])
    protocol = WebSocketProtocol()
    protocol.websocket_extensions_in_use = extensions
    protocol.state = WebSocketProtocol.STATE_OPEN
    protocol.sendData = written.append
    server.connections = {protocol: {}}
    import asyncio

    async def run():
        server.create_application(protocol, {"type": "websocket"})
        await asyncio.sleep(0)

    asyncio.run(run())
    return protocol, direct_writer(sends.pop())


written = []
protocol, write = connect([])
write(b"one")
protocol.state = WebSocketProtocol.STATE_CLOSING
write(b"two")
_, compressed = connect(["permessage-deflate"])
print(written, compressed)
"""


def test_daphne_is_written_to_directly_while_open_and_without_extensions():
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[b'one'] None", 0), done.stderr


@pytest.mark.parametrize("send", [print, partial(print), partial(print, object())])
def test_on_another_server_there_is_no_short_way(send: Any):
    assert direct_writer(send) is None


def test_frames_of_all_lengths_arrive_whole(web: WebProcess, make_world):
    world = make_world(1)
    texts = ["", "x", "ü" * 60, "x" * 70_000, "y" * 300]
    with open_socket(web, world.viewer, networks=[world.slug]) as socket:
        socket.receive()
        for text in texts:
            live.send_alert(world.slug, alert={"id": len(text), "sensor": None, "text": text})
        frames = [socket.receive() for _ in texts]
    assert [frame["text"] for frame in frames] == texts


def test_any_asgi_server_will_do(own_web, make_world):
    web = own_web(application="tests.live.plain_asgi:application")
    world = make_world(1)
    texts = ["", "x", "ü" * 60, "x" * 70_000, *map(str, range(40))]
    with open_socket(web, world.viewer, networks=[world.slug]) as socket:
        assert socket.receive()["type"] == "snapshot"
        socket.send(type="echo", seq=0)
        # Answered after the echo.
        socket.send(type="subscribe", sensors=world.names)
        assert socket.receive()["type"] == "snapshot"
        for number, text in enumerate(texts):
            live.send_alert(world.slug, alert={"id": number, "sensor": None, "text": text})
        frames = [socket.receive() for _ in range(len(texts) + 1)]
    assert [frame["text"] for frame in frames if frame["type"] == "alert"] == texts
    assert [frame["seq"] for frame in frames if frame["type"] == "sync"] == [1]
