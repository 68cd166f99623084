"""`/ws/live/`: what it answers to nonsense, and who is not disturbed by it."""

import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from sensors import live
from tests.live.web import AT, WebProcess, closed_with, open_socket


class TestNonsense:
    @pytest.mark.parametrize(
        "message",
        [
            "",
            "{",
            "[]",
            "null",
            '"subscribe"',
            "{}",
            '{"type": 1}',
            '{"type": "dance"}',
            '{"type": "subscribe", "sensors": "a"}',
            '{"type": "subscribe", "sensors": [1]}',
            '{"type": "echo", "seq": "x"}',
            b"\xff\xfe\x00",
            b"",
            "[" * 60_000,
        ],
    )
    def test_it_is_answered_by_an_error(self, web: WebProcess, make_world, message):
        world = make_world(1)
        with open_socket(web, world.viewer) as socket:
            socket.receive()
            socket.connection.send(message)
            error = socket.receive()
            assert (error["type"], error["code"]) == ("error", "malformed")
            socket.send(type="subscribe", sensors=world.names)
            assert len(socket.receive()["sensors"]) == 1

    def test_a_message_over_64_kib_is_answered_by_an_error(self, web: WebProcess, make_world):
        with open_socket(web, make_world().viewer) as socket:
            socket.receive()
            socket.send(type="subscribe", sensors=["x" * 64] * 1000)
            assert socket.receive()["code"] == "too_long"

    def test_names_that_no_sensor_can_have_are_not_found(self, web: WebProcess, make_world):
        with open_socket(web, make_world().viewer) as socket:
            socket.receive()
            socket.send(type="subscribe", sensors=["a\x00b", "", "é", "x" * 300, "a b"], networks=["\x00", "UPPER"])
            assert socket.receive() == {"type": "snapshot", "sensors": [], "alerts": [], "truncated": False}
            assert [socket.receive()["code"] for _ in range(2)] == ["not_found", "not_found"]

    def test_more_than_a_thousand_subscriptions_are_refused_as_a_whole(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names) as socket:
            socket.receive()
            socket.send(type="subscribe", sensors=[f"x{i}" for i in range(1000)])
            assert socket.receive()["type"] == "snapshot"
            assert socket.receive()["code"] == "too_many"
            socket.send(type="subscribe", sensors=world.names)
            assert len(socket.receive()["sensors"]) == 1

    def test_a_flood_of_messages_ends_the_socket_and_nothing_else(self, web: WebProcess, make_world):
        world = make_world(1)
        with open_socket(web, world.viewer, sensors=world.names) as neighbour, open_socket(web, world.viewer) as socket:
            neighbour.receive()
            message = json.dumps({"type": "subscribe", "sensors": world.names})
            with contextlib.suppress(ConnectionClosed):
                for _ in range(20_000):
                    socket.connection.send(message)
            assert closed_with(socket) == 4429
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert neighbour.receive_kind("status")["sensor"] == world.names[0]

    def test_a_client_that_vanishes_leaves_nothing_behind(self, web: WebProcess, make_world):
        world = make_world(1)
        for _ in range(20):
            socket = open_socket(web, world.viewer, networks=[world.slug])
            socket.connection.socket.close()
        with open_socket(web, world.viewer, networks=[world.slug]) as socket:
            socket.receive()
            live.send_status(world.slug, world.names[0], status="up", last_seen_at=AT)
            assert socket.receive_kind("status")
