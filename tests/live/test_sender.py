"""`sensors.live` against a real Valkey: what arrives, what is counted, and that nobody waits."""

import asyncio
import json
import multiprocessing
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil
import pytest
import redis.asyncio
from django.conf import settings

from sensors import live
from sensors.live.sender import ITEMS_AT_ONCE
from tests.live.web import ROOT

AT = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def channel_at(redis_url: str, network: str) -> str:
    """Return what processes with this REDIS_URL call the network's channel.

    Not `live.channel_of`, which goes by this process' REDIS_URL: workers of pytest-xdist have a database each, and a
    Redis of a test's own is used with database 0.
    """
    database = urlsplit(redis_url).path.removeprefix("/")
    return f"fleet.live.{database}.{network}"


class Receiver:
    """Hears a network's channel in Redis."""

    def __init__(self, network: str, redis_url: str | None = None) -> None:
        redis_url = redis_url or settings.REDIS_URL
        self.channel = channel_at(redis_url, network)
        self.pubsub = redis.asyncio.from_url(redis_url).pubsub()

    async def join(self) -> "Receiver":
        await self.pubsub.subscribe(self.channel)
        assert (await self._reply(10))["type"] == "subscribe"
        return self

    async def leave(self) -> None:
        await self.pubsub.unsubscribe(self.channel)
        assert (await self._reply(10))["type"] == "unsubscribe"

    async def next(self, timeout_s: float = 10.0) -> dict[str, Any]:
        reply = await self._reply(timeout_s)
        assert reply["type"] == "message"
        return msgspec.msgpack.decode(reply["data"])

    async def until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 10.0) -> list[dict[str, Any]]:
        messages = []
        async with asyncio.timeout(timeout_s):
            while not messages or not wanted(messages[-1]):
                messages.append(await self.next(timeout_s))
        return messages

    async def _reply(self, timeout_s: float) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            while True:
                if reply := await self.pubsub.get_message(timeout=timeout_s):
                    return reply


@pytest.fixture
def network() -> str:
    return f"n-{secrets.token_hex(6)}"


def frames(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(text) for message in messages for *_, text in message["frames"]]


def items(messages: list[dict[str, Any]]) -> list[Any]:
    return [item["value"]["i"] for frame in frames(messages) for item in frame["items"]]


def dropped(messages: list[dict[str, Any]]) -> int:
    return sum(sum(message["dropped"].values()) for message in messages)


async def test_a_lone_event_arrives_at_once(network):
    receiver = await Receiver(network).join()
    # The first one also opens the connection.
    live.send_status(network, "s", status="up", last_seen_at=AT)
    await receiver.next()
    took_s = []
    for _ in range(20):
        await asyncio.sleep(0.06)
        started = time.perf_counter()
        live.send_status(network, "s", status="up", last_seen_at=AT)
        await receiver.next()
        took_s.append(time.perf_counter() - started)
    assert sorted(took_s)[10] < 0.03


async def test_items_of_one_sensor_and_flush_are_one_frame(network):
    receiver = await Receiver(network).join()
    for i in range(100):
        live.send_measurements(network, f"s{i % 2}", [{"value": {"i": i}}])
    messages = await receiver.until(lambda message: message["upto"] == 100)
    assert sorted(items(messages)) == list(range(100))
    assert len(messages) <= 10
    assert all(
        kind == "measurements" and count == text.count('"i"') for m in messages for _, kind, count, text in m["frames"]
    )


async def test_of_states_about_the_same_thing_the_newest_is_sent(network):
    receiver = await Receiver(network).join()
    for revision in (1, 2):
        for state in ("pending", "published", "acknowledged"):
            live.send_configuration(network, "s", revision=revision, state=state)
    for number in range(50):
        live.send_alert(network, alert={"id": 5, "sensor": "s", "value": number})
    messages = await receiver.until(lambda m: any('"value":49' in text for *_, text in m["frames"]))
    last = {(frame["type"], frame.get("revision", frame.get("id"))): frame for frame in frames(messages)}
    assert last["configuration", 1]["state"] == last["configuration", 2]["state"] == "acknowledged"
    assert len(frames(messages)) < 12
    assert dropped(messages) == 0


