"""A reader who stops reading harms nobody, fills no memory, and is told what it missed."""

import secrets
import socket as sockets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from fleet.live import outbox
from sensors import live
from tests.live.web import Socket, WebProcess, open_socket

TEXT_BYTES = 20_000
EVERY_S = 0.01


def open_narrow(web: WebProcess, world: Any) -> Socket:
    """Return a socket whose system buffers hold little, so that not reading shows soon."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 8192)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", web.port))
    raw.settimeout(None)
    return open_socket(web, world.viewer, networks=[world.slug], sock=raw, max_queue=1, ping_interval=None)


@contextmanager
def flood(world: Any) -> Iterator[dict[str, int]]:
    """Send about 2 MB/s of measurements of all of the world's sensors until the block ends."""
    state = {"sent": 0}
    ending = threading.Event()
    text = secrets.token_hex(TEXT_BYTES // 2)

    def run() -> None:
        while not ending.wait(EVERY_S):
            number = state["sent"]
            name = world.names[number % len(world.names)]
            live.send_measurements(world.slug, name, [{"value": {"i": number, "at": time.time(), "text": text}}])
            state["sent"] = number + 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield state
    finally:
        ending.set()
        thread.join()


def read_for(reader: Socket, seconds: float, *, echo: bool) -> tuple[list[float], list[dict[str, Any]]]:
    """Return how late each measurement was, in seconds, and all frames; answers syncs if asked to."""
    late, frames = [], []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            frame = reader.receive(left)
        except TimeoutError:
            break
        frames.append(frame)
        if frame["type"] == "sync" and echo:
            reader.send(type="echo", seq=frame["seq"])
        if frame["type"] == "measurements":
            late += [time.time() - item["value"]["at"] for item in frame["items"]]
    return late, frames


@pytest.mark.parametrize("echoes", [True, False], ids=["echoes", "never echoes"])
@pytest.mark.fault
def test_one_that_stops_reading_harms_nobody(own_web, make_world, echoes, long):
    web = own_web(LIVE_RECHECK_S="10")
    world = make_world(4)
    process = psutil.Process(web.process.pid)
    with open_narrow(web, world) as slow, open_socket(web, world.viewer, networks=[world.slug]) as quick:
        for reader in (slow, quick):
            reader.receive()
        quick.send(type="echo", seq=0)
        if echoes:
            slow.send(type="echo", seq=0)
        with flood(world) as sent:
            # Everybody reads for a moment, so that both are known for what they are.
            threads = [
                threading.Thread(target=read_for, args=(slow, 2), kwargs={"echo": echoes}),
                threading.Thread(target=read_for, args=(quick, 2), kwargs={"echo": True}),
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            before = process.memory_info().rss
            # Longer than anything that could hide it; with --long until the server's ping has cut it off.
            late, frames = read_for(quick, 60 if long else 8, echo=True)
            grown = process.memory_info().rss - before
        late.sort()
        assert len(late) > 0.9 * sent["sent"] * (8 / 10) * 0.9
        assert late[len(late) // 2] < 0.1
        assert late[int(len(late) * 0.99)] < 1
        assert not [frame for frame in frames if frame["type"] == "gap"]
        # About 16 MB were sent to each.
        bound = outbox.WINDOW_BYTES if echoes else outbox.RATE_BURST_BYTES + 50 * outbox.RATE_BYTES_PER_S
        assert grown < bound + outbox.QUEUE_BYTES + outbox.NEWEST_BYTES + 12_000_000, grown


def test_one_that_comes_back_is_told_what_it_missed_and_sees_the_newest(web: WebProcess, make_world):
    world = make_world(2)
    with open_narrow(web, world) as slow:
        slow.receive()
        slow.send(type="echo", seq=0)
        with flood(world) as sent:
            read_for(slow, 1, echo=True)
            time.sleep(4)
        _, frames = read_for(slow, 5, echo=True)
    gaps = [frame for frame in frames if frame["type"] == "gap"]
    seen = [item["value"]["i"] for frame in frames if frame["type"] == "measurements" for item in frame["items"]]
    assert gaps
    assert sum(gap["dropped"] for gap in gaps) > 50
    # The last values of both sensors, and nothing out of order.
    assert seen[-2:] == [sent["sent"] - 2, sent["sent"] - 1] or sorted(seen[-2:]) == [
        sent["sent"] - 2,
        sent["sent"] - 1,
    ]
    for name in range(2):
        own = [number for number in seen if number % 2 == name]
        assert own == sorted(own)


def test_one_that_keeps_up_gets_everything(web: WebProcess, make_world):
    world = make_world(3)
    with open_socket(web, world.viewer, networks=[world.slug]) as reader:
        reader.receive()
        reader.send(type="echo", seq=0)
        with flood(world) as sent:
            _, frames = read_for(reader, 4, echo=True)
        _, rest = read_for(reader, 1, echo=True)
    frames += rest
    assert not [frame for frame in frames if frame["type"] == "gap"]
    assert [f for f in frames if f["type"] == "sync"]
    seen = [item["value"]["i"] for frame in frames if frame["type"] == "measurements" for item in frame["items"]]
    assert sorted(seen) == list(range(sent["sent"]))


@pytest.mark.fault
def test_a_socket_that_answers_no_ping_is_cut(own_web, make_world):
    web = own_web(ping_interval_s=2, ping_timeout_s=3)
    world = make_world(1)
    with open_narrow(web, world) as slow:
        slow.receive()
        with flood(world):
            # Reads nothing: the pings stay behind what was sent.
            deadline = time.monotonic() + 20
            while "WSDISCONNECT" not in web.text():
                assert time.monotonic() < deadline
                time.sleep(0.1)
