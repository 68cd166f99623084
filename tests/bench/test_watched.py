"""What the bench expects of the service's rules."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from alerts.evaluation import Change, Progress, evaluate, rates, threshold
from telemetry.payloads import parse_measurements
from tests.bench.rules import Part, summed_up
from tests.bench.watched import HEALTHY, Episode, Stream, WatchingRule, labels_of, watching_rules

BEGINS_AT = datetime(2026, 3, 1, tzinfo=UTC)
BEGINS_AT_US = round(BEGINS_AT.timestamp() * 1e6)
SMALL = Stream(sensors=2_000, rounds=7, rate=200.0, begins_at_us=BEGINS_AT_US)
RULES = watching_rules(200, sensors=SMALL.sensors, interval_s=SMALL.interval_s)


def evaluated(rule: WatchingRule, sensor: int) -> set[Episode]:
    """Return what the service's own evaluation makes of the sensor's samples."""
    times = [SMALL.measured_us(step * SMALL.sensors + sensor) for step in range(SMALL.rounds)]
    samples = [(at, at, SMALL.value(sensor, step)[rule.attribute]) for step, at in enumerate(times)]
    if rule.kind == "rate_of_change":
        samples = rates(samples, until=None, value=None)
    limits = threshold(
        above=rule.above, below=rule.below, hysteresis=rule.hysteresis, for_s=rule.for_s, keep_firing_s=0
    )
    found, fired = set(), None
    for transition in evaluate(limits, Progress(), samples, interval_us=None)[1]:
        if transition.change is Change.FIRING:
            fired = transition.at
        elif transition.change is Change.RESOLVED:
            assert fired is not None
            found.add(Episode(rule.name, f"s-{sensor}", fired, transition.at))
            fired = None
    assert fired is None
    return found


def test_each_of_ten_thousand_sensors_is_under_more_than_a_hundred_of_a_thousand_rules() -> None:
    rules = watching_rules(1_000, sensors=10_000, interval_s=10.0)

    covering = Counter(sensor for rule in rules for sensor in rule.sensors)

    assert len(covering) == 10_000
    assert min(covering.values()) > 100
    assert Counter(rule.scope for rule in rules) == {"network": 100, "labels": 500, "sensors": 400}
    assert {rule.kind for rule in rules} == {"threshold", "rate_of_change"}
    assert any(rule.for_s for rule in rules)


def test_a_rule_covers_whom_its_labels_select() -> None:
    for rule in RULES:
        if rule.scope == "labels":
            carrying = {each for each in range(SMALL.sensors) if rule.labels.items() <= labels_of(each).items()}
            assert set(rule.sensors) == carrying != set()


def test_what_must_come_is_what_the_evaluation_finds() -> None:
    # Of every sensor, also of those that are to stay calm.
    found = {episode for rule in RULES for sensor in rule.sensors for episode in evaluated(rule, sensor)}

    assert found == SMALL.episodes(RULES)
    kinds = Counter(next(rule.kind for rule in RULES if rule.name == episode.rule) for episode in found)
    assert min(kinds["threshold"], kinds["rate_of_change"]) > 0
    waiting = {rule.name for rule in RULES if rule.for_s}
    assert any(episode.rule in waiting for episode in found)


def test_a_stream_is_measured_when_it_was_due_and_begins_and_ends_healthy() -> None:
    for number in range(SMALL.messages):
        topic, payload = SMALL.message(number)
        (entry,) = parse_measurements(payload, now_s=BEGINS_AT.timestamp() + 3_600).entries
        step, sensor = divmod(number, SMALL.sensors)
        assert topic == f"measurements/s-{sensor}"
        assert entry.measured_us == SMALL.measured_us(number)
        is_healthy = all(low <= entry.value[name] <= low + spread for name, (low, spread) in HEALTHY.items())
        assert is_healthy or 1 <= step <= SMALL.rounds - 3
    assert len(SMALL.excursions) == 100
    assert json.loads(SMALL.message(0)[1])["measurements"][0]["timestamp"] == BEGINS_AT.timestamp()


def test_what_was_evaluated_is_summed_up_by_the_moments_of_storing_and_evaluating() -> None:
    def part(stored_s: float, evaluated_s: float, samples: int) -> Part:
        return Part(BEGINS_AT + timedelta(seconds=stored_s), BEGINS_AT + timedelta(seconds=evaluated_s), samples)

    parts = [part(-1, 0.5, 100), part(0, 1, 60), part(0.5, 2, 39), part(9, 12, 1)]

    assert summed_up(parts, BEGINS_AT, BEGINS_AT + timedelta(seconds=10)) == {
        "evaluated/s": 19.9,
        "stored/s": 10,
        "delay_p50_ms": 1_000,
        "delay_p99_ms": 3_000,
        "delay_most_ms": 3_000,
        "most_waiting": 99,
        "evaluated_after_end_s": 2,
    }