async def test_more_items_than_a_frame_holds_are_counted(network):
    receiver = await Receiver(network).join()
    most = live.ITEMS_PER_FRAME
    live.send_measurements(network, "s", [{"value": {"i": i}} for i in range(5 * most)])
    live.send_event(network=network, sensor="t", kind="measurements", body={"items": []}, dropped=7)
    messages = await receiver.until(lambda message: message["upto"] == 5 * most + 7)
    assert items(messages) == list(range(4 * most, 5 * most))
    counted = {sensor: n for message in messages for sensor, n in message["dropped"].items()}
    assert counted == {"s": 4 * most, "t": 7}


async def test_a_batch_too_large_for_one_message_is_split_and_stays_in_order(network):
    receiver = await Receiver(network).join()
    text = "x" * 100_000
    for i in range(30):
        live.send_measurements(network, f"s{i}", [{"value": {"i": i, "text": text}}])
    messages = await receiver.until(lambda message: message["upto"] == 30)
    assert items(messages) == list(range(30))
    assert max(sum(len(text) for *_, text in m["frames"]) for m in messages) <= live.MESSAGE_BYTES + 101_000


async def test_numbers_have_no_holes_and_a_closing_message_says_so_at_the_end(network):
    receiver = await Receiver(network).join()
    for i in range(5):
        live.send_measurements(network, "s", [{"value": {"i": i}}])
        await asyncio.sleep(0.02)
    messages = await receiver.until(lambda message: not message["frames"])
    known = 0
    for message in messages:
        assert message["upto"] == known + message["events"]
        known = message["upto"]
    assert known == 5


async def test_what_cannot_be_encoded_harms_nobody(network, caplog):
    receiver = await Receiver(network).join()
    live.send_measurements(network, "s", [{"value": {"i": "\ud800"}}])
    live.send_event(network=network, sensor="s", kind="measurements", body={})
    live.send_measurements(network, "s", [{"value": {"i": 10**400}}])
    live.send_measurements(network, "s", [{"value": {"i": 1}}])
    assert items([await receiver.next()])[-1] in (1, 10**400)
    assert "was not sent" in caplog.text


async def test_what_is_sent_while_nobody_listens_is_numbered_and_shows_as_a_hole(network):
    receiver = await Receiver(network).join()
    live.send_status(network, "s", status="up", last_seen_at=AT)
    first = await receiver.next()
    await receiver.leave()
    for i in range(20):
        live.send_measurements(network, "s", [{"value": {"i": i}}])
    # Whoever listens to another network hears when this one's turn is over.
    other = await Receiver(f"{network}-other").join()
    live.send_status(f"{network}-other", "s", status="up", last_seen_at=AT)
    await other.next()
    await receiver.join()
    live.send_status(network, "s", status="down", last_seen_at=AT)
    messages = await receiver.until(lambda m: any("down" in text for *_, text in m["frames"]))
    assert first["upto"] == 1
    assert messages[-1]["upto"] - messages[-1]["events"] == 21


class Bulk:
    """Many entries, and whether they were asked for."""

    def __init__(self, network: str, entries: dict[str, list[int]]) -> None:
        self._network = network
        self._entries = entries
        self.events = {network: sum(map(len, entries.values()))}
        self.size = 20 * self.events[network]
        self.asked = 0
        self.encoded = 0

    @classmethod
    def items(cls, bulks: Sequence["Bulk"], networks: Collection[str]) -> Iterator[live.Items]:
        for bulk in bulks:
            bulk.asked += 1
            assert bulk._network in networks
            for sensor, numbers in bulk._entries.items():
                size = 20 * len(numbers)
                yield live.Items(bulk._network, sensor, "measurements", numbers, bulk._encode, size)

    def _encode(self, numbers: Sequence[int]) -> list[bytes]:
        self.encoded += len(numbers)
        return [b'{"value":{"i":%d}}' % number for number in numbers]


async def test_what_nobody_listens_to_is_not_encoded(network):
    other = await Receiver(f"{network}-other").join()
    bulk = Bulk(network, {"s": list(range(100))})
    live.send_bulk(bulk)
    live.send_status(f"{network}-other", "s", status="up", last_seen_at=AT)
    await other.next()
    assert (bulk.asked, bulk.encoded) == (0, 0)


