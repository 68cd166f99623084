"""Configurations on their way out: database → bridge → broker → sensor → acknowledgement."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.models import Revision, RevisionState
from config.services import create_revision
from fleet.stack.mosquitto import MosquittoServer
from sensors.models import Network, Sensor, SensorTombstone
from sensors.services import create_network, create_sensor
from telemetry.models import Measurement
from tests.bridges import BridgeProcess, Client, measurement
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bridge(own_broker: MosquittoServer, tmp_path: Path) -> Iterator[BridgeProcess]:
    process = BridgeProcess(broker_url=own_broker.url, log=tmp_path / "bridge.log").start().wait_ready()
    yield process
    process.stop()


@pytest.fixture
def network() -> Network:
    return create_network(slug="hall", name="Hall", owner=None)


@pytest.fixture
def sensor(network: Network) -> Sensor:
    return create_sensor(network, identifier="s-1")


def sensor_client(broker: MosquittoServer) -> Client:
    return Client(f"mqtt://127.0.0.1:{broker.port}")


def revise(sensor: Sensor, **values: object) -> Revision:
    return create_revision(sensor, values=values, author=None, now=datetime.now(UTC))


def retained(broker: MosquittoServer, topic: str) -> list[bytes]:
    """Return what a client that subscribes only now receives on `topic`."""
    client = Client(broker.url)  # a sensor may not write what it reads
    client.subscribe(topic, "fence")
    # The broker sends retained messages when it answers the subscription; the fence comes after them.
    client.publish("fence", b"")
    client.wait_for("fence")
    client.close()
    return client.on(topic)


def wait_for_state(revision: Revision, state: RevisionState) -> None:
    wait_until(lambda: Revision.objects.get(pk=revision.pk).state == state, 10, f"the revision to be {state}")


def test_a_revision_reaches_the_sensor_and_its_answer_the_revision(
    bridge: BridgeProcess, own_broker: MosquittoServer, sensor: Sensor
) -> None:
    client = sensor_client(own_broker)
    client.subscribe("configurations/s-1")

    revision = revise(sensor, interval_s=10)

    assert json.loads(client.wait_for("configurations/s-1")[0]) == {
        "revision": 0,
        "configuration": {"interval_s": 10},
    }
    wait_for_state(revision, RevisionState.PUBLISHED)
    client.publish("heartbeats/s-1", {"heartbeats": [{"revision": 0, "timestamp": time.time(), "success": True}]})
    wait_for_state(revision, RevisionState.ACKNOWLEDGED)
    client.close()


def test_what_was_made_while_the_bridge_was_away_is_published_newest_only(
    own_broker: MosquittoServer, sensor: Sensor, tmp_path: Path
) -> None:
    client = sensor_client(own_broker)
    client.subscribe("configurations/s-1")
    revisions = [revise(sensor, n=number) for number in range(3)]

    bridge = BridgeProcess(broker_url=own_broker.url, log=tmp_path / "bridge.log").start()
    try:
        wait_for_state(revisions[2], RevisionState.PUBLISHED)
    finally:
        bridge.stop()

    numbers = {json.loads(payload)["revision"] for payload in client.on("configurations/s-1")}
    client.close()
    assert numbers == {2}
    assert [Revision.objects.get(pk=each.pk).state for each in revisions[:2]] == [RevisionState.SUPERSEDED] * 2


def test_a_broker_that_forgot_everything_gets_all_configurations_again(
    bridge: BridgeProcess, own_broker: MosquittoServer, sensor: Sensor
) -> None:
    revision = revise(sensor, interval_s=10)
    wait_for_state(revision, RevisionState.PUBLISHED)

    own_broker.kill(signal.SIGKILL)
    own_broker.state.unlink(missing_ok=True)
    own_broker.start()

    wait_until(lambda: retained(own_broker, "configurations/s-1"), 10, "the configuration to be published again")
    client = sensor_client(own_broker)
    client.publish("measurements/s-1", {"measurements": [measurement({"after": True})]})
    wait_until(lambda: Measurement.objects.filter(sensor_id=sensor.pk, value__after=True).exists(), 5)
    client.close()


@pytest.mark.parametrize("delete", ["instance", "queryset", "network"])
def test_a_deleted_sensors_configuration_is_cleared(
    delete: str, bridge: BridgeProcess, own_broker: MosquittoServer, sensor: Sensor, network: Network
) -> None:
    wait_for_state(revise(sensor, interval_s=10), RevisionState.PUBLISHED)
    assert len(retained(own_broker, "configurations/s-1")) == 1

    if delete == "instance":
        sensor.delete()
    elif delete == "queryset":
        Sensor.objects.filter(pk=sensor.pk).delete()
    else:
        network.delete()

    wait_until(lambda: not SensorTombstone.objects.filter(cleared_at__isnull=True).exists(), 10, "the clearing")
    assert retained(own_broker, "configurations/s-1") == []


def test_an_identifier_that_lives_again_gets_its_own_configuration(
    own_broker: MosquittoServer, sensor: Sensor, network: Network, tmp_path: Path
) -> None:
    log = tmp_path / "bridge.log"
    bridge = BridgeProcess(broker_url=own_broker.url, log=log).start().wait_ready()
    wait_for_state(revise(sensor, life=1), RevisionState.PUBLISHED)
    bridge.stop()
    sensor.delete()
    again = create_sensor(network, identifier="s-1")
    revision = revise(again, life=2)

    bridge.start()
    try:
        wait_for_state(revision, RevisionState.PUBLISHED)
        wait_until(lambda: not SensorTombstone.objects.filter(cleared_at__isnull=True).exists(), 10, "the clearing")
        (payload,) = retained(own_broker, "configurations/s-1")
    finally:
        bridge.stop()
    assert json.loads(payload)["configuration"] == {"life": 2}


def test_a_second_bridge_of_the_same_shard_waits_and_takes_over(
    bridge: BridgeProcess, own_broker: MosquittoServer, sensor: Sensor, tmp_path: Path
) -> None:
    second = BridgeProcess(broker_url=own_broker.url, log=tmp_path / "second.log").start()
    try:
        wait_until(lambda: second.log.exists() and "another bridge of this shard is running" in second.text(), 15)
        assert bridge.process is not None
        assert bridge.process.poll() is None
        assert bridge.kill(signal.SIGKILL) == -signal.SIGKILL
        second.wait_ready()
    finally:
        second.stop()


def test_shards_store_every_message_once_between_them(
    own_broker: MosquittoServer, network: Network, tmp_path: Path
) -> None:
    sensors = [create_sensor(network, identifier=f"s-{number}") for number in range(20)]
    bridges = [
        BridgeProcess(broker_url=own_broker.url, log=tmp_path / f"{index}.log", shard=f"{index}/2").start()
        for index in range(2)
    ]
    try:
        for bridge in bridges:
            bridge.wait_ready()
        client = sensor_client(own_broker)
        for sensor in sensors:
            client.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"a": 1})]})
        client.close()
        wait_until(lambda: Measurement.objects.filter(sensor_id__in=[s.pk for s in sensors]).count() == 20)
        exit_codes = [bridge.kill(signal.SIGTERM) for bridge in bridges]
    finally:
        for bridge in bridges:
            bridge.stop()
    assert exit_codes == [0, 0]
    stored = [int(bridge.text().rpartition("stored=")[2].split()[0]) for bridge in bridges]
    assert sum(stored) == 20
    assert min(stored) > 0
