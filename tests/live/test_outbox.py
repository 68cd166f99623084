"""What waits for one socket: order, window, rate, and what is left out."""

import json
import random

import pytest

from fleet.live import outbox as module
from fleet.live.outbox import Frame, Outbox


def frame(sensor: str = "a", *, kind: str = "measurements", events: int = 1, number: int = 0, size: int = 10) -> Frame:
    return Frame(sensor, kind, events, json.dumps({"type": kind, "sensor": sensor, "n": number}).ljust(size))


def read(texts: list[str]) -> list[dict]:
    return [json.loads(text) for text in texts]


def echoing() -> Outbox:
    box = Outbox(now_s=0)
    box.echo(0)
    return box


def last_sync(texts: list[str]) -> int | None:
    return next((item["seq"] for item in reversed(read(texts)) if item["type"] == "sync"), None)


def test_frames_leave_in_their_order():
    box = Outbox(now_s=0)
    for number in range(5):
        box.push(frame(number=number))
    assert [item["n"] for item in read(box.take(now_s=0))] == [0, 1, 2, 3, 4]
    assert not box.waits()


def test_nothing_leaves_while_it_is_held_but_answers():
    box = Outbox(now_s=0)
    box.hold()
    box.push(frame())
    assert box.take(now_s=0) == []
    assert box.reply("{}") == ["{}"]
    box.release()
    assert len(box.take(now_s=0)) == 1


def test_who_never_echoes_gets_no_sync():
    box = Outbox(now_s=0)
    for number in range(200):
        box.push(frame(number=number))
    assert {item["type"] for item in read(box.take(now_s=0))} == {"measurements"}


def test_the_window_closes_and_an_echo_opens_it():
    box = echoing()
    taken: list[str] = []
    for number in range(module.WINDOW_FRAMES + 50):
        box.push(frame(f"s{number}", number=number))
        taken += box.take(now_s=0)
    frames = [item for item in read(taken) if item["type"] == "measurements"]
    assert len(frames) == module.WINDOW_FRAMES
    assert last_sync(taken) == module.WINDOW_FRAMES // module.SYNC_EVERY_FRAMES
    assert box.take(now_s=1000) == []
    box.echo(last_sync(taken))
    rest = [item for item in read(box.take(now_s=0)) if item["type"] == "measurements"]
    assert [item["n"] for item in rest] == list(range(module.WINDOW_FRAMES, module.WINDOW_FRAMES + 50))


def test_large_frames_close_the_window_by_their_bytes():
    box = echoing()
    taken = []
    for number in range(20):
        box.push(frame(f"s{number}", size=200_000))
        taken += box.take(now_s=0)
    assert len([item for item in read(taken) if item["type"] == "measurements"]) == 6


def test_an_echo_of_a_number_that_was_never_sent_opens_nothing():
    box = echoing()
    taken = []
    for number in range(module.WINDOW_FRAMES + 1):
        box.push(frame(f"s{number}"))
        taken += box.take(now_s=0)
    for number in (0, -1, 10**6, 99):
        box.echo(number)
        assert box.take(now_s=0) == []
    box.echo(1)
    assert len(box.take(now_s=0)) >= 1


def test_a_reader_that_asks_for_syncs_late_is_not_held_for_what_went_before():
    box = Outbox(now_s=0)
    for number in range(1000):
        box.push(frame(number=number))
        box.take(now_s=number)
    box.echo(0)
    box.push(frame())
    assert len(box.take(now_s=1000)) == 1


def test_behind_a_closed_window_each_sensor_keeps_its_newest_and_the_rest_is_counted():
    box = echoing()
    taken = []
    for number in range(module.WINDOW_FRAMES):
        box.push(frame(f"x{number}"))
        taken += box.take(now_s=0)
    # Fills the queue, then overflows it: three sensors, a hundred rounds of two events each.
    for number in range(module.QUEUE_FRAMES):
        box.push(frame("first", number=number))
    for number in range(100):
        for sensor in "abc":
            box.push(frame(sensor, number=number, events=2))
    box.push(frame("a", kind="status", number=1))
    box.echo(last_sync(taken))
    rest = box.take(now_s=0)
    box.echo(last_sync(rest))
    rest += box.take(now_s=0)
    rest = [item for item in read(rest) if item["type"] != "sync"]
    assert [item["n"] for item in rest[: module.QUEUE_FRAMES]] == list(range(module.QUEUE_FRAMES))
    assert rest[module.QUEUE_FRAMES] == {"type": "gap", "dropped": 3 * 99 * 2}
    assert [(item["type"], item["sensor"], item["n"]) for item in rest[module.QUEUE_FRAMES + 1 :]] == [
        ("measurements", "a", 99),
        ("measurements", "b", 99),
        ("measurements", "c", 99),
        ("status", "a", 1),
    ]


def test_who_never_echoes_is_held_by_a_rate():
    box = Outbox(now_s=0)
    size = 100_000
    sent = 0
    for number in range(200):
        box.push(frame(f"s{number}", size=size))
        sent += len(box.take(now_s=0))
    assert sent == module.RATE_BURST_BYTES // size + 1
    assert not box.writable(now_s=0.01)
    for now_s in range(1, 11):
        sent += len(box.take(now_s=now_s))
    assert sent * size <= module.RATE_BURST_BYTES + 10 * module.RATE_BYTES_PER_S + size


def test_a_gap_of_unknown_size_is_null():
    box = Outbox(now_s=0)
    box.note_gap(None)
    box.note_gap(3)
    assert read(box.take(now_s=0)) == [{"type": "gap", "dropped": None}]
    box.note_gap(3)
    box.note_gap(4)
    assert read(box.take(now_s=0)) == [{"type": "gap", "dropped": 7}]
    box.note_gap(0)
    assert not box.waits()


@pytest.mark.parametrize("seed", range(20))
def test_every_event_is_sent_or_counted_and_what_waits_is_bounded(seed: int):
    random.seed(seed)
    box = echoing() if seed % 2 else Outbox(now_s=0)
    pushed = received = missed = 0
    newest: dict[tuple[str, str], int] = {}
    seen: dict[tuple[str, str], int] = {}
    unechoed: list[int] = []
    events_of: dict[int, int] = {}

    def take(now_s: float) -> None:
        nonlocal received, missed
        for item in read(box.take(now_s=now_s)):
            if item["type"] == "gap":
                missed += item["dropped"]
            elif item["type"] == "sync":
                unechoed.append(item["seq"])
            else:
                key = (item["sensor"], item["type"])
                # Never older than what was shown before.
                assert item["n"] > seen.get(key, -1)
                seen[key] = item["n"]
                received += events_of[item["n"]]

    for number in range(3000):
        item = frame(
            f"s{random.randrange(30)}",
            kind=random.choice(["measurements", "status", "alert"]),
            events=random.randrange(1, 5),
            number=number,
            size=random.choice([50, 500, 20_000]),
        )
        events_of[number] = item.events
        newest[item.sensor, item.kind] = number
        pushed += item.events
        box.push(item)
        if random.random() < 0.3:
            take(number / 100)
        if unechoed and random.random() < 0.05:
            box.echo(unechoed.pop())
            unechoed.clear()
        waiting = box._queue_bytes + box._newest_bytes
        assert waiting <= module.QUEUE_BYTES + module.NEWEST_BYTES + 2 * 20_100
    for now_s in range(100, 1000):
        take(now_s)
        while unechoed:
            box.echo(unechoed.pop(0))
    assert received + missed == pushed
    assert seen == newest