async def test_who_begins_to_listen_hears_the_next_event(network):
    live.send_bulk(Bulk(network, {"s": [1]}))
    receiver = await Receiver(network).join()
    live.send_bulk(Bulk(network, {"s": [2]}))
    messages = [await receiver.next()]
    assert items(messages)[-1] == 2
    assert messages[0]["upto"] == 2


async def test_of_a_flood_each_sensor_keeps_its_newest_and_the_rest_is_counted(network):
    receiver = await Receiver(network).join()
    sensors, each = 100, 2_000
    bulk = Bulk(network, {f"s{i}": list(range(each)) for i in range(sensors)})
    for _ in range(3):
        live.send_bulk(bulk)
    messages = await receiver.until(lambda message: message["upto"] == 3 * sensors * each)
    seen = frames(messages)
    assert {frame["sensor"] for frame in seen} == {f"s{i}" for i in range(sensors)}
    for frame in seen:
        numbers = [item["value"]["i"] for item in frame["items"]]
        assert numbers == list(range(each - len(numbers), each))
    assert len(items(messages)) == bulk.encoded
    assert len(items(messages)) + dropped(messages) == 3 * sensors * each
    assert bulk.encoded <= ITEMS_AT_ONCE + sensors


async def test_more_sensors_than_a_flood_may_have_are_dropped_by_network(network):
    receiver = await Receiver(network).join()
    count = 3 * ITEMS_AT_ONCE
    live.send_bulk(Bulk(network, {f"s{i}": [i] for i in range(count)}))
    messages = await receiver.until(lambda message: message["upto"] == count)
    seen = items(messages)
    # The last ones, in their order.
    assert seen == list(range(count - len(seen), count))
    assert 0 < len(seen) <= ITEMS_AT_ONCE
    assert [message["dropped"] for message in messages if message["dropped"]] == [{"": count - len(seen)}]


async def test_a_flood_drops_no_state(network):
    receiver = await Receiver(network).join()
    live.send_status(network, "before", status="up", last_seen_at=AT)
    live.send_bulk(Bulk(network, {f"s{i}": [i] for i in range(3 * ITEMS_AT_ONCE)}))
    live.send_status(network, "after", status="up", last_seen_at=AT)
    messages = await receiver.until(lambda message: message["upto"] == 3 * ITEMS_AT_ONCE + 2)
    kinds = [(frame["type"], frame["sensor"]) for frame in frames(messages) if frame["type"] == "status"]
    assert kinds == [("status", "before"), ("status", "after")]


async def test_a_forked_child_sends_too(network):
    receiver = await Receiver(network).join()
    live.send_status(network, "parent", status="up", last_seen_at=AT)
    await receiver.next()

    def child() -> None:
        live.send_status(network, "child", status="up", last_seen_at=AT)
        live.close()
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    messages = await receiver.until(lambda m: any(sensor == "child" for sensor, *_ in m["frames"]))
    await asyncio.to_thread(process.join, 10)
    assert process.exitcode == 0
    assert messages[-1]["upto"] == 1


# --- Processes of their own ------------------------------------------------------------------------


class SenderProcess:
    """tests/live/sender_process.py."""

    def __init__(self, redis_url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.sender_process"],
            cwd=ROOT,
            env={**os.environ, "REDIS_URL": redis_url, "DJANGO_SETTINGS_MODULE": "fleet.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, *events: dict[str, Any]) -> float:
        """Send the events; return how long `send_event` took for all of them, in seconds."""
        return self._tell({"events": list(events)})["took_s"]

    def end(self, how: int | str = 0) -> tuple[int, float]:
        """Return the exit code, and the seconds until the process had ended."""
        started = time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"end": how}) + "\n")
        self.process.stdin.flush()
        return self.process.wait(30), time.monotonic() - started

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def start_sender() -> Iterator[Callable[[str], SenderProcess]]:
    """Return a function that starts a sender of a Redis; it is ended after the test."""
    started: list[SenderProcess] = []

    def start(redis_url: str) -> SenderProcess:
        started.append(SenderProcess(redis_url))
        return started[-1]

    yield start
    for sender in started:
        sender.process.kill()
        sender.process.wait(5)


