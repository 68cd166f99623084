"""What ingest tells live views of a batch: the same JSON that the API shows, made without decoding anything."""

import json
from typing import Any

import pytest

from fleet.ingest import live as announcing
from fleet.ingest.result import BatchResult, KnownSensor, NewEntries
from fleet.ingest.routes import Family
from sensors import live
from sensors.live.backlog import Backlog, frame_of
from telemetry.payloads import parse_heartbeats, parse_log_messages, parse_measurements

NOW_S = 1_750_000_000.0
RECEIVED_US = 1_750_000_000_123_456


def sensor(number: int, network: str = "n") -> KnownSensor:
    return KnownSensor(number, f"s{number}", 1, network, 60)


def measured(*values: Any, of: KnownSensor, received_us: int = RECEIVED_US) -> NewEntries:
    entries = [{"revision": i, "timestamp": NOW_S - 10 + i / 4, "value": value} for i, value in enumerate(values)]
    parsed = parse_measurements(json.dumps({"measurements": entries}).encode(), now_s=NOW_S)
    return NewEntries(of, Family.MEASUREMENTS, received_us, parsed.entries)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Backlog:
    """Return the backlog that takes what is announced, in place of the one that a thread empties."""
    backlog = Backlog()
    monkeypatch.setattr(live, "current_sender", lambda: Taking(backlog))
    return backlog


class Taking:
    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def put(self, add: Any) -> None:
        add(self._backlog)


def shown(backlog: Backlog, network: str = "n") -> list[dict[str, Any]]:
    backlog.sort({network})
    waiting = backlog.batches[network].waiting
    return [json.loads(frame_of(key[0], key[1], each).text) for key, each in waiting.items()]


def test_every_family_has_the_fields_of_its_frame(told: Backlog):
    heartbeat = {"revision": 3, "timestamp": NOW_S, "success": False}
    log = {"revision": 2, "timestamp": NOW_S, "severity": "error", "subject": 'a "b" ü\n', "details": None}
    value = {"t": -1.5e-7, "on": True, "none": None, "text": 'x "y" \\ ü 😀', "n": 2**53}
    hearts = parse_heartbeats(json.dumps({"heartbeats": [heartbeat]}).encode(), now_s=NOW_S)
    logs = parse_log_messages(json.dumps({"log_messages": [log, log | {"details": "d\t"}]}).encode(), now_s=NOW_S)
    new = [
        NewEntries(sensor(1), Family.HEARTBEATS, RECEIVED_US, hearts.entries),
        NewEntries(sensor(1), Family.LOG_MESSAGES, RECEIVED_US, logs.entries),
        measured(value, of=sensor(1)),
    ]
    announcing.announce(BatchResult(new=new))
    received_at = "2025-06-15T15:06:40.123456Z"
    common = {"measured_at": "2025-06-15T15:06:40Z", "received_at": received_at}
    told_log = common | {"revision": 2, "severity": "error", "subject": 'a "b" ü\n', "details": None}
    assert shown(told) == [
        {"type": "heartbeats", "sensor": "s1", "items": [common | {"revision": 3, "success": False}]},
        {"type": "log_messages", "sensor": "s1", "items": [told_log, told_log | {"details": "d\t"}]},
        {
            "type": "measurements",
            "sensor": "s1",
            "items": [
                {"measured_at": "2025-06-15T15:06:30Z", "received_at": received_at, "revision": 0, "value": value}
            ],
        },
    ]


def test_messages_of_a_sensor_are_one_frame_in_their_order(told: Backlog):
    later_us = RECEIVED_US + 1
    new = [
        measured({"i": 1}, {"i": 2}, of=sensor(1)),
        measured({"i": 3}, of=sensor(2)),
        measured({"i": 4}, of=sensor(1), received_us=later_us),
        measured({"i": 5}, of=sensor(3, network="m")),
    ]
    announcing.announce(BatchResult(new=new))
    assert told.events == {"n": 4, "m": 1}
    frames = shown(told)
    assert [(frame["sensor"], [item["value"]["i"] for item in frame["items"]]) for frame in frames] == [
        ("s1", [1, 2, 4]),
        ("s2", [3]),
    ]
    times = [item["received_at"] for item in frames[0]["items"]]
    assert times == ["2025-06-15T15:06:40.123456Z"] * 2 + ["2025-06-15T15:06:40.123457Z"]


def test_the_newest_of_a_sensor_that_brings_too_many_are_told(told: Backlog):
    most = live.ITEMS_PER_FRAME
    announcing.announce(BatchResult(new=[measured(*({"i": i} for i in range(most + 7)), of=sensor(1))]))
    (frame,) = shown(told)
    assert [item["value"]["i"] for item in frame["items"]] == list(range(7, most + 7))
    assert told.batches["n"].dropped == {"s1": 7}


def test_a_sensor_that_is_up_again_is_told_after_its_entries_with_its_newest_sign(told: Backlog):
    new = [
        measured({"i": 1}, of=sensor(1), received_us=RECEIVED_US + 5_000_000),
        measured({"i": 2}, of=sensor(1)),
        measured({"i": 3}, of=sensor(2)),
    ]
    announcing.announce(BatchResult(new=new, awakened=[sensor(1)]))
    frames = shown(told)
    assert [(frame["type"], frame["sensor"]) for frame in frames] == [
        ("measurements", "s1"),
        ("measurements", "s2"),
        ("status", "s1"),
    ]
    assert frames[-1]["last_seen_at"] == "2025-06-15T15:06:45.123456Z"


def test_nothing_new_says_nothing(told: Backlog):
    announcing.announce(BatchResult())
    assert told.events == {}


def test_the_size_that_bounds_the_backlog_is_about_that_of_the_json(told: Backlog):
    text = "x" * 10_000
    new = [measured({"text": text}, {"i": 1}, of=sensor(1))]
    announcing.announce(BatchResult(new=new))
    told.sort({"n"})
    (waiting,) = told.batches["n"].waiting.values()
    assert 10_000 < waiting.size < 11_000
