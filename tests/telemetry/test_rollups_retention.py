"""Rollups outlive what they were made from: retention rolls up first, and keeps what it then cannot make again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from sensors import services
from sensors.errors import Invalid
from sensors.models import Network, Sensor, SensorTombstone
from telemetry import rollups
from telemetry.models import Attribute, HourRollup, Measurement, MinuteRollup, RollupMark, RollupState
from telemetry.queries.series import series
from telemetry.retention import prune, purge_deleted_sensors
from telemetry.rollups import rolling, summing
from tests.telemetry.rolling import HOUR, marks, roll_up, rolled, scan, store, stored, summed
from tests.telemetry.rows import make_network, make_sensor, put_measurements

pytestmark = pytest.mark.django_db
# Not on a full hour, so that retention cuts one in two.
NOW = datetime(2026, 3, 15, 12, 20, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def empty_world(db: None, settings: Any) -> None:
    """Nobody else's networks and rollups, for the time of the test."""
    settings.RETENTION_DAYS = None
    Network.objects.all().delete()
    SensorTombstone.objects.all().delete()


@pytest.fixture
def sensor() -> Sensor:
    """Return a sensor of a network that keeps telemetry for ten days and rollups for ever."""
    return make_sensor(make_network(retention_days=10))


def fill(sensor: Sensor) -> list[tuple[datetime, Any]]:
    """Store a measurement every half hour of 20 days; return them."""
    items = [(NOW - number * 30 * MINUTE, {"t": number}) for number in range(20 * 48)]
    put_measurements(sensor, items)
    return items


def test_what_goes_is_rolled_up_first(sensor: Sensor) -> None:
    items = fill(sensor)

    prune(now=NOW)

    assert Measurement.objects.filter(sensor_id=sensor.pk).count() == 10 * 48 + 1
    assert rolled(sensor).items() >= summed(row for row in items if row[0] < NOW - 10 * DAY + HOUR).items()
    found = series(sensor, "t", start=NOW.replace(minute=0) - 18 * DAY, end=NOW, points=500)
    assert found.points == scan(items, "t", NOW.replace(minute=0) - 18 * DAY, NOW, found.bucket_s)
    # All that is left of it, from the first hour on.
    assert sum(point.count for point in series(sensor, "t").points) == len(items)


def test_marks_of_what_goes_are_worked_off_first(sensor: Sensor) -> None:
    fill(sensor)
    roll_up(NOW)
    store(sensor, [(NOW - 15 * DAY, {"t": -1, "late": 1}), (NOW - 2 * DAY, {"t": -2})])
    items = stored(sensor)

    prune(now=NOW)

    assert marks(sensor) == {(NOW - 2 * DAY).replace(minute=0)}
    roll_up(NOW)
    assert rolled(sensor) == summed(row for row in items if row[0] < NOW.replace(minute=0))


def test_what_comes_later_still_does_not_harm_the_hours_behind_the_cut(sensor: Sensor) -> None:
    items = fill(sensor)
    prune(now=NOW)
    roll_up(NOW)
    kept = rolled(sensor)
    cut = NOW - 10 * DAY

    store(sensor, [(NOW - 15 * DAY, {"t": 1_000}), (cut + MINUTE, {"t": 1_000}), (cut + HOUR, {"t": 1_000})])

    for _ in range(2):
        start, end = NOW.replace(minute=0) - 19 * DAY, NOW
        found = series(sensor, "t", start=start, end=end, points=500)
        assert found.points == scan([*items, (cut + HOUR, {"t": 1_000})], "t", start, end, found.bucket_s)
        roll_up(NOW)
    after = rolled(sensor)
    changed = ("t", (cut + HOUR).replace(minute=0))
    assert {key: row for key, row in after.items() if kept.get(key) != row}.keys() == {changed}
    assert marks(sensor) == set()


def test_a_longer_retention_does_not_thaw_what_is_gone(sensor: Sensor) -> None:
    items = fill(sensor)
    prune(now=NOW)
    roll_up(NOW)
    services.update_network(sensor.network, retention_days=None)
    kept = rolled(sensor)

    store(sensor, [(NOW - 15 * DAY, {"t": 1_000})])
    rollups.rebuild([sensor.pk])
    roll_up(NOW)
    prune(now=NOW)

    assert rolled(sensor) == kept == summed(row for row in items if row[0] < NOW.replace(minute=0))


