"""Simulated sensors against the real bridge and database."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from config.models import Revision
from sensors.models import Sensor
from sensors.services import create_network
from tests.bridges import ROOT, BridgeProcess, database_url
from tests.servers import make_mosquitto, make_place, start_on_a_free_port
from tests.waiting import wait_until

from .wire import OwnBroker

Simulate = Callable[..., subprocess.CompletedProcess[str]]


def run(broker_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py simulate` to its end, with the test's database."""
    return subprocess.run(
        [sys.executable, "manage.py", "simulate", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url(), "MQTT_URL": broker_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def served(transactional_db: None) -> Iterator[Simulate]:
    """Return a function that runs `manage.py simulate` beside a bridge and a broker of its own."""
    folder = Path(tempfile.mkdtemp(prefix="simulate-"))
    folder.chmod(0o711)
    broker = start_on_a_free_port(lambda: make_mosquitto(make_place(folder / "data")))
    bridge = BridgeProcess(broker_url=broker.url, log=folder / "bridge.log").start().wait_ready()
    yield lambda *arguments: run(broker.url, *arguments)
    bridge.stop()
    broker.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def unserved(transactional_db: None, broker: OwnBroker) -> Simulate:
    """Return a function that runs `manage.py simulate` beside a broker alone."""
    return lambda *arguments: run(f"mqtt://127.0.0.1:{broker.port}", *arguments)


def count(table: str, condition: str = "true") -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {condition}")
        return cursor.fetchone()[0]


def test_the_demo_fleet_is_configured_answers_and_is_stored(served):
    done = served("--demo", "--sensors", "3", "--interval", "1", "--duration", "6", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["configurations_accepted"], summary["unacknowledged"]) == (3, 0)
    # Everything that the broker acknowledged is stored, whatever time the bridge takes.
    wait_until(lambda: count("telemetry_measurement") == summary["measurements"], 10)
    wait_until(lambda: count("telemetry_heartbeat") == summary["heartbeats"], 10)
    wait_until(lambda: count("telemetry_logmessage") == summary["log_messages"], 10)
    assert count("telemetry_rejectedmessage") == 0
    assert [(revision.number, revision.state) for revision in Revision.objects.all()] == [(0, "acknowledged")] * 3


def test_a_file_that_is_replayed_twice_is_stored_once(served, tmp_path):
    create_network(slug="hall", owner=None)
    path = tmp_path / "office.csv"
    rows = "".join(f"2024-01-{day:02d} {hour:02d}:00,{day}.{hour}\n" for day in range(1, 32) for hour in range(24))
    path.write_text("time,temperature\n" + rows)
    for _ in range(2):
        done = served("--replay", str(path), "--network", "hall", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["acknowledged"] == 744
    sensor = Sensor.objects.get(identifier="office")
    # The second replay has been read when a marker behind it is stored.
    marker = tmp_path / "marker.csv"
    marker.write_text("time,marker\n2024-02-01,1\n")
    served("--replay", str(marker), "--sensor", "office")
    wait_until(lambda: count("telemetry_measurement", "value ? 'marker'") == 1, 10)
    assert count("telemetry_measurement", f"sensor_id = {sensor.pk}") == 745


def test_a_replay_into_an_unknown_sensor_says_what_to_do(unserved, tmp_path):
    path = tmp_path / "office.csv"
    path.write_text("time,temperature\n2024-01-01,1\n")
    done = unserved("--replay", str(path))
    assert done.returncode == 1
    assert "does not know the sensor 'office'" in done.stderr
    assert "--network SLUG" in done.stderr


def test_unknown_sensors_are_warned_of_and_told_apart(unserved):
    create_network(slug="hall", owner=None)
    known = unserved("--network", "hall", "--sensors", "2", "--duration", "1")
    assert "created 2 of 2 sensors" in known.stderr
    mixed = unserved("--sensors", "3", "--duration", "1")
    assert mixed.returncode == 0
    assert "does not know 1 of 3 sensors (simulated-003)" in mixed.stderr
