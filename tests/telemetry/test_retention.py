"""What is kept and what goes: exact to the microsecond, in bounded batches, the same in a dry run."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from sensors.models import Network, Sensor, SensorTombstone
from telemetry import partitions, retention
from telemetry.models import Heartbeat, LogMessage, Measurement, RejectedMessage
from telemetry.partitions import TABLES, ensure_months, partitions_of
from telemetry.retention import prune, purge_deleted_sensors
from tests.telemetry.rows import (
    count,
    make_network,
    make_sensor,
    put_heartbeats,
    put_log_messages,
    put_measurements,
)

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def empty_world(db: None, settings: Any) -> None:
    """Nobody else's networks and rows, for the time of the test."""
    settings.RETENTION_DAYS = None
    Network.objects.all().delete()
    SensorTombstone.objects.all().delete()
    with connection.cursor() as cursor:
        # Not TRUNCATE, whose lock would keep a second connection out until the end of the test.
        for table in (*TABLES, "telemetry_rejectedmessage"):
            cursor.execute(f"DELETE FROM {table}")


def reject(sensor: Sensor | None, last_at: datetime, topic: str) -> None:
    RejectedMessage.objects.create(
        topic=topic,
        digest=b"",
        sensor_id=sensor and sensor.pk,
        reason="schema",
        first_at=last_at - 100 * DAY,
        last_at=last_at,
        payload=b"",
        payload_bytes=0,
    )


def put_everything(sensor: Sensor, moments: list[datetime]) -> None:
    put_measurements(sensor, [(moment, {"n": 1}) for moment in moments])
    put_heartbeats(sensor, [(moment, 0, True) for moment in moments])
    put_log_messages(sensor, [(moment, "info", "x") for moment in moments])


def times(sensor: Sensor) -> list[list[datetime]]:
    """Return which times each table still has."""
    return [
        list(model.objects.filter(sensor_id=sensor.pk).order_by("measured_at").values_list("measured_at", flat=True))
        for model in (Measurement, Heartbeat, LogMessage)
    ]


def names() -> set[str]:
    return {partition.name for table in TABLES for partition in partitions_of(table)}


def test_by_default_everything_is_kept() -> None:
    sensor = make_sensor()
    moments = [datetime(2003, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC), NOW]
    put_everything(sensor, moments)
    before = names()

    report = prune(now=NOW)

    assert (report.rows, report.steps) == (0, [])
    assert times(sensor) == [moments] * 3
    assert names() == before


def test_a_network_loses_what_is_older_than_it_keeps_and_nothing_else() -> None:
    brief, long, forever = (
        make_sensor(make_network(retention_days=10)),
        make_sensor(make_network(retention_days=40)),
        make_sensor(),
    )
    edge_10, edge_40 = NOW - 10 * DAY, NOW - 40 * DAY
    moments = [datetime(2003, 1, 1, tzinfo=UTC), edge_40 - MICROSECOND, edge_40, edge_10 - MICROSECOND, edge_10, NOW]
    for sensor in (brief, long, forever):
        put_everything(sensor, moments)
    before = names()

    report = prune(now=NOW)

    assert times(brief) == [moments[4:]] * 3
    assert times(long) == [moments[2:]] * 3
    assert times(forever) == [moments] * 3
    assert report.rows == (4 + 2) * 3
    per_network = Counter[str | None]()
    for step in report.steps:
        per_network[step.network] += step.rows
    assert per_network == {brief.network.slug: 12, long.network.slug: 6}
    # Somebody keeps everything, so no partition goes.
    assert names() == before
    assert prune(now=NOW).rows == 0


def test_the_servers_setting_is_for_networks_without_their_own(settings: Any) -> None:
    settings.RETENTION_DAYS = 20
    own, default = make_sensor(make_network(retention_days=50)), make_sensor()
    moments = [NOW - 60 * DAY, NOW - 30 * DAY, NOW - 15 * DAY]
    for sensor in (own, default):
        put_everything(sensor, moments)

    prune(now=NOW)

    assert times(own) == [moments[1:]] * 3
    assert times(default) == [moments[2:]] * 3


