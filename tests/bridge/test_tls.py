"""The bridge and simulated sensors over TLS."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.models import Revision, RevisionState
from config.services import create_revision
from fleet.mqtt.certificate_folder import CertificateFolder
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from sensors.services import create_network, create_sensor
from telemetry.models import Measurement
from tests.bridges import ROOT, BridgeProcess, Client, measurement
from tests.servers import make_mosquitto
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def broker(own_place: DataDir, own_servers: Callable[[MosquittoServer], MosquittoServer]) -> MosquittoServer:
    return own_servers(make_mosquitto(own_place, tls=True))


@pytest.fixture
def tls_url(own_place: DataDir, broker: MosquittoServer) -> Callable[[str], str]:
    """Return a function that makes an address with TLS, a private authority and a certificate out of one without."""
    folder = CertificateFolder(own_place.certificates)
    folder.write(names=["localhost"], clients=["shared"], now=datetime.now(UTC))
    shown = folder.root / "authority" / "clients" / "shared"

    def tls_url(plain: str) -> str:
        assert broker.tls is not None
        login = plain.removeprefix("mqtt://").rpartition("@")[0]
        files = f"?ca={folder.authority}&cert={shown}.crt&key={shown}.key"
        return f"mqtts://{login}{'@' if login else ''}localhost:{broker.tls.port}{files}"

    return tls_url


@pytest.fixture
def bridge(broker: MosquittoServer, tls_url: Callable[[str], str], tmp_path: Path) -> Iterator[BridgeProcess]:
    process = BridgeProcess(broker_url=tls_url(broker.url), log=tmp_path / "bridge.log").start().wait_ready()
    yield process
    process.stop()


def test_a_configuration_and_its_answer_and_measurements_go_over_tls(
    broker: MosquittoServer, bridge: BridgeProcess, tls_url: Callable[[str], str]
) -> None:
    sensor = create_sensor(create_network(slug="hall", name="Hall", owner=None), identifier="s-1")
    revision = create_revision(sensor, values={"interval_s": 0.2}, author=None, now=datetime.now(UTC))
    simulator = subprocess.Popen(
        [sys.executable, "manage.py", "simulate", "--no-database", "--sensor", "s-1"],
        cwd=ROOT,
        env={**os.environ, "MQTT_SENSOR_URL": tls_url(broker.sensor_url)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(
            lambda: Revision.objects.get(pk=revision.pk).state == RevisionState.ACKNOWLEDGED,
            30,
            what="the sensor's answer",
        )
        wait_until(lambda: Measurement.objects.filter(sensor_id=sensor.pk).count() >= 5, 30, what="measurements")
    finally:
        simulator.terminate()
        _, said = simulator.communicate(timeout=20)
    assert broker.tls is not None
    assert f"Simulating 1 sensors at mqtts://localhost:{broker.tls.port}" in said


def test_what_waited_for_the_bridge_comes_over_tls_in_full(
    broker: MosquittoServer, tls_url: Callable[[str], str], tmp_path: Path
) -> None:
    """Much at once fills TLS records to the brim, which one read of the socket does not empty."""
    sensor = create_sensor(create_network(slug="hall", name="Hall", owner=None), identifier="s-1")
    process = BridgeProcess(broker_url=tls_url(broker.url), log=tmp_path / "bridge.log").start().wait_ready()
    process.kill()
    client = Client(broker.sensor_url)
    sent = {
        client.send("measurements/s-1", {"measurements": [measurement({"number": number})]}) for number in range(3_000)
    }
    wait_until(lambda: sent <= client.acknowledged, 30, what="the broker's acknowledgements")
    client.close()
    process.start()
    try:
        wait_until(lambda: Measurement.objects.filter(sensor_id=sensor.pk).count() == 3_000, 60, what="all of them")
    finally:
        process.stop()
