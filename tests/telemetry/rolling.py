"""Rollups in tests: storing as ingest does, rolling up at once, and looking at what is there."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from django.db import connection, transaction

from sensors.models import Sensor
from telemetry import rollups
from telemetry.models import Attribute, HourRollup, Measurement, MinuteRollup, RollupMark
from telemetry.queries.series import Bucket
from telemetry.rollups import Rolled
from tests.telemetry.rows import T0, Value, put_measurements

# Rows of PostgreSQL carry its own clock, so that marks are old enough however the test's clock stands.
NO_MATTER_HOW_OLD = timedelta(days=-36_500)
HOUR = timedelta(hours=1)
# A Monday; buckets of every length start at multiples of it from here.
EPOCH = datetime(1, 1, 1, tzinfo=UTC)

Row = tuple[datetime, Value]


def store(sensor: Sensor, items: Iterable[Row]) -> int:
    """Store (measured_at, value) pairs as ingest does; return how many were new."""
    new = 0
    with transaction.atomic(), connection.cursor() as cursor:
        horizon_us = rollups.lock_horizon(cursor)
        late = set()
        for moment, value in items:
            measured_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            if put_measurements(sensor, [(moment, value)]):
                new += 1
                if measured_us < horizon_us:
                    late.add((sensor.pk, measured_us // rollups.HOUR_US * rollups.HOUR_US))
        rollups.mark_late(cursor, late)
    return new


def roll_up(now: datetime = T0) -> Rolled:
    """Roll up everything until `now`, with all marks."""
    return rollups.roll_up(now=now, settle_time=NO_MATTER_HOW_OLD)


def stored(sensor: Sensor) -> list[Row]:
    """Return the sensor's measurements."""
    return list(Measurement.objects.filter(sensor_id=sensor.pk).values_list("measured_at", "value"))


def rolled(sensor: Sensor, model: type[HourRollup] | type[MinuteRollup] = HourRollup) -> dict[Any, tuple[Any, ...]]:
    """Return (count, min, max, exact sum) of each rollup by attribute and start."""
    names = dict(Attribute.objects.filter(sensor_id=sensor.pk).values_list("pk", "name"))
    rows = model.objects.filter(attribute_id__in=names).values_list(
        "attribute_id", "start", "count", "min", "max", "sum"
    )
    return {(names[row[0]], row[1]): (*row[2:5], Fraction(row[5])) for row in rows}


def summed(rows: Iterable[Row], unit: timedelta = HOUR) -> dict[Any, tuple[Any, ...]]:
    """Return what `rolled` must be, by looking at every row."""
    numbers: dict[Any, list[Any]] = {}
    for moment, value in rows:
        for name, item in value.items():
            if type(item) in (int, float):
                numbers.setdefault((name, EPOCH + (moment - EPOCH) // unit * unit), []).append(item)
    return {
        key: (len(items), float(min(items)), float(max(items)), sum(Fraction(repr(item)) for item in items))
        for key, items in numbers.items()
    }


def marks(sensor: Sensor) -> set[datetime]:
    """Return the marked hours."""
    return set(RollupMark.objects.filter(sensor_id=sensor.pk).values_list("hour", flat=True))


def scan(rows: Iterable[Row], attribute: str, start: datetime, end: datetime, bucket_s: int) -> list[Bucket]:
    """Return what the series must be, by looking at every row."""
    numbers: dict[datetime, list[Any]] = {}
    for moment, value in rows:
        item = value.get(attribute)
        if start <= moment < end and type(item) in (int, float):
            length = timedelta(seconds=bucket_s)
            numbers.setdefault(EPOCH + (moment - EPOCH) // length * length, []).append(item)
    return [
        Bucket(begin, len(items), float(min(items)), float(_mean(items)), float(max(items)))
        for begin, items in sorted(numbers.items())
    ]


def _mean(items: list[Any]) -> Fraction:
    # As PostgreSQL reads the JSON text of a number: exactly.
    return sum(Fraction(repr(item)) for item in items) / len(items)
