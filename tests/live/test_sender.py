"""`sensors.live` against a real Valkey: what arrives, what is counted, and that nobody waits."""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Collection, Iterator, Sequence

from sensors import live
from sensors.live.sender import ITEMS_AT_ONCE
from tests.live.receiving import Receiver, dropped, frames, items
from tests.live.web import AT


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
