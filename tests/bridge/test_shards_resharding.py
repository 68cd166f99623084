"""Changing the number of shards: step by step, abandoned after each, forwards and back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from alerts.services import create_rule
from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.drain import Drain
from fleet.mqtt.guard import SetLock, ShardGuard, ShardsBusyError
from fleet.mqtt.reshard import Outcome, Resharding, read_plan
from fleet.mqtt.sessions import BrokerUnavailableError, delete_session, open_session
from fleet.mqtt.shards import Shard, set_of, shard_trouble
from fleet.stack.mosquitto import MosquittoServer
from sensors.activity import record_watermark
from sensors.models import ServiceTick, Watermark
from sensors.queries import judged_at
from sensors.services import create_network, create_sensor
from telemetry.models import Measurement
from tests.alerts.making import waiting_times
from tests.bridges import ROOT, BridgeProcess, Client, database_url, measurement
from tests.waiting import wait_until

# Most of the time is that of starting processes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

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


@pytest.fixture
def hall(own_broker: MosquittoServer, tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(own_broker, tmp_path)
    yield hall
    hall.close()


def assert_settled(hall: Hall, count: int) -> None:
    """Only the set of `count` is left, in the database and at the broker; no bridge runs."""
    assert not read_plan(count).is_needed
    assert not ServiceTick.objects.filter(name="reshard").exists()
    assert set(Watermark.objects.values_list("shard", flat=True)) == {str(shard) for shard in set_of(count)}
    for other in {1, 2, 3} - {count}:
        assert [hall.has_session(shard) for shard in set_of(other)] == [False] * other


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1)])
def test_what_waits_for_the_old_set_is_stored_before_the_new_one_begins(hall: Hall, before: int, after: int) -> None:
    hall.start(before)
    hall.send()
    hall.wait_stored()
    hall.end()
    hall.send()

    outcome = hall.reshard(after)

    assert [drainage.shard for drainage in outcome.drained] == list(set_of(before))
    assert sum(drainage.messages for drainage in outcome.drained) >= EACH
    assert all(drainage.had_session for drainage in outcome.drained)
    assert len(hall.stored()) == hall.sent
    assert_settled(hall, after)
    hall.send()
    hall.start(after)
    hall.send()
    hall.wait_stored()
    hall.assert_all_in_order()


@pytest.mark.parametrize("step", STEPS[:-1])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (2, 1)])
def test_abandoned_after_any_step_and_repeated_it_does_the_rest(hall: Hall, before: int, after: int, step: str) -> None:
    hall.begin(before)
    hall.send()
    hall.reshard(after, until=step)
    hall.send()

    hall.reshard(after)

    assert_settled(hall, after)
    hall.send()
    hall.work(after)
    hall.assert_all_in_order()


@pytest.mark.parametrize("step", STEPS[:-1])
def test_abandoned_after_any_step_it_can_be_taken_back(hall: Hall, step: str) -> None:
    hall.begin(1)
    hall.send()
    hall.reshard(2, until=step)
    hall.send()
    # The set that is in use by then may go on, as if nothing had happened.
    hall.work(2 if step == "switch" else 1)
    assert len(hall.stored()) == hall.sent
    hall.send()

    hall.reshard(1)

    assert_settled(hall, 1)
    hall.send()
    hall.work(1)
    hall.assert_all_in_order()


def test_a_third_number_after_abandoned_changes_leaves_nothing_behind(hall: Hall) -> None:
    hall.begin(1)
    hall.send()
    hall.reshard(2, until="drain")
    hall.send()
    hall.reshard(3, until="open")
    hall.send()
    hall.reshard(3)
    assert_settled(hall, 3)
    hall.send()
    hall.work(3)
    hall.assert_all_in_order()


def test_deleting_the_old_session_instead_of_draining_it_loses(hall: Hall) -> None:
    """The control of the tests above."""
    hall.begin(1)
    hall.send()
    delete_session(hall.address, Shard(0, 1), check=lambda: None)
    hall.begin(2)
    hall.send()
    hall.work(2)
    assert hall.stored() == list(range(EACH, 2 * EACH))


def test_starting_the_new_set_before_the_old_one_is_drained_disorders_the_samples(hall: Hall) -> None:
    """The other control: nothing is lost, but rules would see what is new before what is old."""
    hall.begin(1)
    hall.send()
    hall.begin(2)
    hall.send()
    hall.work(2)
    hall.work(1)
    assert hall.stored() == list(range(2 * EACH))
    with pytest.raises(AssertionError):
        hall.assert_all_in_order()


def test_silence_is_judged_up_to_the_drain_until_all_new_bridges_go_on(hall: Hall) -> None:
    hall.begin(1)
    stopped_at = judged_at(datetime.now(UTC))
    began = datetime.now(UTC)

    drained_until = hall.reshard(2).drained_until

    assert drained_until is not None
    assert stopped_at < began < drained_until < datetime.now(UTC)
    far = datetime.now(UTC) + timedelta(hours=1)
    # While they do not run, nobody is silent for what nobody could hear; one of two is not enough.
    assert judged_at(far) == drained_until
    hall.work(2, only=0)
    assert judged_at(far) == drained_until
    hall.work(2, only=1)
    assert judged_at(far) > drained_until


def test_a_bridge_of_the_old_set_does_not_start_after_the_change_and_says_so(hall: Hall) -> None:
    hall.begin(1)
    hall.reshard(2)
    late = BridgeProcess(broker_url=hall.broker.url, log=hall.folder / "late.log", shard="0/1").start()
    try:
        row = wait_until(lambda: ServiceTick.objects.filter(name="waiting bridge 0/1").first(), 60, "it to wait")
        assert "run `manage.py reshard 1` first" in shard_trouble([(row.name, row.at, row.detail)], now=row.at)
        assert "another set of shards is in use" in late.text()
        assert not hall.has_session(Shard(0, 1))
    finally:
        late.stop()


def test_a_new_set_started_beside_the_old_one_loses_nothing_and_is_reported(hall: Hall) -> None:
    """Without the command: it waits, the old one goes on, and the broker collects nothing for it."""
    hall.start(1)
    others = [
        BridgeProcess(broker_url=hall.broker.url, log=hall.folder / f"early-{shard.index}.log", shard=str(shard))
        for shard in set_of(2)
    ]
    try:
        for other in others:
            other.start()
        wait_until(lambda: ServiceTick.objects.filter(name__startswith="waiting").count() == 2, 60, "both to wait")
        hall.send()
        hall.wait_stored()
        with pytest.raises(ShardsBusyError, match="these bridges are running: 0/1"):
            hall.reshard(2)
        trouble = shard_trouble(ServiceTick.objects.values_list("name", "at", "detail"), now=datetime.now(UTC))
        assert trouble.count("bridges of another set of shards are running") == 2
        assert set(Watermark.objects.values_list("shard", flat=True)) == {"0/1"}
        hall.end()
        hall.reshard(2)
        # They were only waiting for that.
        for other in others:
            other.wait_ready()
        hall.send()
        hall.wait_stored()
    finally:
        for other in others:
            other.stop()
    hall.assert_all_in_order()


def test_a_session_that_the_broker_forgot_is_reported(hall: Hall) -> None:
    hall.begin(1)
    delete_session(hall.address, Shard(0, 1), check=lambda: None)
    (drainage,) = hall.reshard(2).drained
    assert (drainage.had_session, drainage.messages) == (False, 0)


def test_a_broker_that_is_away_stops_it_and_it_can_be_repeated(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.mqtt.sessions.BROKER_WAIT_S", 1.0)
    hall.begin(1)
    hall.send()
    hall.broker.stop()
    with pytest.raises(BrokerUnavailableError):
        hall.reshard(2)
    hall.broker.start()
    hall.reshard(2)
    assert_settled(hall, 2)


# --- The command -----------------------------------------------------------------------------------


@pytest.fixture
def command(hall: Hall, settings: Any) -> Callable[..., str]:
    settings.MQTT_URL = hall.broker.url

    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("reshard", *arguments, stdout=out)
        return out.getvalue()

    return run


@contextmanager
def running(shard: Shard) -> Iterator[None]:
    """Hold what a running bridge of the shard holds."""
    guard = ShardGuard(shard, on_notice=lambda: None, on_lost=lambda: None)
    assert guard.acquire()
    yield
    guard.release()


def run_process(hall: Hall, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": database_url(), "MQTT_URL": hall.broker.url}
    return subprocess.run(
        [sys.executable, "manage.py", "reshard", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_bridge_there_is_nothing_to_do(command: Callable[..., str]) -> None:
    assert command("2") == (
        "Nothing to do. The bridges are: manage.py bridge --shard 0/2, manage.py bridge --shard 1/2\n"
    )


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(hall: Hall, command: Callable[..., str]) -> None:
    hall.begin(1)
    with running(Shard(0, 1)):
        assert command("2", "--dry-run").splitlines() == [
            "These bridges must be ended first: 0/1.",
            "Sessions that the broker would be told to keep: 0/2, 1/2.",
            "Sessions whose messages would be stored: 0/1.",
            "Sessions that would be deleted: 0/1.",
            "Bridges to start then: manage.py bridge --shard 0/2, manage.py bridge --shard 1/2",
        ]
    plan = json.loads(command("2", "--dry-run", "--json"))
    assert plan == {
        "to": 2,
        "is_needed": True,
        "old": [1],
        "leftover": [],
        "running": [],
        "start": ["bridge --shard 0/2", "bridge --shard 1/2"],
    }
    assert not ServiceTick.objects.filter(name="reshard").exists()
    assert [hall.has_session(shard) for shard in set_of(2)] == [False, False]


def test_the_command_changes_the_set_and_says_what_to_start(hall: Hall, command: Callable[..., str]) -> None:
    hall.begin(1)
    with running(Shard(0, 1)):
        busy = run_process(hall, "2")
    assert (busy.returncode, busy.stdout) == (75, "")
    assert "these bridges are running: 0/1. End them and run this again; nothing was changed." in busy.stderr
    hall.send()

    done = run_process(hall, "2", "--json")

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["drained"] == [{"shard": "0/1", "had_session": True, "messages": EACH, "stored": EACH}]
    assert result["start"] == ["bridge --shard 0/2", "bridge --shard 1/2"]
    assert_settled(hall, 2)
    assert command("2").startswith("Nothing to do. The bridges are: manage.py bridge --shard 0/2")
    back = run_process(hall, "1")
    assert back.returncode == 0
    assert back.stdout.splitlines()[-1] == "Done. Start: manage.py bridge --shard 0/1"


@pytest.mark.parametrize("count", ["0", "-1", "101"])
def test_a_number_that_is_none_is_refused(count: str, command: Callable[..., str]) -> None:
    with pytest.raises(CommandError, match=f"{count} is no number of shards"):
        command("--", count)


def test_a_broker_that_refuses_the_login_is_told(hall: Hall, settings: Any) -> None:
    hall.begin(1)
    settings.MQTT_URL = f"mqtt://fleet-bridge:wrong@127.0.0.1:{hall.broker.port}"
    with pytest.raises(SystemExit) as end:
        call_command("reshard", "2")
    assert end.value.code == 69
