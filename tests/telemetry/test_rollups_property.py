"""Series from rollups and measurements are what a full scan finds, whatever came when and however far it is rolled."""

from datetime import datetime, timedelta
from itertools import pairwise
from math import isclose
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from sensors.models import Sensor
from telemetry import rollups
from telemetry.models import HourRollup, Measurement, MinuteRollup, RollupHorizon
from telemetry.queries import sources
from telemetry.queries.series import Bucket, series
from telemetry.rollups import rolling, spans, summing
from telemetry.rollups.horizon import hour_of, next_hour
from tests.telemetry.rolling import NO_MATTER_HOW_OLD, roll_up, rolled, scan, store, stored, summed
from tests.telemetry.rows import T0, make_network, make_sensor

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
_SECOND_US = 10**6
_HOUR_US = 3_600 * _SECOND_US


@pytest.fixture(autouse=True)
def everything_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few measurements be dense hours, and several steps and raw spans."""
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 2)
    monkeypatch.setattr(rolling, "MEASUREMENTS_PER_SENSOR", 3)
    monkeypatch.setattr(rolling, "HOURS_PER_STEP", 1)
    monkeypatch.setattr(sources, "_MAX_RAW_SPANS", 3)


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    st.floats(-100, 100, allow_nan=False, allow_subnormal=False),
    st.just(1.7976931348623157e308),
)
values = st.dictionaries(
    st.sampled_from(["t", "u"]), st.one_of(numbers, numbers, st.sampled_from(["1", True, None])), max_size=2
)
offsets_us = st.one_of(
    # Crowded, so that hours are dense and minutes hold several.
    st.integers(-3 * _HOUR_US, _HOUR_US),
    st.integers(-40, 20).map(lambda minutes: minutes * 60 * _SECOND_US),
    st.integers(-60 * 24 * _HOUR_US, 24 * _HOUR_US),
    # On the edges of hours.
    st.integers(-30, 10).map(lambda hours: hours * _HOUR_US),
)
batches = st.lists(st.tuples(offsets_us, values), min_size=1, max_size=8)
actions = st.one_of(
    batches.map(lambda batch: ("store", batch)),
    st.integers(-5, 40).map(lambda hours: ("advance", hours)),
    st.integers(1, 3).map(lambda steps: ("late", steps)),
    st.integers(1, 3).map(lambda steps: ("ahead", steps)),
    st.just(("repeat", None)),
    st.just(("rebuild", None)),
    st.just(("ask", None)),
)
questions = st.tuples(
    st.tuples(offsets_us, offsets_us).filter(lambda pair: pair[0] != pair[1]), st.sampled_from([1, 3, 30, 300, 2_000])
)


def moment(offset_us: int) -> datetime:
    return T0 + timedelta(microseconds=offset_us)


# Whatever else is asked: all there is, and the crowded hours by the hour and by the minute.
ALWAYS_ASKED = [
    ((-60 * 24 * _HOUR_US, 24 * _HOUR_US), 2_000),
    ((-4 * _HOUR_US - 1, 2 * _HOUR_US + 1), 8),
    ((-4 * _HOUR_US - 1, 2 * _HOUR_US + 1), 400),
]


def same(some: list[Bucket], others: list[Bucket]) -> bool:
    """Return whether both are the same but for the last bit of a mean: PostgreSQL divides to some sixteen digits."""
    means = [(one.mean, other.mean) for one, other in zip(some, others, strict=False)]
    exact = [[structs.replace(bucket, mean=0.0) for bucket in buckets] for buckets in (some, others)]
    return exact[0] == exact[1] and all(isclose(one, other, rel_tol=1e-15) for one, other in means)


def check(sensor: Sensor, asked: list[tuple[tuple[int, int], int]]) -> None:
    rows = stored(sensor)
    for bounds, points in (*asked, *ALWAYS_ASKED):
        start, end = (moment(offset) for offset in sorted(bounds))
        found = series(sensor, "t", start=start, end=end, points=points)
        assert same(found.points, scan(rows, "t", start, end, found.bucket_s)), (start, end, points)
        assert len(found.points) <= points


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=batches,
    hours=st.integers(-5, 40),
    late=batches,
    steps=st.lists(actions, max_size=12),
    asked=st.lists(questions, min_size=1, max_size=3),
)
def test_a_series_is_what_a_full_scan_finds_however_far_it_is_rolled_up(
    first: list[tuple[int, Any]],
    hours: int,
    late: list[tuple[int, Any]],
    steps: list[tuple[str, Any]],
    asked: list[tuple[tuple[int, int], int]],
) -> None:
    RollupHorizon.objects.all().delete()
    sensor = make_sensor()
    last: list[tuple[datetime, Any]] = []
    # Something is always rolled up, and something always late; what else happens comes in any order.
    begin = [("store", first), ("advance", hours), ("ahead", 6), ("store", late), ("ask", None)]
    for action, detail in [*begin, *steps]:
        if action == "store":
            last = [(moment(offset), value) for offset, value in detail]
            store(sensor, last)
        elif action == "repeat":
            store(sensor, last)
        elif action == "advance":
            rollups.advance_horizon(now=T0 + detail * HOUR)
            rolling.add_states()
        elif action == "late":
            for _ in range(detail):
                rolling._roll_late(rollups.Rolled(), due_at=T0 - NO_MATTER_HOW_OLD)
        elif action == "ahead":
            for _ in range(detail):
                rolling._roll_ahead(rollups.Rolled(), horizon=rollups.current_horizon(), sensors=20)
        elif action == "rebuild":
            rollups.rebuild([sensor.pk])
        else:
            check(sensor, asked)
    check(sensor, asked)

    roll_up(T0 + 48 * HOUR)

    assert not rollups.work_left()
    assert rolled(sensor) == summed(stored(sensor))
    minutes = summed(stored(sensor), MINUTE)
    assert rolled(sensor, MinuteRollup).items() <= minutes.items()
    dense = set(HourRollup.objects.filter(is_dense=True).values_list("start", flat=True))
    assert {start.replace(minute=0) for _, start in rolled(sensor, MinuteRollup)} <= dense
    check(sensor, asked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=batches, after=batches, cut_us=offsets_us, asked=st.lists(questions, min_size=1, max_size=4))
def test_what_retention_deleted_stays_in_the_series_by_the_hour(
    before: list[tuple[int, Any]], after: list[tuple[int, Any]], cut_us: int, asked: list[tuple[tuple[int, int], int]]
) -> None:
    RollupHorizon.objects.all().delete()
    sensor = make_sensor(make_network())
    store(sensor, [(moment(offset), value) for offset, value in before])
    rows = stored(sensor)
    cut = moment(cut_us)
    now = T0 + 48 * HOUR

    rollups.freeze([sensor.pk], before=cut, now=now)
    _delete_raw(sensor, cut)
    frozen_before = next_hour(cut)
    # What is measured in frozen hours is not counted any more, nor takes away what is.
    store(sensor, [(moment(offset), value) for offset, value in after])
    counted = [row for row in stored(sensor) if row[0] >= frozen_before]
    expected = [row for row in rows if row[0] < frozen_before] + counted

    for is_rolled in (False, True):
        if is_rolled:
            roll_up(now)
        for bounds, points in asked:
            start, end = (moment(offset) for offset in sorted(bounds))
            found = series(sensor, "t", start=start, end=end, points=points)
            # On whole hours; at an edge within one there may be less.
            start, end = next_hour(start), hour_of(end)
            if start < end and found.bucket_s % 3_600 == 0:
                whole = series(sensor, "t", start=start, end=end, points=points)
                assert same(whole.points, scan(expected, "t", start, end, whole.bucket_s))
            assert len(found.points) <= points


def _delete_raw(sensor: Sensor, before: datetime) -> None:
    Measurement.objects.filter(sensor_id=sensor.pk, measured_at__lt=before).delete()


# --- Spans, with hours for moments -----------------------------------------------------------------

span_lists = st.lists(st.integers(0, 60), unique=True, max_size=12).map(
    lambda points: [
        (T0 + first * MINUTE, T0 + last * MINUTE)
        for first, last in zip(sorted(points)[::2], sorted(points)[1::2], strict=False)
    ]
)


def covered(some: list[spans.Span]) -> set[int]:
    return {minute for minute in range(-1, 62) for start, end in some if start <= T0 + minute * MINUTE < end}


@given(some=span_lists, others=span_lists, most=st.integers(1, 5))
def test_spans_cover_what_they_should(some: list[spans.Span], others: list[spans.Span], most: int) -> None:
    assert covered(spans.without(some, others)) == covered(some) - covered(others)
    assert covered(spans.common(some, others)) == covered(some) & covered(others)
    assert covered(spans.joined(sorted(some + others))) == covered(some) | covered(others)

    few = spans.joined(some, most=most)

    assert len(few) == min(most, len(some))
    assert covered(few) >= covered(some)
    assert all(end < start for (_, end), (start, _) in pairwise(few))
    widest = sorted((start - end for (_, end), (start, _) in pairwise(some)), reverse=True)
    assert sorted((start - end for (_, end), (start, _) in pairwise(few)), reverse=True) == (widest[: max(0, most - 1)])


@given(some=span_lists)
def test_whole_units_are_the_inner_part_of_a_span(some: list[spans.Span]) -> None:
    assert spans.whole(some, MINUTE) == some
    ten = timedelta(minutes=10)
    expected = {
        minute
        for start, end in some
        for minute in covered([(start, end)])
        if start <= T0 + minute // 10 * ten and T0 + (minute // 10 + 1) * ten <= end
    }
    assert covered(spans.whole(some, ten)) == expected
