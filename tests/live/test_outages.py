"""Sockets while Redis or the database is away: they live, they are told, and nothing loops."""

import signal
import time

import pytest
import redis
from django.db import connection, transaction
from websockets.exceptions import ConnectionClosed

from sensors import services
from tests.live.receiving import channel_at
from tests.live.sending import measurement, status
from tests.live.web import open_socket

pytestmark = pytest.mark.fault


def is_gap(frame) -> bool:
    return frame["type"] == "gap"


def hear_again(sender, socket, world, *, timeout_s: float = 20.0) -> None:
    """Send until the socket hears it again; it must have been told of a gap before."""
    frames = []
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        sender.send(status(world.slug, 99, world.names[0]))
        try:
            frames += socket.receive_until(lambda frame: frame["type"] == "status" and frame["number"] == 99, 1)
        except AssertionError:
            continue
        break
    else:
        raise AssertionError("nothing was heard again")


def quiet(web) -> bool:
    """Return whether the log has no traceback, and no flood of lines."""
    text = web.text()
    return "Traceback" not in text and len(text.splitlines()) < 100


@pytest.mark.parametrize("away_s", [0.2, 6])
def test_a_killed_redis_costs_a_gap_and_no_socket(own_web, own_valkey, start_sender, make_world, away_s):
    web = own_web(REDIS_URL=own_valkey.url)
    world = make_world(1)
    sender = start_sender(own_valkey.url)
    with open_socket(web, world.viewer, sensors=world.names) as socket:
        socket.receive()
        sender.send(measurement(world.slug, 1, world.names[0]))
        socket.receive_kind("measurements")
        own_valkey.kill(signal.SIGKILL)
        sender.send(measurement(world.slug, 2, world.names[0]))
        time.sleep(away_s)
        own_valkey.start()
        # Told without anything new being sent.
        assert socket.receive_kind("gap", 15)["type"] == "gap"
        hear_again(sender, socket, world)
    assert quiet(web), web.text()[-3000:]


def test_a_hung_redis_costs_a_gap_and_no_socket(own_web, own_valkey, start_sender, make_world):
    web = own_web(REDIS_URL=own_valkey.url)
    world, other = make_world(1), make_world(1)
    sender = start_sender(own_valkey.url)
    with open_socket(web, world.viewer, sensors=world.names) as socket:
        socket.receive()
        sender.send(measurement(world.slug, 1, world.names[0]))
        socket.receive_kind("measurements")
        own_valkey.process.send(signal.SIGSTOP)
        try:
            time.sleep(2)
            sender.send(*[measurement(world.slug, i, world.names[0]) for i in range(10)])
            # Who comes meanwhile is shown the state, in time.
            for _ in range(2):
                started = time.monotonic()
                with open_socket(web, other.viewer, networks=[other.slug]) as late:
                    assert len(late.receive()["sensors"]) == 1
                assert time.monotonic() - started < 5
            time.sleep(6)
        finally:
            own_valkey.process.send(signal.SIGCONT)
        assert socket.receive_kind("gap", 15)["type"] == "gap"
        hear_again(sender, socket, world)
    assert quiet(web), web.text()[-3000:]


def test_who_comes_while_redis_is_dead_is_shown_the_state_and_hears_later(
    own_web, own_valkey, start_sender, make_world
):
    web = own_web(REDIS_URL=own_valkey.url)
    world = make_world(1)
    sender = start_sender(own_valkey.url)
    own_valkey.kill(signal.SIGKILL)
    with open_socket(web, world.viewer, sensors=world.names) as socket:
        assert [one["identifier"] for one in socket.receive(6)["sensors"]] == world.names
        sender.send(status(world.slug, 1, world.names[0]))
        time.sleep(3)
        own_valkey.start()
        assert socket.receive_kind("gap", 15)["type"] == "gap"
        hear_again(sender, socket, world)
    assert quiet(web), web.text()[-3000:]


def test_a_connection_that_redis_cuts_costs_a_gap_and_no_socket(own_web, own_valkey, start_sender, make_world):
    """As it does with a listener that does not read: client-output-buffer-limit."""
    web = own_web(REDIS_URL=own_valkey.url)
    world = make_world(1)
    sender = start_sender(own_valkey.url)
    with open_socket(web, world.viewer, sensors=world.names) as socket:
        socket.receive()
        sender.send(measurement(world.slug, 1, world.names[0]))
        socket.receive_kind("measurements")
        with redis.Redis.from_url(own_valkey.url) as client:
            assert client.client_kill_filter(_type="pubsub") == 1
        # Told without anything new being sent.
        assert socket.receive_kind("gap", 15)["dropped"] is None
        sender.send(measurement(world.slug, 2, world.names[0]))
        assert socket.receive_kind("measurements")["items"][0]["value"] == {"i": 2}
    assert quiet(web), web.text()[-3000:]


def test_a_web_process_that_stood_still_tells_of_what_it_missed(own_web, own_valkey, start_sender, make_world):
    web = own_web(REDIS_URL=own_valkey.url)
    world = make_world(1)
    sender = start_sender(own_valkey.url)
    with redis.Redis.from_url(own_valkey.url) as client:
        client.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
    text = "x" * 100_000
    large = {"network": world.slug, "sensor": world.names[0], "kind": "measurements"}
    with open_socket(web, world.viewer, sensors=world.names) as socket:
        socket.receive()
        assert web.process is not None
        web.process.send_signal(signal.SIGSTOP)
        try:
            # More than the system's buffers and Redis' own hold.
            for _ in range(40):
                sender.send(*[large | {"body": {"items": [{"value": {"text": text}}]}} for _ in range(10)])
                time.sleep(0.05)
        finally:
            web.process.send_signal(signal.SIGCONT)
        assert socket.receive_kind("gap", 20)
        hear_again(sender, socket, world)
    assert quiet(web), web.text()[-3000:]


def test_a_message_that_is_not_understood_is_a_gap(own_web, own_valkey, start_sender, make_world):
    web = own_web(REDIS_URL=own_valkey.url)
    world = make_world(1)
    sender = start_sender(own_valkey.url)
    with open_socket(web, world.viewer, sensors=world.names) as socket, redis.Redis.from_url(own_valkey.url) as client:
        socket.receive()
        for nonsense in (b"", b"\xc1", b"\x80", b"{}"):
            assert client.publish(channel_at(own_valkey.url, world.slug), nonsense) == 1
        assert socket.receive() == {"type": "gap", "dropped": None}
        sender.send(measurement(world.slug, 1, world.names[0]))
        assert socket.receive_kind("measurements")["items"][0]["value"] == {"i": 1}
    assert quiet(web), web.text()[-3000:]


def test_while_the_database_cannot_say_a_socket_ends_in_time(own_web, make_world):
    web = own_web(LIVE_RECHECK_S="1")
    world = make_world(1)
    _, secret = services.create_token(world.viewer, days=1)
    with open_socket(web, secret=secret, sensors=world.names) as socket:
        socket.receive()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE sensors_accesstoken IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(ConnectionClosed) as ended:
                socket.receive(10)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 4503
    with open_socket(web, secret=secret, sensors=world.names) as socket:
        assert len(socket.receive()["sensors"]) == 1