def status(network: str, number: int = 0, sensor: str = "s") -> dict[str, Any]:
    return {"network": network, "sensor": sensor, "kind": "status", "body": {"status": "up", "number": number}}


def measurement(network: str, number: int, sensor: str = "s") -> dict[str, Any]:
    return {"network": network, "sensor": sensor, "kind": "measurements", "body": {"items": [{"value": {"i": number}}]}}


@pytest.mark.parametrize("code", [0, 3])
async def test_a_process_that_ends_right_after_an_event_has_sent_it(network, start_sender, code):
    receiver = await Receiver(network).join()
    sender = start_sender(settings.REDIS_URL)
    await asyncio.to_thread(sender.send, status(network))
    ended, took_s = await asyncio.to_thread(sender.end, code)
    assert (ended, took_s < 2) == (code, True)
    # And the closing message, without waiting for its time.
    messages = [await receiver.next(1), await receiver.next(1)]
    assert [message["events"] for message in messages] == [1, 0]


@pytest.mark.fault
async def test_a_hung_redis_holds_up_nobody_and_is_told_of_when_it_is_back(network, own_valkey, start_sender):
    receiver = await Receiver(network, own_valkey.url).join()
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, measurement(network, 0))
    await receiver.next()
    own_valkey.process.send(signal.SIGSTOP)
    try:
        took_s = 0.0
        for _ in range(4):
            took_s += await asyncio.to_thread(sender.send, *[measurement(network, i) for i in range(1000)])
            await asyncio.sleep(1)
    finally:
        own_valkey.process.send(signal.SIGCONT)
    # 4,000 calls.
    assert took_s < 1
    # What counts is that all 4,001 are accounted for: seen, named as dropped, or a hole in the numbers.
    messages = await receiver.until(lambda message: message["upto"] == 4001, 15)
    assert messages[-1]["sender"] == messages[0]["sender"]
    await asyncio.to_thread(sender.send, measurement(network, 7))
    assert items(await receiver.until(lambda message: message["upto"] == 4002))[-1] == 7


@pytest.mark.fault
async def test_a_process_ends_within_a_second_and_a_bit_while_redis_hangs(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, status(network))
    await asyncio.sleep(0.5)
    own_valkey.process.send(signal.SIGSTOP)
    try:
        assert await asyncio.to_thread(sender.send, status(network)) < 0.1
        code, took_s = await asyncio.to_thread(sender.end)
    finally:
        own_valkey.process.send(signal.SIGCONT)
    assert code == 0
    assert took_s < live.EXIT_FLUSH_S + 1


@pytest.mark.fault
async def test_a_restarted_redis_is_found_again_and_the_loss_is_told(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(sender.send, measurement(network, 0))
    await asyncio.to_thread(own_valkey.kill, signal.SIGKILL)
    for i in range(5):
        assert await asyncio.to_thread(sender.send, measurement(network, i)) < 0.1
        await asyncio.sleep(0.3)
    # A closing message is sent once, whoever hears it: the sender must not find Redis before the receiver has.
    sender.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(own_valkey.start)
    receiver = await Receiver(network, own_valkey.url).join()
    sender.process.send_signal(signal.SIGCONT)
    # Nothing new is sent: the closing message comes by itself.
    message = await receiver.next(10)
    assert message["upto"] == 6


@pytest.mark.fault
async def test_memory_is_bounded_while_redis_is_away(network, own_valkey, start_sender):
    sender = start_sender(own_valkey.url)
    await asyncio.to_thread(own_valkey.kill, signal.SIGKILL)
    text = "x" * 10_000
    events = [
        {"network": f"{network}-{i % 7}", "sensor": f"s{i}", "kind": "measurements", "body": {"items": [{"t": text}]}}
        for i in range(500)
    ]
    process = psutil.Process(sender.process.pid)
    await asyncio.to_thread(sender.send, *events)
    before = process.memory_info().rss
    for _ in range(100):
        await asyncio.to_thread(sender.send, *events)
    # 500 MB were offered; what is being sent is there twice, as items and as messages.
    assert process.memory_info().rss - before < 100_000_000
