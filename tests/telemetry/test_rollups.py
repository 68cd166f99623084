"""Rolling up: what is counted, what comes late, what it costs, and what a crash leaves."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet.ingest.batch import ingest_batch
from fleet.ingest.routes import InboundMessage
from sensors.models import Sensor
from telemetry import rollups
from telemetry.models import Attribute, HourRollup, MinuteRollup, RollupMark, RollupState
from telemetry.queries import sources
from telemetry.queries.series import series
from telemetry.rollups import rolling, summing
from tests.crashes import Crash, CrashAt
from tests.telemetry.rolling import HOUR, marks, roll_up, rolled, scan, store, stored, summed
from tests.telemetry.rows import T0, make_sensor, put_measurements

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_horizon")]
MINUTE = timedelta(minutes=1)


def test_each_hour_of_each_attribute_is_counted_once(sensor: Sensor) -> None:
    items: list[tuple[datetime, dict[str, Any]]] = [
        (T0 - 2 * HOUR, {"t": 20, "door": True}),
        (T0 - HOUR - timedelta(microseconds=1), {"t": 21.5, "name": "x"}),
        (T0 - HOUR, {"t": -3, "u": 7}),
        (T0, {"t": 100}),
    ]
    put_measurements(sensor, items)

    done = roll_up(T0 + 30 * MINUTE)

    assert (done.hours, done.measurements, done.again) == (2, 3, 0)
    assert (
        rolled(sensor)
        == summed(items[:3])
        == {
            ("t", T0 - 2 * HOUR): (2, 20.0, 21.5, 41.5),
            ("t", T0 - HOUR): (1, -3.0, -3.0, -3),
            ("u", T0 - HOUR): (1, 7.0, 7.0, 7),
        }
    )
    # All attributes become known, those without numbers too, each with the time of its first arrival.
    assert set(Attribute.objects.filter(sensor_id=sensor.pk).values_list("name", "first_at")) == {
        (name, T0) for name in ("t", "u", "door", "name")
    }
    assert roll_up(T0 + 30 * MINUTE) == rollups.Rolled()


def test_an_hour_is_over_five_minutes_after_its_end(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - MINUTE, {"t": 1})])

    assert roll_up(T0 + 5 * MINUTE - timedelta(microseconds=1)).hours == 0
    assert roll_up(T0 + 5 * MINUTE).hours == 1


def test_the_horizon_never_moves_back() -> None:
    assert rollups.current_horizon() == datetime(2000, 1, 1, tzinfo=UTC)
    assert rollups.advance_horizon(now=T0 + 6 * MINUTE) == T0
    assert rollups.advance_horizon(now=T0 - 5 * HOUR) == T0
    assert rollups.current_horizon() == T0


def test_ingest_learns_the_horizon_in_microseconds() -> None:
    with connection.cursor() as cursor:
        assert rollups.lock_horizon(cursor) == datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1e6
        rollups.advance_horizon(now=T0 + 6 * MINUTE)
        assert rollups.lock_horizon(cursor) == T0.timestamp() * 1e6


def test_an_hour_with_many_measurements_has_its_minutes(sensor: Sensor) -> None:
    many = [(T0 + number * timedelta(seconds=14), {"t": number}) for number in range(241)]
    few = [(T0 + HOUR + number * timedelta(seconds=14), {"t": number}) for number in range(240)]
    put_measurements(sensor, many + few)

    roll_up(T0 + 10 * HOUR)

    assert rolled(sensor) == summed(many + few)
    assert rolled(sensor, MinuteRollup) == summed(many, MINUTE)
    assert dict(HourRollup.objects.values_list("start", "is_dense")) == {T0: True, T0 + HOUR: False}


def test_an_hour_with_more_than_one_step_takes_is_taken_whole(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "MEASUREMENTS_PER_SENSOR", 250)
    items = [(T0 + number * timedelta(seconds=5), {"t": number}) for number in range(700)]
    # 100 of the first hour and 150 of the 300 of the second are within one step.
    items += [(T0 + 3 * HOUR + number * timedelta(seconds=10), {"t": number}) for number in range(100)]
    items += [(T0 + 4 * HOUR + number * timedelta(seconds=10), {"t": number}) for number in range(300)]
    put_measurements(sensor, items)

    done = roll_up(T0 + 10 * HOUR)

    assert rolled(sensor) == summed(items)
    assert done.hours == 3
    assert dict(HourRollup.objects.values_list("start", "is_dense")) == {
        T0: True,
        T0 + 3 * HOUR: False,
        T0 + 4 * HOUR: True,
    }


def test_what_comes_late_is_counted_and_what_comes_again_is_not(sensor: Sensor) -> None:
    first = [(T0 - 30 * MINUTE, {"t": 1}), (T0 - 2 * HOUR, {"t": 2})]
    store(sensor, first)
    roll_up(T0 + HOUR)

    assert store(sensor, first) == 0
    assert marks(sensor) == set()
    assert (
        store(sensor, [(T0 - 20 * MINUTE, {"t": 5, "new": 1}), (T0 - 9 * HOUR, {"t": 7}), (T0 + HOUR, {"t": 8})]) == 3
    )

    assert marks(sensor) == {T0 - HOUR, T0 - 9 * HOUR}
    assert rolled(sensor) == summed(first)
    done = roll_up(T0 + HOUR)
    assert (done.hours, done.again, marks(sensor)) == (0, 2, set())
    assert rolled(sensor) == summed(row for row in stored(sensor) if row[0] < T0)


def test_late_measurements_that_go_through_ingest_are_rolled_up_again(sensor: Sensor) -> None:
    def ingest(*moments: datetime) -> None:
        entries = [{"revision": 0, "timestamp": moment.timestamp(), "value": {"t": 1}} for moment in moments]
        payload = json.dumps({"measurements": entries}).encode()
        ingest_batch([InboundMessage(f"measurements/{sensor.identifier}", payload, T0)], now=T0)

    ingest(T0 - HOUR, T0)
    assert marks(sensor) == set()
    roll_up(T0 + 6 * MINUTE)

    ingest(T0 - HOUR, T0 - MINUTE, T0 - 5 * HOUR, T0 + MINUTE)

    assert marks(sensor) == {T0 - HOUR, T0 - 5 * HOUR}
    roll_up(T0 + 6 * MINUTE)
    assert rolled(sensor) == {
        ("t", T0 - HOUR): (2, 1.0, 1.0, 2),
        ("t", T0 - 5 * HOUR): (1, 1.0, 1.0, 1),
    }


def test_marks_wait_until_no_more_is_expected_and_then_go_together(sensor: Sensor) -> None:
    roll_up(T0)
    for number in range(3):
        store(sensor, [(T0 - 5 * HOUR + number * MINUTE, {"t": number})])
    # The marks' age is by the database's clock.
    now = timezone.now()

    assert rollups.roll_up(now=now - MINUTE, settle_time=MINUTE).again == 0
    RollupMark.objects.filter(pk=RollupMark.objects.earliest("pk").pk).update(created_at=now - 2 * MINUTE)
    assert RollupMark.objects.count() == 3
    done = rollups.roll_up(now=now, settle_time=MINUTE)

    assert (done.again, RollupMark.objects.count()) == (1, 0)
    assert rolled(sensor)["t", T0 - 5 * HOUR] == (3, 0.0, 2.0, 3)


def test_an_hour_that_becomes_dense_gets_minutes(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 3)
    store(sensor, [(T0 + number * 10 * MINUTE, {"t": number}) for number in range(3)])
    roll_up(T0 + 2 * HOUR)
    assert rolled(sensor, MinuteRollup) == {}

    store(sensor, [(T0 + 5 * MINUTE, {"t": 9})])
    roll_up(T0 + 2 * HOUR)

    assert rolled(sensor, MinuteRollup) == summed(stored(sensor), MINUTE)


def test_sums_of_the_largest_numbers_do_not_overflow(sensor: Sensor) -> None:
    largest = 1.7976931348623157e308
    store(sensor, [(T0 + number * MINUTE, {"t": largest, "u": -largest, "v": 5e-324}) for number in range(50)])

    roll_up(T0 + 2 * HOUR)

    for name, value in (("t", largest), ("u", -largest), ("v", 5e-324)):
        (point,) = series(sensor, name, start=T0, end=T0 + HOUR, points=1).points
        assert (point.count, point.min, point.mean, point.max) == (50, value, value, value)


def test_many_sensors_are_rolled_up_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "SENSORS_PER_STEP", 2)
    monkeypatch.setattr(rolling, "MOST_SENSORS_PER_STEP", 2)
    sensors = [make_sensor() for _ in range(7)]
    for number, each in enumerate(sensors):
        put_measurements(each, [(T0 - hours * HOUR, {"t": number}) for hours in range(1, 4)])

    done = roll_up(T0 + HOUR)

    assert done.steps >= 4
    assert [rolled(each) for each in sensors] == [summed(stored(each)) for each in sensors]
    assert not rollups.work_left()


def test_steps_take_more_sensors_while_they_bring_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "SENSORS_PER_STEP", 2)
    for _ in range(14):
        put_measurements(make_sensor(), [(T0 - HOUR, {"t": 1})])

    assert roll_up(T0 + HOUR).steps == 3


def test_a_run_ends_when_its_time_is_up(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - HOUR, {"t": 1})])

    assert rollups.roll_up(now=T0 + HOUR, limit_s=0) == rollups.Rolled()
    assert rollups.work_left() == rollups.Left(sensors=1, hours=0)


def test_rebuilding_reads_what_was_changed_by_hand(sensor: Sensor) -> None:
    store(sensor, [(T0 - hours * HOUR, {"t": hours}) for hours in (1, 2, 3)])
    roll_up()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM telemetry_measurement WHERE sensor_id = %s AND measured_at = %s", [sensor.pk, T0 - 2 * HOUR]
        )

    rollups.rebuild([sensor.pk])

    # Until it is rolled up again, the measurements are read.
    assert [point.mean for point in series(sensor, "t", start=T0 - 9 * HOUR, end=T0, points=9).points] == [3, 1]
    roll_up(T0 + HOUR)
    assert rolled(sensor) == summed(stored(sensor))


def test_many_marked_hours_are_read_with_what_lies_between(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_MAX_RAW_SPANS", 3)
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 2)
    # Each fourth hour is dense.
    for hours in range(24):
        store(sensor, [(T0 + hours * HOUR + n * MINUTE, {"t": hours}) for n in range(3 if hours % 4 == 0 else 1)])
    roll_up(T0 + 48 * HOUR)
    store(sensor, [(T0 + hours * HOUR + 30 * MINUTE, {"t": -1}) for hours in (2, 5, 6, 9, 17, 20)])

    for points, bucket_s in ((24, 3_600), (1_440, 60), (2_000, 60)):
        found = series(sensor, "t", start=T0, end=T0 + 24 * HOUR, points=points)
        assert found.bucket_s == bucket_s
        assert found.points == scan(stored(sensor), "t", T0, T0 + 24 * HOUR, bucket_s)


# --- Whatever ends a step before its commit --------------------------------------------------------


def everything() -> list[Any]:
    """Return all that rolling up writes."""
    return [
        sorted(model.objects.values_list(*fields))
        for model, fields in (
            (RollupState, ("sensor_id", "rolled_before")),
            (RollupMark, ("sensor_id", "hour")),
            (HourRollup, ("attribute_id", "start", "count", "sum")),
            (MinuteRollup, ("attribute_id", "start", "count", "sum")),
            (Attribute, ("sensor_id", "name")),
        )
    ]


@pytest.mark.parametrize("step", ["ahead", "late"])
def test_a_step_that_is_killed_anywhere_changes_nothing(
    sensor: Sensor, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 1)
    store(sensor, [(T0 - 2 * HOUR, {"t": 1}), (T0 - 2 * HOUR + MINUTE, {"t": 2})])
    if step == "late":
        roll_up()
        store(sensor, [(T0 - 110 * MINUTE, {"t": 5, "new": 6})])
    else:
        rollups.advance_horizon(now=T0 + 6 * MINUTE)
        rolling.add_states()
    before = everything()

    def run() -> None:
        if step == "late":
            rolling._roll_late(rollups.Rolled(), due_at=timezone.now() + HOUR)
        else:
            rolling._roll_ahead(rollups.Rolled(), horizon=T0, sensors=1)

    killed = 0
    while True:
        with transaction.atomic():
            try:
                with connection.execute_wrapper(CrashAt(killed + 1)):
                    run()
            except Crash as error:
                if "RELEASE SAVEPOINT" in str(error):
                    # That is the commit; all that came before it was ended.
                    break
            else:
                raise AssertionError("the step has no end")
        assert everything() == before, f"killed at statement {killed}"
        killed += 1

    assert killed > 8
    run()
    assert rolled(sensor) == summed(stored(sensor))


# --- What a series costs ---------------------------------------------------------------------------


def test_a_series_takes_the_same_number_of_queries_whatever_it_reads(sensor: Sensor) -> None:
    def queries(start: datetime, end: datetime) -> int:
        with CaptureQueriesContext(connection) as captured:
            series(sensor, "t", start=start, end=end)
        return len(captured)

    put_measurements(sensor, [(T0 - hours * HOUR, {"t": 1}) for hours in range(1, 100)])
    unrolled = queries(T0 - 100 * HOUR, T0)
    roll_up(T0 + HOUR)
    once = queries(T0 - HOUR, T0 + HOUR)
    store(sensor, [(T0 - hours * HOUR + MINUTE, {"t": 1}) for hours in range(1, 100, 2)])
    assert len(marks(sensor)) == 50

    assert queries(T0 - 100 * HOUR, T0 + HOUR) == queries(T0 - 90 * 24 * HOUR, T0) == once
    # Savepoint, limits, what is rolled up, which hours, how to group, the answer, end.
    assert (unrolled, once) == (6, 7)


def test_a_rolled_up_year_reads_no_measurement(sensor: Sensor) -> None:
    put_measurements(sensor, [(T0 - days * 24 * HOUR, {"t": days}) for days in range(1, 365)])
    roll_up(T0 + HOUR)

    with CaptureQueriesContext(connection) as captured:
        found = series(sensor, "t", start=T0 - 365 * 24 * HOUR, end=T0)

    assert not [query["sql"] for query in captured if "telemetry_measurement" in query["sql"]]
    assert sum(point.count for point in found.points) == 364