def test_months_past_the_longest_retention_are_dropped_whole_and_older_ones_emptied() -> None:
    brief, long = make_sensor(make_network(retention_days=10)), make_sensor(make_network(retention_days=45))
    # The 45 days reach back to 29 January, so January is kept in part and December not at all.
    moments = [
        datetime(2003, 1, 1, tzinfo=UTC),
        datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 1, 28, tzinfo=UTC),
        datetime(2026, 1, 30, tzinfo=UTC),
        datetime(2026, 3, 14, tzinfo=UTC),
    ]
    for sensor in (brief, long):
        put_everything(sensor, moments)

    report = prune(now=NOW)

    assert times(brief) == [moments[4:]] * 3
    assert times(long) == [moments[3:]] * 3
    for table in TABLES:
        assert f"{table}_2025_12" not in names()
        assert {f"{table}_2026_01", f"{table}_old"} <= names()
    assert report.rows == (4 + 3) * 3
    actions = Counter[str]()
    for step in report.steps:
        actions[step.action] += step.rows
    # Two rows of December and two of 2003 in each table; the rest row by row.
    assert (actions["drop"], actions["empty"], actions["delete"]) == (6, 6, 9)


def test_what_was_dropped_can_come_again() -> None:
    sensor = make_sensor(make_network(retention_days=10))
    old = datetime(2025, 12, 5, tzinfo=UTC)
    put_measurements(sensor, [(old, {"n": 1})])
    assert prune(now=NOW).rows == 1
    assert "telemetry_measurement_2025_12" not in names()

    partitions.forget_months()
    assert put_measurements(sensor, [(old, {"n": 1})]) == 1

    assert count("telemetry_measurement", sensor) == 1


