"""Rolling up beside ingest, beside other workers, and beside the deletion of sensors."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg.rows import TupleRow

from sensors.models import Network, Sensor
from telemetry import rollups
from telemetry.models import Attribute, HourRollup, MinuteRollup, RollupHorizon, RollupMark, RollupState
from telemetry.queries.series import series
from telemetry.rollups import rolling
from tests.bridges import database_url
from tests.telemetry.rolling import HOUR, NO_MATTER_HOW_OLD, marks, roll_up, rolled, scan, store, stored, summed
from tests.telemetry.rows import T0, make_network, make_sensor, put_measurements
from tests.waiting import wait_until

MINUTE = timedelta(minutes=1)
MODELS = (RollupHorizon, RollupState, RollupMark, HourRollup, MinuteRollup, Attribute)

Run = Callable[[Callable[[], Any]], Future[Any]]


@pytest.fixture(autouse=True)
def committed_and_cleared(committed: None) -> Iterator[None]:
    """Begin and end without rollups; what the test commits, others see."""
    clear()
    yield
    clear()
    Network.objects.all().delete()


def clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM telemetry_measurement")
    for model in MODELS:
        model.objects.all().delete()


@pytest.fixture
def beside() -> Iterator[Run]:
    """Return a function that runs another in a thread with a connection of its own."""
    with ThreadPoolExecutor(4) as pool:

        def run(work: Callable[[], Any]) -> Future[Any]:
            def and_close() -> Any:
                try:
                    return work()
                finally:
                    connection.close()

            return pool.submit(and_close)

        yield run


def waiting(own: psycopg.Connection[TupleRow], kind: str) -> Callable[[], bool]:
    """Return a function that tells whether somebody waits for a lock of `kind`; outside of a transaction."""

    def look() -> bool:
        with psycopg.connect(database_url(), autocommit=True) as fresh:
            (number,) = fresh.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND wait_event = %s AND pid <> %s",
                [kind, own.info.backend_pid],
            ).fetchone() or (0,)
            return bool(number)

    return look


def test_the_horizon_waits_for_the_batches_that_know_the_old_one(other: psycopg.Connection[TupleRow]) -> None:
    other.execute("SELECT telemetry_lock_horizon()")

    assert rollups.advance_horizon(now=T0 + 6 * MINUTE, wait_s=0.05) == datetime(2000, 1, 1, tzinfo=UTC)
    other.commit()

    assert rollups.advance_horizon(now=T0 + 6 * MINUTE, wait_s=0.05) == T0


def test_batches_do_not_wait_for_each_other(other: psycopg.Connection[TupleRow]) -> None:
    other.execute("SELECT telemetry_lock_horizon()")

    assert store(make_sensor(), [(T0, {"t": 1})]) == 1


def test_a_batch_that_waited_for_the_horizon_learns_the_new_one(
    other: psycopg.Connection[TupleRow], beside: Run
) -> None:
    other.execute("SELECT pg_advisory_xact_lock(%s)", [rolling.advance_horizon.__globals__["_LOCK_KEY"]])
    other.execute("INSERT INTO telemetry_rolluphorizon (id, late_before) VALUES (1, %s)", [T0])

    def ask() -> int:
        with connection.cursor() as cursor:
            return rollups.lock_horizon(cursor)

    answer = beside(ask)
    wait_until(waiting(other, "advisory"), what="the batch to wait")
    other.commit()

    assert answer.result(10) == T0.timestamp() * 1e6


def test_a_batch_between_the_horizon_and_the_rolling_is_counted_once() -> None:
    sensor = make_sensor()
    store(sensor, [(T0 - 2 * HOUR, {"t": 1})])
    rollups.advance_horizon(now=T0 + 6 * MINUTE)
    store(sensor, [(T0 - 2 * HOUR + MINUTE, {"t": 2}), (T0 - 5 * HOUR, {"t": 3})])
    assert marks(sensor) == {T0 - 2 * HOUR, T0 - 5 * HOUR}

    for _ in range(3):
        found = series(sensor, "t", start=T0 - 9 * HOUR, end=T0, points=9)
        assert found.points == scan(stored(sensor), "t", T0 - 9 * HOUR, T0, 3_600)
        roll_up(T0 + 6 * MINUTE)

    assert rolled(sensor) == summed(stored(sensor))
    assert marks(sensor) == set()


def test_what_is_not_committed_when_an_hour_is_rolled_up_again_keeps_its_mark(
    other: psycopg.Connection[TupleRow],
) -> None:
    sensor = make_sensor()
    store(sensor, [(T0 - 2 * HOUR, {"t": 1})])
    roll_up(T0 + HOUR)
    # A batch that takes its time.
    other.execute("SELECT telemetry_lock_horizon()")
    other.execute(
        "INSERT INTO telemetry_measurement SELECT sensor_id, measured_at + interval '1 minute', digest, received_at,"
        " revision, value FROM telemetry_measurement WHERE sensor_id = %s",
        [sensor.pk],
    )
    rollups.mark_late(other, [(sensor.pk, int((T0 - 2 * HOUR).timestamp()) * 10**6)])
    store(sensor, [(T0 - 2 * HOUR + 2 * MINUTE, {"t": 2})])

    assert roll_up(T0 + HOUR).again == 1
    assert rolled(sensor)["t", T0 - 2 * HOUR][0] == 2
    other.commit()
    assert marks(sensor) == {T0 - 2 * HOUR}

    assert roll_up(T0 + HOUR).again == 1
    assert rolled(sensor) == summed(stored(sensor))


def test_a_sensor_that_somebody_rolls_up_is_passed_over(other: psycopg.Connection[TupleRow]) -> None:
    busy, idle = make_sensor(), make_sensor()
    for sensor in (busy, idle):
        store(sensor, [(T0 - 2 * HOUR, {"t": 1})])
    roll_up()
    for sensor in (busy, idle):
        store(sensor, [(T0 - 2 * HOUR + MINUTE, {"t": 2}), (T0 + MINUTE, {"t": 3})])
    other.execute("SELECT FROM telemetry_rollupstate WHERE sensor_id = %s FOR UPDATE", [busy.pk])

    roll_up(T0 + 2 * HOUR)

    assert rolled(idle) == summed(stored(idle))
    assert rolled(busy)["t", T0 - 2 * HOUR][0] == 1
    assert rollups.work_left() == rollups.Left(sensors=1, hours=1)
    with pytest.raises(CommandError, match="1 sensors are still behind"):
        call_command("roll_up", stdout=io.StringIO())
    other.rollback()
    roll_up(T0 + 2 * HOUR)
    assert rolled(busy) == summed(stored(busy))


def test_several_workers_beside_ingest_roll_everything_up_once(beside: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "SENSORS_PER_STEP", 2)
    monkeypatch.setattr(rolling, "MEASUREMENTS_PER_SENSOR", 5)
    monkeypatch.setattr(rolling, "HOURS_PER_STEP", 3)
    sensors = [make_sensor() for _ in range(6)]
    for sensor in sensors:
        put_measurements(sensor, [(T0 - number * 20 * MINUTE, {"t": number, "u": 1}) for number in range(60)])
    stop = threading.Event()

    def work() -> int:
        hours = 0
        while not stop.is_set():
            hours += rollups.roll_up(now=T0 + HOUR, settle_time=NO_MATTER_HOW_OLD).hours
        return hours

    workers = [beside(work) for _ in range(2)]
    try:
        for number in range(40):
            for sensor in sensors:
                store(sensor, [(T0 - number * 25 * MINUTE + timedelta(seconds=1), {"t": number, "v": 2})])
        wait_until(lambda: not rollups.work_left(), what="the workers to be done")
    finally:
        stop.set()
    hours = sum(worker.result(10) for worker in workers)

    for sensor in sensors:
        rows = [row for row in stored(sensor) if row[0] < T0]
        assert rolled(sensor) == summed(rows)
    # Each hour was rolled up for the first time by one worker alone, or only as a late one.
    assert hours <= HourRollup.objects.values("start").distinct().count() * len(sensors)


def test_an_attribute_that_ingest_is_just_making_is_waited_for(
    other: psycopg.Connection[TupleRow], beside: Run
) -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(T0 - HOUR, {"t": 1})])
    other.execute("INSERT INTO telemetry_attribute (sensor_id, name, first_at) VALUES (%s, 't', %s)", [sensor.pk, T0])

    done = beside(lambda: roll_up(T0 + HOUR))
    wait_until(waiting(other, "transactionid"), what="the worker to wait for the attribute")
    other.commit()

    assert done.result(10).hours == 1
    assert rolled(sensor) == summed(stored(sensor))


def test_freezing_waits_for_who_rolls_the_sensor_up(other: psycopg.Connection[TupleRow], beside: Run) -> None:
    sensor: Sensor = make_sensor(make_network())
    put_measurements(sensor, [(T0 - 50 * HOUR, {"t": 1})])
    roll_up(T0 - 60 * HOUR)
    other.execute("SELECT FROM telemetry_rollupstate WHERE sensor_id = %s FOR UPDATE", [sensor.pk])

    done = beside(lambda: rollups.freeze([sensor.pk], before=T0 - 40 * HOUR, now=T0))
    wait_until(waiting(other, "transactionid"), what="the freezing to wait")
    assert RollupState.objects.get(sensor_id=sensor.pk).raw_before is None
    other.rollback()
    done.result(10)

    assert RollupState.objects.get(sensor_id=sensor.pk).raw_before == T0 - 40 * HOUR
    assert rolled(sensor) == summed(stored(sensor))
