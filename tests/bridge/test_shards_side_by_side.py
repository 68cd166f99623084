"""Several bridges over a real broker: each sensor is stored, and told its configuration, by exactly one."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.models import Revision, RevisionState
from config.services import create_revision
from fleet.mqtt.publisher import WINDOW
from fleet.mqtt.shards import set_of
from fleet.stack.mosquitto import MosquittoServer
from sensors.models import Network, Sensor, SensorTombstone, Watermark
from sensors.queries import judged_at
from sensors.services import create_network, create_sensor
from telemetry.models import Heartbeat, LogMessage, Measurement, RejectedMessage
from tests.bridges import BridgeProcess, Client, measurement
from tests.waiting import wait_until

# Most of the time is that of starting processes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

SENSORS = 24
MakeBridge = Callable[[str], BridgeProcess]


@pytest.fixture
def bridge(own_broker: MosquittoServer, tmp_path: Path) -> Iterator[MakeBridge]:
    made: list[BridgeProcess] = []

    def make(shard: str) -> BridgeProcess:
        log = tmp_path / f"{shard.replace('/', '-of-')}.log"
        made.append(BridgeProcess(broker_url=own_broker.url, log=log, shard=shard).start())
        return made[-1]

    yield make
    for process in made:
        process.stop()


@pytest.fixture
def sensors() -> list[Sensor]:
    network: Network = create_network(slug="hall", name="Hall", owner=None)
    return [create_sensor(network, identifier=f"s-{number}") for number in range(SENSORS)]


@pytest.fixture
def client(own_broker: MosquittoServer) -> Iterator[Client]:
    client = Client(f"mqtt://127.0.0.1:{own_broker.port}")
    yield client
    client.close()


def owned(index: int, count: int, sensors: list[Sensor]) -> set[str]:
    return {sensor.identifier for sensor in sensors if set_of(count)[index].owns(sensor.identifier)}


def stored(process: BridgeProcess) -> int:
    """Return how many entries the bridge, which has ended, says that it stored."""
    return int(process.text().rpartition("stored=")[2].split()[0])


@pytest.mark.parametrize("count", [2, 3])
def test_every_message_of_every_family_is_stored_by_exactly_one_shard(
    count: int, bridge: MakeBridge, client: Client, sensors: list[Sensor]
) -> None:
    bridges = [bridge(str(shard)) for shard in set_of(count)]
    for each in bridges:
        each.wait_ready()
    for number, sensor in enumerate(sensors):
        name = sensor.identifier
        at_s = measurement({})["timestamp"]
        beat = {"revision": 0, "timestamp": at_s, "success": True}
        entry = {"severity": "info", "revision": 0, "timestamp": at_s, "subject": "here"}
        client.publish(f"measurements/{name}", {"measurements": [measurement({"n": number})]})
        client.publish(f"heartbeats/{name}", {"heartbeats": [beat]})
        client.publish(f"log-messages/{name}", {"log_messages": [entry]})
    # Nobody's, and on topics that are none: kept by one shard, and so counted once.
    strange = ["measurements/nobody", "measurements/s-1/more", "heartbeats", "log-messages/", "measurements/ü"]
    for topic in strange:
        client.publish(topic, {"measurements": [measurement({"a": 1})]})

    def complete() -> bool:
        entries = [model.objects.count() for model in (Measurement, Heartbeat, LogMessage)]
        return entries == [SENSORS] * 3 and RejectedMessage.objects.count() == len(strange)

    wait_until(complete, 20, "everything to be stored")
    assert [bridge.kill(signal.SIGTERM) for bridge in bridges] == [0] * count
    assert dict(RejectedMessage.objects.values_list("topic", "count")) == dict.fromkeys(strange, 1)
    # No message was stored by one and found there by another.
    per_bridge = [stored(each) for each in bridges]
    assert per_bridge == [3 * len(owned(index, count, sensors)) for index in range(count)]
    assert sum(per_bridge) == 3 * SENSORS
    assert min(per_bridge) > 0


@pytest.mark.parametrize("count", [2, 3])
def test_each_configuration_is_published_by_its_owner_only(
    count: int, bridge: MakeBridge, client: Client, sensors: list[Sensor]
) -> None:
    client.subscribe("configurations/#")
    for sensor in sensors:
        create_revision(sensor, values={"a": 1}, author=None, now=datetime.now(UTC))
    expected: set[str] = set()
    for index, shard in enumerate(set_of(count)):
        bridge(str(shard)).wait_ready()
        expected |= owned(index, count, sensors)

        def told() -> set[str]:
            published = Revision.objects.filter(published_at__isnull=False)
            return set(published.values_list("sensor__identifier", flat=True))

        wait_until(lambda: told() >= expected, 15, "the shard's configurations")  # noqa: B023 - used at once
        # The shards that do not run yet have told nobody, and nobody told their sensors.
        assert told() == expected
        assert {topic.rpartition("/")[2] for topic, _, _ in client.received} == expected
    assert expected == {sensor.identifier for sensor in sensors}

    # While all run: one message for each new revision.
    client.received.clear()
    for sensor in sensors:
        create_revision(sensor, values={"a": 2}, author=None, now=datetime.now(UTC))
    wait_until(lambda: len(client.received) >= SENSORS, 15, "the new configurations")
    wait_until(lambda: all(r.state == RevisionState.PUBLISHED for r in Revision.objects.filter(number=1)), 15)
    numbers = Counter((topic, json.loads(payload)["revision"]) for topic, payload, _ in client.received)
    assert numbers == Counter((f"configurations/{sensor.identifier}", 1) for sensor in sensors)


def test_what_a_deleted_sensor_left_is_cleared_by_its_owner_only(
    bridge: MakeBridge, client: Client, sensors: list[Sensor]
) -> None:
    for shard in set_of(2):
        bridge(str(shard)).wait_ready()
    for sensor in sensors:
        create_revision(sensor, values={"a": 1}, author=None, now=datetime.now(UTC))
    wait_until(lambda: not Revision.objects.filter(published_at__isnull=True).exists(), 15, "all to be published")
    client.subscribe("configurations/#")
    client.received.clear()

    Sensor.objects.all().delete()

    wait_until(lambda: not SensorTombstone.objects.filter(cleared_at__isnull=True).exists(), 15, "the clearing")
    empty = Counter(topic for topic, payload, _ in client.received if payload == b"")
    assert empty == Counter(f"configurations/{sensor.identifier}" for sensor in sensors)


def test_silence_is_judged_up_to_the_shard_that_is_furthest_behind(bridge: MakeBridge) -> None:
    first, second = (bridge(str(shard)).wait_ready() for shard in set_of(2))
    wait_until(lambda: Watermark.objects.filter(drained_until__isnull=False).count() == 2, 15, "both watermarks")
    before = judged_at(datetime.now(UTC))
    wait_until(lambda: judged_at(datetime.now(UTC)) > before, 15, "the judging to go on")

    second.kill(signal.SIGKILL)
    (stopped_at,) = Watermark.objects.filter(shard="1/2").values_list("drained_until", flat=True)
    wait_until(lambda: Watermark.objects.get(shard="0/2").drained_until > stopped_at, 15, "the other one to go on")
    assert judged_at(datetime.now(UTC)) == stopped_at
    second.start()
    wait_until(lambda: judged_at(datetime.now(UTC)) > stopped_at, 30, "the judging to go on")
    assert first.process is not None
    assert first.process.poll() is None


def test_what_waits_for_another_shards_bridge_does_not_hold_up_this_one(bridge: MakeBridge) -> None:
    """A whole page of the outbox and more is not this shard's."""
    network = create_network(slug="hall", name="Hall", owner=None)
    first, second = set_of(2)
    names = [f"s-{number}" for number in range(3 * WINDOW)]
    theirs = [name for name in names if second.owns(name)]
    assert len(theirs) > WINDOW
    Sensor.objects.bulk_create([Sensor(network=network, identifier=name) for name in theirs])
    Revision.objects.bulk_create(
        [Revision(sensor=sensor, number=0, values={}, created_at=datetime.now(UTC)) for sensor in Sensor.objects.all()]
    )
    # The last one in the outbox.
    own = create_sensor(network, identifier=next(name for name in names if first.owns(name)))
    bridge("0/2").wait_ready()
    # Not by the round of the start, which publishes everything.
    revision = create_revision(own, values={"a": 1}, author=None, now=datetime.now(UTC))
    wait_until(lambda: Revision.objects.get(pk=revision.pk).state == RevisionState.PUBLISHED, 15, "the publication")