def test_short_buckets_give_way_where_only_hours_are_left(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 3)
    old = (NOW - 15 * DAY).replace(minute=0)
    dense = [(old + DAY + number * 10 * MINUTE, {"t": number}) for number in range(12)]
    sparse = [(old + number * 30 * MINUTE, {"t": number}) for number in range(4)]
    put_measurements(sensor, [*dense, *sparse])
    # Buckets that are asked for: 10 s, 2 min, both within an hour.
    before = series(sensor, "t", start=old, end=old + 2 * HOUR, points=720)
    assert before.bucket_s == 10

    prune(now=NOW)

    for start, end, points, bucket_s, rows in (
        (old, old + 2 * HOUR, 720, 3_600, sparse),
        (old + DAY, old + DAY + 2 * HOUR, 720, 60, dense),
        (old + DAY, old + DAY + 2 * HOUR, 60, 120, dense),
        (old + DAY + 20 * MINUTE, old + DAY + 100 * MINUTE, 80, 60, dense),
        (old + 2 * DAY, old + 2 * DAY + HOUR, 720, 5, []),
    ):
        found = series(sensor, "t", start=start, end=end, points=points)
        assert found.bucket_s == bucket_s
        assert found.points == scan(rows, "t", start, end, bucket_s)


def test_a_network_keeps_rollups_as_long_as_it_says_and_never_shorter_than_telemetry(settings: Any) -> None:
    settings.RETENTION_DAYS = 14
    networks = {
        "both": make_network(retention_days=5, rollup_retention_days=12),
        "by the server": make_network(rollup_retention_days=3),
        "for ever": make_network(retention_days=5),
    }
    sensors = {name: make_sensor(network) for name, network in networks.items()}
    for each in sensors.values():
        fill(each)
    roll_up(NOW)

    planned = prune(now=NOW, dry_run=True)
    report = prune(now=NOW)

    def oldest(name: str) -> datetime:
        return min(start for _, start in rolled(sensors[name]))

    assert oldest("both") == (NOW - 12 * DAY).replace(minute=0)
    assert oldest("by the server") == (NOW - 14 * DAY).replace(minute=0)
    assert oldest("for ever") == (NOW - 20 * DAY + 30 * MINUTE).replace(minute=0)
    assert planned.steps == report.steps
    assert {
        (step.network, step.rows, step.before) for step in report.steps if step.table == "telemetry_hourrollup"
    } == {
        (networks["both"].slug, 8 * 24, (NOW - 12 * DAY).replace(minute=0)),
        (networks["by the server"].slug, 6 * 24, (NOW - 14 * DAY).replace(minute=0)),
    }
    assert prune(now=NOW).rows == 0


def test_rollups_for_a_shorter_time_than_telemetry_are_refused() -> None:
    with pytest.raises(Invalid) as refused:
        make_network(retention_days=10, rollup_retention_days=9)
    assert refused.value.field == "rollup_retention_days"
    network = make_network(retention_days=10, rollup_retention_days=10)

    for changes in ({"retention_days": 11}, {"rollup_retention_days": 0}, {"rollup_retention_days": 40_000}):
        with pytest.raises(Invalid):
            services.update_network(Network.objects.get(pk=network.pk), **changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        Network.objects.filter(pk=network.pk).update(retention_days=11)
    services.update_network(network, retention_days=None, rollup_retention_days=400)

    assert Network.objects.get(pk=network.pk).rollup_retention_days == 400


def test_a_deleted_sensors_rollups_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rolling, summing):
        monkeypatch.setattr(module, "DENSE_ABOVE", 1)
    network = make_network()
    sensor, neighbour = make_sensor(network), make_sensor(network)
    for each in (sensor, neighbour):
        put_measurements(each, [(NOW - DAY + number * MINUTE, {"t": 1, "u": 2}) for number in range(3)])
    roll_up(NOW)
    for each in (sensor, neighbour):
        store(each, [(NOW - 2 * DAY, {"t": 1})])
    number, identifier = sensor.pk, sensor.identifier
    kept = rolled(neighbour)
    sensor.delete()
    SensorTombstone.objects.filter(sensor_id=number).update(deleted_at=NOW - HOUR)

    planned = purge_deleted_sensors(now=NOW, dry_run=True)
    report = purge_deleted_sensors(now=NOW)

    assert planned.steps == report.steps
    assert {(step.table, step.rows) for step in report.steps if step.sensor == identifier} == {
        ("telemetry_measurement", 4),
        ("telemetry_rollupstate", 1),
        ("telemetry_rollupmark", 1),
        ("telemetry_hourrollup", 2),
        ("telemetry_minuterollup", 6),
        ("telemetry_attribute", 2),
    }
    for model in (Attribute, RollupMark, RollupState):
        assert set(model.objects.values_list("sensor_id", flat=True)) == {neighbour.pk}
    assert rolled(neighbour) == kept
    assert (HourRollup.objects.count(), MinuteRollup.objects.count()) == (2, 6)


def test_if_nothing_can_be_rolled_up_nothing_is_deleted(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    items = fill(sensor)

    def stay(*, now: datetime, wait_s: float) -> datetime:
        return rollups.current_horizon()

    monkeypatch.setattr(rolling, "advance_horizon", stay)
    with pytest.raises(TimeoutError, match="horizon"):
        prune(now=NOW)

    assert len(stored(sensor)) == len(items)
