"""A fleet whose bridges change in number."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from alerts.services import create_rule
from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.drain import Drain
from fleet.mqtt.guard import SetLock
from fleet.mqtt.reshard import Outcome, Resharding, read_plan
from fleet.mqtt.sessions import delete_session, open_session
from fleet.mqtt.shards import Shard, set_of
from fleet.stack.mosquitto import MosquittoServer
from sensors.activity import record_watermark
from sensors.models import ServiceTick, Watermark
from sensors.services import create_network, create_sensor
from telemetry.models import Measurement
from tests.alerts.making import waiting_times
from tests.bridges import BridgeProcess, Client, measurement
from tests.waiting import wait_until

STEPS = ("note", "open", "drain", "switch", "clear")
EACH = 40


class Hall:
    """Ten sensors whose numbered measurements a rule watches, one broker, and bridges that come and go."""

    def __init__(self, broker: MosquittoServer, folder: Path) -> None:
        self.broker = broker
        self.address = BrokerAddress.from_url(broker.url)
        self.folder = folder
        self.bridges: list[BridgeProcess] = []
        self.sent = 0
        network = create_network(slug="hall", name="Hall", owner=None)
        self.sensors = [create_sensor(network, identifier=f"s-{number}") for number in range(10)]
        # So that every measurement is queued for evaluation, in the order in which it was stored.
        create_rule(network, name="Any", kind="threshold", author=None, attribute="n", above=1e9)
        self._client = Client(f"mqtt://127.0.0.1:{broker.port}")

    def send(self, count: int = EACH) -> None:
        """Publish the next measurements, acknowledged by the broker."""
        for _ in range(count):
            sensor = self.sensors[self.sent % len(self.sensors)]
            self._client.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"n": self.sent})]})
            self.sent += 1

    def begin(self, count: int) -> None:
        """Leave what the bridges of a set leave that ran for a moment: sessions and watermarks."""
        for shard in set_of(count):
            open_session(self.address, shard, check=lambda: None)
            record_watermark(str(shard), drained_until=datetime.now(UTC))

    def work(self, count: int, *, only: int | None = None) -> None:
        """Do in this process what the bridges of a set do, or only that one, until what was sent is stored."""
        for shard in set_of(count) if only is None else [Shard(only, count)]:
            Drain(self.address, shard, check=lambda: None, report=lambda _: None).run()

    def start(self, count: int) -> None:
        """Start the bridges of a set and wait until each has told that it is connected."""
        for shard in set_of(count):
            log = self.folder / f"{shard.suffix}.log"
            self.bridges.append(BridgeProcess(broker_url=self.broker.url, log=log, shard=str(shard)).start())
        for bridge in self.bridges:
            bridge.wait_ready()
        # A session is there, and its bridge has caught up once.
        shards = [str(shard) for shard in set_of(count)]
        wait_until(
            lambda: Watermark.objects.filter(shard__in=shards, drained_until__isnull=False).count() == count,
            15,
            "the watermarks",
        )

    def end(self) -> None:
        """End the bridges that run."""
        while self.bridges:
            self.bridges.pop().stop()

    def close(self) -> None:
        self.end()
        self._client.close()

    def reshard(self, to: int, *, until: str = STEPS[-1]) -> Outcome:
        """Change to so many shards; abandon it after the step `until`."""
        with SetLock() as lock:
            resharding = Resharding(self.address, lock, to)
            if until == STEPS[-1]:
                return resharding.run()
            for step in STEPS[: STEPS.index(until) + 1]:
                getattr(resharding, step)()
            return resharding.outcome

    def stored(self) -> list[int]:
        return sorted(value["n"] for value in Measurement.objects.values_list("value", flat=True))

    def wait_stored(self) -> None:
        wait_until(lambda: len(self.stored()) >= self.sent, 30, "everything to be stored")

    def assert_all_in_order(self) -> None:
        """Everything is stored once, and each sensor's samples wait for the rules in the order of its clock."""
        assert self.stored() == list(range(self.sent))
        times = waiting_times()
        assert sum(len(each) for each in times.values()) == self.sent
        for each in times.values():
            assert all(earlier < later for earlier, later in pairwise(each))

    def has_session(self, shard: Shard) -> bool:
        """Return whether the broker knows the session of a shard whose bridge does not run; ends it if not."""
        present = open_session(self.address, shard, check=lambda: None)
        if not present:
            delete_session(self.address, shard, check=lambda: None)
        return present


def assert_settled(hall: Hall, count: int) -> None:
    """Only the set of `count` is left, in the database and at the broker; no bridge runs."""
    assert not read_plan(count).is_needed
    assert not ServiceTick.objects.filter(name="reshard").exists()
    assert set(Watermark.objects.values_list("shard", flat=True)) == {str(shard) for shard in set_of(count)}
    for other in {1, 2, 3} - {count}:
        assert [hall.has_session(shard) for shard in set_of(other)] == [False] * other
