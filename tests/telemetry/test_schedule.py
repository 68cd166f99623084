"""The scheduled tasks and the command do what the services do, with the clock of now."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from sensors.models import Network, SensorTombstone
from telemetry import tasks
from telemetry.partitions import TABLES, partitions_of
from tests.telemetry.rows import count, make_network, make_sensor, put_measurements

pytestmark = pytest.mark.django_db


def test_months_are_made_ahead() -> None:
    tasks.make_partitions()

    now = timezone.now()
    ahead = (now.replace(day=1) + timedelta(days=70)).replace(day=1).date()
    for table in TABLES:
        assert {now.date().replace(day=1)} <= {partition.month for partition in partitions_of(table)}
        assert max(partition.month for partition in partitions_of(table) if partition.month) >= ahead.replace(day=1)


def test_old_telemetry_and_that_of_deleted_sensors_goes(settings: Any) -> None:
    settings.RETENTION_DAYS = None
    now = timezone.now()
    sensor, gone = make_sensor(make_network(retention_days=2)), make_sensor()
    for each in (sensor, gone):
        put_measurements(each, [(now - timedelta(days=days), {"n": days}) for days in (1, 3)])
    number = gone.pk
    gone.delete()
    SensorTombstone.objects.filter(sensor_id=number).update(deleted_at=now - timedelta(hours=1))
    gone.pk = number

    tasks.prune_telemetry()
    assert (count("telemetry_measurement", sensor), count("telemetry_measurement", gone)) == (1, 2)

    tasks.purge_deleted()
    assert (count("telemetry_measurement", sensor), count("telemetry_measurement", gone)) == (1, 0)


def test_the_command_shows_in_a_dry_run_what_it_then_does() -> None:
    Network.objects.all().delete()
    SensorTombstone.objects.all().delete()
    sensor = make_sensor(make_network(retention_days=2))
    make_sensor()
    put_measurements(sensor, [(timezone.now() - timedelta(days=3), {"n": number}) for number in range(5)])

    def run(*arguments: str) -> str:
        output = io.StringIO()
        call_command("prune", *arguments, stdout=output)
        return output.getvalue()

    planned = json.loads(run("--dry-run", "--json"))
    assert (planned["dry_run"], planned["rows"]) == (True, 5)
    assert [(step["action"], step["rows"], step["network"]) for step in planned["steps"]] == [
        ("delete", 5, sensor.network.slug)
    ]
    assert planned["steps"][0]["before"].endswith("Z")
    assert run("--dry-run").endswith("5 rows would be deleted.\n")
    assert count("telemetry_measurement", sensor) == 5

    lines = run().splitlines()

    assert lines[-1] == "5 rows were deleted."
    assert f"5 rows of network {sensor.network.slug}, before " in lines[0]
    assert count("telemetry_measurement", sensor) == 0
    assert run() == "0 rows were deleted.\n"
