"""Series that cross every limit, the alerts that one replay of them gives, and the alerts that are stored."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from alerts.evaluation import Progress, Transition, evaluate
from alerts.models import Alert, Rule
from alerts.services import LogEntry
from alerts.services.queue import microseconds
from alerts.services.watches import limits_of
from alerts.windows import NOTHING, count_messages, window
from sensors.models import Sensor
from tests.alerts.making import Sample, sample
from tests.alerts.making_logs import entry

# rule, sensor, state, started, fired, resolved, value, backfilled; times in microseconds since 1970.
Row = tuple[Any, ...]


def wander(sensors: list[Sensor], *, samples: int, seed: int) -> list[Sample]:
    """Return values that cross every limit again and again, as a fleet would send them."""
    dice = random.Random(seed)
    values = {sensor.pk: dice.uniform(0, 80) for sensor in sensors}
    made = []
    for number in range(samples):
        for sensor in sensors:
            values[sensor.pk] = min(80.0, max(0.0, values[sensor.pk] + dice.uniform(-15, 15)))
            made.append(sample(sensor, number * 5, values[sensor.pk], late_s=dice.choice([0, 0, 0, 100])))
    return made


def chatter(sensors: list[Sensor], *, messages: int, seed: int) -> list[LogEntry]:
    """Return messages with times that mostly rise, as a fleet would log them."""
    dice = random.Random(seed)
    clocks = dict.fromkeys([sensor.pk for sensor in sensors], 1.0)
    made = []
    for _ in range(messages):
        for sensor in sensors:
            clocks[sensor.pk] += dice.choice([0, 1, 2, 8, 40])
            second = max(1.0, clocks[sensor.pk] - dice.choice([0, 0, 0, 3]))
            made.append(entry(sensor, second, late_s=dice.choice([0, 0, 100])))
    return made


def replayed(rules: Iterable[Rule], samples: Iterable[Sample]) -> list[Row]:
    """Return the alerts that one replay of all samples gives, from the pure evaluation alone."""
    series: dict[int, list[Any]] = {}
    for one in samples:
        (value,) = one.values.values()
        point = (microseconds(one.measured_at), microseconds(one.received_at), value)
        series.setdefault(one.sensor_id, []).append(point)
    found = []
    for rule in rules:
        for sensor_id, points in series.items():
            _, transitions = evaluate(limits_of(rule), Progress(), points, interval_us=None)
            found += alerts_of(rule, sensor_id, transitions)
    return sorted(found)


def replayed_logs(rules: Iterable[Rule], batches: Sequence[Sequence[LogEntry]]) -> list[Row]:
    """Return the alerts that one replay of all messages gives, from the pure counting alone."""
    series: dict[int, list[Any]] = {}
    for batch in batches:
        for one in sorted(batch):
            series.setdefault(one.sensor_id, []).append((one.measured, one.received))
    found = []
    for rule in rules:
        limits = window(count=rule.count, window_s=rule.window_s or 0)
        for sensor_id, messages in series.items():
            _, transitions = count_messages(limits, NOTHING, messages)
            found += alerts_of(rule, sensor_id, transitions)
    return sorted(found)


def alerts_of(rule: Rule, sensor_id: int, transitions: Iterable[Transition]) -> list[Row]:
    """Return the alerts that the transitions of one rule and sensor make, as `stored` does."""
    found: list[Row] = []
    episode: list[Any] | None = None
    for item in transitions:
        if item.change == "resolved":
            assert episode is not None
            found.append(_comparable((rule.pk, sensor_id, "resolved", *episode[1:3], item.at, item.value, episode[5])))
            episode = None
        elif item.change == "dropped":
            episode = None
        elif item.change == "firing":
            episode = ["firing", item.started, item.at, None, item.value, item.late]
        else:
            episode = ["pending", item.started, None, None, item.value, item.late]
    if episode:
        found.append(_comparable((rule.pk, sensor_id, *episode)))
    return found


def stored(**filters: Any) -> list[Row]:
    """Return the alerts as they are."""
    rows = Alert.objects.filter(**filters).values_list(
        "rule", "sensor", "state", "started_at", "fired_at", "resolved_at", "value", "backfilled"
    )
    return sorted(
        _comparable((*row[:3], *(None if item is None else microseconds(item) for item in row[3:6]), *row[6:]))
        for row in rows
    )


def _comparable(row: Row) -> Row:
    rule, sensor, state, started, fired, resolved, value, late = row
    # The value of an open alert follows in steps.
    return (rule, sensor, started, state, fired or 0, resolved or 0, value if state == "resolved" else None, late)