def test_a_dry_run_tells_the_same_and_deletes_nothing(settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    sensors = [make_sensor(make_network(retention_days=days)) for days in (5, 60, None)]
    moments = [datetime(2003, 1, 1, tzinfo=UTC), *(NOW - days * DAY for days in (100, 59, 31, 29, 6, 4))]
    for sensor in sensors:
        put_everything(sensor, moments)
        reject(sensor, NOW - 61 * DAY, sensor.identifier)
    before = names()

    planned = prune(now=NOW, dry_run=True)

    assert [times(sensor) for sensor in sensors] == [[moments] * 3] * 3
    assert (names(), RejectedMessage.objects.count()) == (before, 3)
    done = prune(now=NOW)
    assert planned.steps == done.steps
    assert (planned.dry_run, done.dry_run) == (True, False)
    assert done.rows == sum(len(moments) * 3 + 1 - len(kept) * 3 for kept in (moments[6:], moments[2:], moments[4:]))


def test_rejected_messages_go_with_the_telemetry_of_their_sensor(settings: Any) -> None:
    settings.RETENTION_DAYS = 30
    settings.REJECTED_RETENTION_DAYS = 60
    brief, long = make_sensor(make_network(retention_days=10)), make_sensor(make_network(retention_days=90))
    for days in (5, 20, 40):
        for name, sensor in (("brief", brief), ("long", long), ("unknown", None)):
            reject(sensor, NOW - days * DAY, f"{name} {days}")
    reject(brief, NOW - 10 * DAY, "brief edge")

    report = prune(now=NOW)

    assert set(RejectedMessage.objects.values_list("topic", flat=True)) == {
        "brief 5",
        "brief edge",
        "long 5",
        "long 20",
        "long 40",
        "unknown 5",
        "unknown 20",
    }
    assert report.rows == 3


def test_rows_go_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_BATCH", 7)
    monkeypatch.setattr(retention, "SENSORS_PER_BATCH", 2)
    network = make_network(retention_days=10)
    sensors = [make_sensor(network) for _ in range(5)]
    make_sensor()
    for sensor in sensors:
        put_measurements(sensor, [(NOW - 11 * DAY, {"n": number}) for number in range(10)])
        put_measurements(sensor, [(NOW, {"n": 0})])

    report = prune(now=NOW)

    assert report.rows == 50
    assert count("telemetry_measurement") == 5


def test_a_partition_in_use_is_emptied_and_dropped_another_time(other: psycopg.Connection) -> None:
    sensor = make_sensor(make_network(retention_days=10))
    put_measurements(sensor, [(datetime(2025, 12, 5, tzinfo=UTC), {"n": number}) for number in range(3)])
    # An export reads, for minutes.
    other.execute("SELECT count(*) FROM telemetry_measurement")

    report = prune(now=NOW)

    of_it = [step for step in report.steps if step.table == "telemetry_measurement_2025_12"]
    assert [(step.action, step.rows) for step in of_it] == [("delete", 3)]
    assert count("telemetry_measurement") == 0
    assert "telemetry_measurement_2025_12" in names()
    assert "telemetry_heartbeat_2025_12" not in names()

    other.rollback()
    assert prune(now=NOW).rows == 0
    assert "telemetry_measurement_2025_12" not in names()


def test_a_network_that_is_made_meanwhile_and_keeps_everything_stops_the_drop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sensor = make_sensor(make_network(retention_days=10))
    put_measurements(sensor, [(datetime(2025, 12, 5, tzinfo=UTC), {"n": 1})])
    newcomers: list[Sensor] = []
    count_rows = retention._count

    def make_newcomer_while_counting(table: str) -> int:
        if not newcomers:
            newcomers.append(make_sensor())
            put_measurements(newcomers[0], [(datetime(2025, 12, 6, tzinfo=UTC), {"n": 2})])
        return count_rows(table)

    monkeypatch.setattr(retention, "_count", make_newcomer_while_counting)

    prune(now=NOW)

    assert count("telemetry_measurement", sensor) == 0
    assert count("telemetry_measurement", newcomers[0]) == 1


def test_empty_months_past_the_longest_retention_go_too() -> None:
    make_sensor(make_network(retention_days=10))
    ensure_months([date(2025, 6, 1), date(2026, 3, 1)])

    report = prune(now=NOW)

    assert report.rows == 0
    assert "telemetry_measurement_2025_06" not in names()
    assert "telemetry_measurement_2026_03" in names()


# --- Deleted sensors -----------------------------------------------------------------------------


def delete_sensor(sensor: Sensor, *, deleted_at: datetime, cleared: bool) -> SensorTombstone:
    """Delete a sensor, as of `deleted_at`; cleared: the bridge has removed its retained message."""
    number = sensor.pk
    sensor.delete()
    SensorTombstone.objects.filter(sensor_id=number).update(
        deleted_at=deleted_at, cleared_at=deleted_at if cleared else None
    )
    return SensorTombstone.objects.get(sensor_id=number)


def test_a_deleted_sensors_telemetry_goes_and_its_namesakes_stays() -> None:
    network = make_network()
    sensor, neighbour = make_sensor(network), make_sensor(network)
    moments = [datetime(2003, 1, 1, tzinfo=UTC), NOW - 40 * DAY, NOW]
    for each in (sensor, neighbour):
        put_everything(each, moments)
        reject(each, NOW, each.identifier)
    number, identifier = sensor.pk, sensor.identifier
    tombstone = delete_sensor(sensor, deleted_at=NOW - DAY, cleared=True)
    namesake = Sensor.objects.create(identifier=identifier, network=network)
    put_everything(namesake, moments)

    planned = purge_deleted_sensors(now=NOW, dry_run=True)
    assert SensorTombstone.objects.get(pk=tombstone.pk).purged_at is None
    report = purge_deleted_sensors(now=NOW)

    assert planned.steps == report.steps
    assert {(step.table, step.rows, step.sensor) for step in report.steps} == {
        ("telemetry_measurement", 3, identifier),
        ("telemetry_heartbeat", 3, identifier),
        ("telemetry_logmessage", 3, identifier),
        ("telemetry_rejectedmessage", 1, identifier),
    }
    assert not any(model.objects.filter(sensor_id=number).exists() for model in (Measurement, Heartbeat, LogMessage))
    assert times(neighbour) == times(namesake) == [moments] * 3
    assert not SensorTombstone.objects.exists()


def test_a_tombstone_stays_until_the_retained_message_is_cleared_too() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(NOW, {"n": 1})])
    tombstone = delete_sensor(sensor, deleted_at=NOW - DAY, cleared=False)

    assert purge_deleted_sensors(now=NOW).rows == 1
    tombstone.refresh_from_db()
    assert tombstone.purged_at == NOW
    assert purge_deleted_sensors(now=NOW).rows == 0
    assert SensorTombstone.objects.filter(pk=tombstone.pk).exists()

    SensorTombstone.objects.filter(pk=tombstone.pk).update(cleared_at=NOW)
    purge_deleted_sensors(now=NOW)
    assert not SensorTombstone.objects.exists()


def test_a_sensor_deleted_just_now_waits_for_batches_that_still_know_it() -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(NOW, {"n": 1})])
    delete_sensor(sensor, deleted_at=NOW - timedelta(minutes=10), cleared=True)

    assert purge_deleted_sensors(now=NOW).rows == 0
    assert purge_deleted_sensors(now=NOW + MICROSECOND).rows == 1
