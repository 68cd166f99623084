"""Series against a full scan in Python, and the choice of buckets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors.errors import Invalid
from sensors.models import Sensor
from telemetry import queries
from telemetry.models import Measurement
from telemetry.queries.limits import time_limit
from telemetry.queries.series import Bucket, bucket_s_for, series
from tests.telemetry.rolling import EPOCH, scan
from tests.telemetry.rows import T0, make_sensor, put_measurements

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def minutes(number: float) -> datetime:
    return T0 + timedelta(minutes=number)


def test_each_bucket_counts_the_numbers_in_it(sensor: Sensor) -> None:
    put_measurements(
        sensor,
        [
            (minutes(0), {"t": 20}),
            (minutes(1), {"t": 21.5}),
            (minutes(4.999), {"t": 24}),
            # Nothing from 5 to 10.
            (minutes(10), {"t": -3}),
        ],
    )

    found = series(sensor, "t", start=minutes(0), end=minutes(15), points=3)

    assert (found.attribute, found.bucket_s) == ("t", 300)
    assert found.points == [
        Bucket(start=minutes(0), count=3, min=20.0, mean=65.5 / 3, max=24.0),
        Bucket(start=minutes(10), count=1, min=-3.0, mean=-3.0, max=-3.0),
    ]


def test_only_json_numbers_count(sensor: Sensor) -> None:
    for number, item in enumerate(["21", True, None, 7, 0.5]):
        put_measurements(sensor, [(minutes(number), {"t": item})])
    put_measurements(sensor, [(minutes(9), {"other": 1000})])

    found = series(sensor, "t", start=minutes(0), end=minutes(10), points=1)

    assert [(point.count, point.min, point.mean, point.max) for point in found.points] == [(2, 0.5, 3.75, 7.0)]


def test_the_start_belongs_to_the_range_and_the_end_does_not(sensor: Sensor) -> None:
    put_measurements(sensor, [(minutes(number), {"t": number}) for number in range(4)])

    found = series(sensor, "t", start=minutes(1), end=minutes(3), points=2000)

    assert [point.mean for point in found.points] == [1.0, 2.0]


def test_without_a_range_it_is_all_that_is_stored(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - 700 * DAY, {"t": 1}), (T0, {"t": 2})])
    put_measurements(make_sensor(), [(T0 - 900 * DAY, {"t": 3}), (T0 + DAY, {"t": 4})])

    found = series(sensor, "t", points=300)

    assert found.bucket_s == 7 * 86_400
    assert [(point.count, point.mean) for point in found.points] == [(1, 1.0), (1, 2.0)]
    assert found.points[0].start <= T0 - 700 * DAY < found.points[0].start + timedelta(days=7)
    assert [point.mean for point in series(sensor, "t", start=T0 - DAY).points] == [2.0]
    assert [point.mean for point in series(sensor, "t", end=T0).points] == [1.0]


def test_an_unknown_attribute_and_a_sensor_without_measurements_have_no_points(sensor: Sensor) -> None:
    assert series(sensor, "t").points == []
    put_measurements(sensor, [(T0, {"t": 1})])
    assert series(sensor, "u").points == []
    assert series(sensor, "t", start=T0 + DAY).points == []


def test_an_attribute_may_have_any_name(sensor: Sensor) -> None:
    names = ["", "a b", "a'b", '"', "%", "%s", "{}", "ü\u2028", "$.x", "a.b", "->"]
    put_measurements(sensor, [(T0, {name: number for number, name in enumerate(names)})])

    for number, name in enumerate(names):
        assert [point.mean for point in series(sensor, name).points] == [float(number)], name


def test_the_largest_numbers_neither_overflow_nor_lose_their_mean(sensor: Sensor) -> None:
    largest = 1.7976931348623157e308
    put_measurements(sensor, [(minutes(number), {"t": largest, "u": 5e-324 * number}) for number in range(3)])

    (found,) = series(sensor, "t", start=minutes(0), end=minutes(3), points=1).points
    (least,) = series(sensor, "u", start=minutes(0), end=minutes(3), points=1).points

    assert (found.count, found.min, found.mean, found.max) == (3, largest, largest, largest)
    assert (least.min, least.mean, least.max) == (0.0, 5e-324, 1e-323)


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.floats(-100, 100, allow_nan=False, allow_subnormal=False),
)
# What PostgreSQL can store as text.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3)
values = st.dictionaries(st.sampled_from(["t", "u"]), st.one_of(numbers, texts, st.booleans(), st.none()))
offsets_us = st.one_of(
    st.integers(-(10**6) * 3600, 10**6 * 3600),
    st.integers(-(10**6) * 86_400 * 400, 10**6 * 86_400 * 200),
    # On the edges of buckets.
    st.integers(-400, 200).map(lambda days: days * 86_400 * 10**6),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.lists(st.tuples(offsets_us, values), max_size=20),
    bounds=st.tuples(offsets_us, offsets_us).filter(lambda pair: pair[0] != pair[1]),
    points=st.integers(1, 400),
)
def test_it_is_what_a_full_scan_finds(
    sensor: Sensor, items: list[tuple[int, Any]], bounds: tuple[int, int], points: int
) -> None:
    Measurement.objects.filter(sensor_id=sensor.pk).delete()
    rows = [(T0 + timedelta(microseconds=offset), value) for offset, value in items]
    put_measurements(sensor, rows)
    # The same content at the same time is one measurement.
    stored = [(row.measured_at, row.value) for row in queries.measurements_of(sensor)]
    start, end = (T0 + timedelta(microseconds=offset) for offset in sorted(bounds))

    found = series(sensor, "t", start=start, end=end, points=points)

    assert found.points == scan(stored, "t", start, end, found.bucket_s)
    assert len(found.points) <= points


@given(
    start=st.datetimes(timezones=st.just(UTC)),
    length_s=st.floats(1e-6, 3e10),
    points=st.integers(1, queries.MAX_POINTS),
)
def test_the_bucket_is_the_shortest_of_which_few_enough_cover_the_range(
    start: datetime, length_s: float, points: int
) -> None:
    try:
        end = start + timedelta(seconds=length_s)
    except OverflowError:
        end = datetime.max.replace(tzinfo=UTC)
    if end <= start:
        return

    def needed(bucket_s: int) -> int:
        length = timedelta(seconds=bucket_s)
        return (end - timedelta(microseconds=1) - EPOCH) // length - (start - EPOCH) // length + 1

    bucket_s = bucket_s_for(start, end, points=points)

    assert needed(bucket_s) <= points
    steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200]
    steps += [86_400 * days for days in (1, 2, 7, 14, *(28 * 2**power for power in range(30)))]
    assert bucket_s == next(step for step in steps if needed(step) <= points)


def test_weeks_start_on_mondays_and_days_at_midnight(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0, {"t": 1})])

    (week,) = series(sensor, "t", start=T0 - 60 * DAY, end=T0 + DAY, points=10).points
    (day,) = series(sensor, "t", start=T0 - 5 * DAY, end=T0 + DAY, points=8).points

    assert week.start == datetime(2026, 2, 23, tzinfo=UTC)
    assert week.start.weekday() == 0
    assert day.start == datetime(2026, 3, 1, tzinfo=UTC)


def test_what_takes_too_long_is_refused_with_what_to_do(sensor: Sensor) -> None:
    with pytest.raises(Invalid) as refused, time_limit(0.05), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")

    assert refused.value.field == "start"
    assert refused.value.detail == "The answer took longer than 0.05 s. Ask for a shorter range."


def test_only_the_months_of_the_range_are_read(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 + timedelta(days=31 * month), {"t": month}) for month in range(5)])

    plan = queries.measurements_of(sensor, start=T0, end=T0 + timedelta(days=20)).explain()

    assert "telemetry_measurement_2026_03" in plan
    assert "telemetry_measurement_2026_04" not in plan
    assert "telemetry_measurement_old" not in plan
