"""What waits for live views: in order, coalesced, bounded, and every event either kept or counted."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest

from sensors.live import backlog as module
from sensors.live.backlog import Backlog, Items, State, frame_of


def encode(numbers: Sequence[Any]) -> list[bytes]:
    return [json.dumps({"i": number}).encode() for number in numbers]


def items(*numbers: int, network: str = "n", sensor: str = "s", size: int = 10, dropped: int = 0) -> Items:
    return Items(network, sensor, "measurements", list(numbers), encode, size * len(numbers), dropped)


def state(text: str, *, network: str = "n", sensor: str = "s", identity: object = None) -> State:
    return State(network, sensor, "status", identity, json.dumps(text).encode())


def shown(backlog: Backlog, network: str = "n") -> list[Any]:
    """Return what goes out: for entries (sensor, numbers), for states the text."""
    result: list[Any] = []
    for (sensor, kind, _), waiting in backlog.batches[network].waiting.items():
        frame = frame_of(sensor, kind, waiting)
        content = json.loads(frame.text)
        if kind == "status":
            result.append(content)
        else:
            assert (content["type"], content["sensor"], frame.events) == (kind, sensor, len(content["items"]))
            result.append((sensor, [item["i"] for item in content["items"]]))
    return result


def test_entries_of_a_sensor_become_one_frame_in_their_order():
    backlog = Backlog()
    for piece in (items(1, 2), items(3, sensor="t"), items(4)):
        backlog.put_items(piece)
    backlog.sort({"n"})
    assert shown(backlog) == [("s", [1, 2, 4]), ("t", [3])]
    assert backlog.events == {"n": 4}


def test_a_state_replaces_the_one_before_and_takes_its_own_place():
    backlog = Backlog()
    backlog.put_state(state("up"))
    backlog.put_state(state("one", identity=1))
    backlog.put_items(items(1))
    backlog.put_state(state("down"))
    backlog.sort({"n"})
    assert shown(backlog) == ["one", ("s", [1]), "down"]
    assert backlog.batches["n"].dropped == {}


def test_what_nobody_listens_to_is_only_counted():
    backlog = Backlog()
    backlog.put_items(items(1, network="a"))
    backlog.put_items(items(2, 3, network="b"))
    backlog.put_state(state("up", network="b"))
    backlog.sort({"a"})
    assert shown(backlog, "a") == [("s", [1])]
    assert backlog.batches.keys() == {"a"}
    assert backlog.events == {"a": 1, "b": 3}


def test_a_sensors_oldest_entries_are_dropped_and_counted():
    backlog = Backlog()
    most = module.ITEMS_PER_FRAME
    backlog.put_items(items(*range(most - 1), dropped=5))
    backlog.put_items(items(*range(most - 1, most + 10)))
    backlog.sort({"n"})
    assert shown(backlog) == [("s", list(range(10, most + 10)))]
    assert backlog.batches["n"].dropped == {"s": 15}


@pytest.mark.parametrize("keep", [1, 2, 3, 5, 6, 100])
def test_trimming_keeps_the_newest(keep: int):
    backlog = Backlog()
    for piece in (items(1, 2), items(3), items(4, 5, 6)):
        backlog.put_items(piece)
    backlog.sort({"n"})
    batch = backlog.batches["n"]
    waiting = batch.waiting["s", "measurements", None]
    batch.trim("s", waiting, keep=keep)
    kept = list(range(1, 7))[-keep:]
    assert shown(backlog) == [("s", kept)]
    assert sum(batch.dropped.values()) == 6 - len(kept)
    assert waiting.size == 10 * len(kept)


@pytest.mark.parametrize("seed", range(20))
def test_every_entry_is_kept_or_counted_and_what_waits_is_bounded(seed: int):
    chosen = random.Random(seed)
    backlog = Backlog()
    put = 0
    for number in range(3000):
        count = chosen.randrange(1, 30)
        dropped = chosen.randrange(3) if number % 7 == 0 else 0
        piece = items(
            *range(number, number + count),
            network=chosen.choice("ab"),
            sensor=f"s{chosen.randrange(50)}",
            size=chosen.choice([50, 500, 20_000]),
            dropped=dropped,
        )
        backlog.put_items(piece)
        put += count + dropped
        assert backlog._bytes <= module.BACKLOG_BYTES
        assert backlog._unsorted_events <= module.UNSORTED_EVENTS
        assert backlog._unsorted_bytes <= module.UNSORTED_BYTES
    backlog.sort({"a", "b"})
    assert backlog._bytes <= module.BACKLOG_BYTES
    batches = backlog.batches.values()
    waiting = [each for batch in batches for each in batch.waiting.values()]
    assert backlog._bytes == sum(each.size for each in waiting)
    assert all(each.events == sum(len(chunk.entries) for chunk in each.chunks) for each in waiting)
    kept = sum(each.events for each in waiting)
    assert kept + sum(sum(batch.dropped.values()) for batch in batches) == put == sum(backlog.events.values())
