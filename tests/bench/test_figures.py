"""What the bench sends and how it sums up; the measurements themselves are no tests."""

import json
from datetime import UTC, datetime

import pytest

from fleet.mqtt.shards import Shard
from telemetry.payloads import parse_measurements
from tests.bench.backlog import ATTRIBUTES, Backlog
from tests.bench.results import Row, Run, Target, percentile
from tests.bench.sightings import Seen

ENDS_AT_S = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def entries_of(backlog: Backlog) -> list[tuple[str, float]]:
    entries = []
    for number in range(backlog.messages):
        parsed = parse_measurements(backlog.payload(number), now_s=ENDS_AT_S + 1)
        assert not parsed.refused
        assert all(set(entry.value) == set(ATTRIBUTES) for entry in parsed.entries)
        entries += [(backlog.topic(number), entry.measured_us / 1e6) for entry in parsed.entries]
    return entries


def test_every_measurement_of_a_backlog_is_a_row_of_its_own_within_its_span() -> None:
    backlog = Backlog(messages=70, entries=3, sensors=20, ends_at_s=ENDS_AT_S)

    entries = entries_of(backlog)

    assert len(set(entries)) == len(entries) == backlog.measurements == 210
    assert all(ENDS_AT_S - backlog.span_s < at_s <= ENDS_AT_S for _, at_s in entries)


def test_a_sensor_sends_in_the_order_of_its_clock() -> None:
    entries = entries_of(Backlog(messages=70, entries=3, sensors=20, ends_at_s=ENDS_AT_S))

    times = [at_s for topic, at_s in entries if topic == "measurements/s-7"]

    assert times == sorted(times)
    assert len(times) == 12


def test_the_last_message_of_each_shard_is_known() -> None:
    backlog = Backlog(messages=70, entries=1, sensors=20, ends_at_s=ENDS_AT_S)

    for index, number in enumerate(
        sorted(backlog.last_numbers(2), key=lambda each: not Shard(0, 2).owns(backlog.topic(each)))
    ):
        shard = Shard(index, 2)
        assert shard.owns(backlog.topic(number))
        assert not any(shard.owns(backlog.topic(later)) for later in range(number + 1, backlog.messages))


def test_a_backlog_survives_its_way_to_the_publisher() -> None:
    backlog = Backlog(messages=7, entries=2, sensors=3, ends_at_s=ENDS_AT_S + 0.123456)

    assert Backlog.from_text(backlog.as_text()) == backlog


@pytest.mark.parametrize(
    ("target", "figure", "floor", "verdict"),
    [
        (Target(100, 200), 99.9, None, "missed"),
        (Target(100, 200), 100, None, "ok"),
        (Target(100, 200), 200, None, "aim"),
        (Target(100, 30, small=True), 30, None, "aim"),
        (Target(100, 30, small=True), 101, None, "missed"),
        (Target(0.4, 0.6, of_floor=True), 50, 100, "ok"),
        (Target(1.3, of_floor=True, small=True), 131, 100, "missed"),
        (Target(1.3, of_floor=True, small=True), 131, None, ""),
    ],
)
def test_a_figure_is_judged_by_what_was_asked_for(
    target: Target, figure: float, floor: float | None, verdict: str
) -> None:
    assert Row("work", "what", "unit", [Run(figure, floor)], target=target).verdict == verdict


def test_each_run_is_compared_with_its_own_floor() -> None:
    row = Row("work", "what", "unit", [Run(10, 100, {"x": 1}), Run(60, 200, {"x": 3}), Run(90, 100)])

    assert row.figure == 60
    assert row.floor == 100
    assert row.share == 0.3
    assert row.detail == {"x": 2}
    assert json.loads(json.dumps(row.as_json()))["runs"][1] == {"figure": 60, "floor": 200, "detail": {"x": 3}}


def test_percentiles() -> None:
    assert percentile([3, 1, 2, 5, 4], 0.5) == 3
    assert percentile(list(range(1_000)), 0.99) == 990
    assert Seen(delays={10: 98, 25: 1, 4_000: 1}).percentile_ms(0.5) == pytest.approx(1.05)
    assert Seen(delays={10: 98, 25: 1, 4_000: 1}).percentile_ms(0.985) == pytest.approx(2.55)
    assert Seen(delays={10: 98, 25: 1, 4_000: 1}).percentile_ms(0.99) == pytest.approx(400.05)
