"""The number of shards changes under load, and whoever works on it is killed: nothing is lost, doubled or reordered."""

import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from alerts.services import create_rule
from fleet.mqtt.reshard import read_plan
from fleet.mqtt.shards import set_of
from sensors.models import Network, ServiceTick, Watermark
from sensors.queries import judged_at
from telemetry.models import Measurement
from tests.alerts.making import waiting_times
from tests.bridges import ROOT, BridgeProcess
from tests.faults.load import Devices
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

# More than a change prints: one line for each session that is made, drained or deleted, and one for the switch.
LINES = 9


def start_set(stack: Stack, count: int) -> list[BridgeProcess]:
    """Return the bridges of a set of `count`, connected."""
    bridges = [stack.make_bridge(log=shard.suffix, shard=str(shard)).start() for shard in set_of(count)]
    for bridge in bridges:
        bridge.wait_ready()
    return bridges


def reshard(stack: Stack, to: int, *, kill_after: int | None = None) -> int:
    """Run the command; kill it after that many lines of its output. Return its exit code."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "reshard", str(to)],
        cwd=ROOT,
        env={**os.environ, **stack.environment, "MQTT_URL": stack.broker.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, start=1):
            if number == kill_after:
                process.kill()
        return process.wait()


def assert_samples_are_in_order() -> None:
    """All measurements wait for the rule once, those of each sensor in the order of its clock."""
    times = waiting_times()
    assert sum(len(each) for each in times.values()) == Measurement.objects.count()
    for each in times.values():
        assert all(earlier < later for earlier, later in pairwise(each))


def test_resharding_under_load_and_killed_on_the_way_loses_doubles_and_reorders_nothing(
    django_stack: Stack, make_load: MakeLoad, devices: Devices, dice: random.Random, long: bool
) -> None:
    """From one bridge to two, to three, and back to one."""
    stack = django_stack
    # Every measurement of the load has its number as an attribute, which this rule watches.
    create_rule(Network.objects.get(), name="Any", kind="threshold", author=None, attribute="n", above=1e9)
    bridges = start_set(stack, 1)
    load = make_load(rate=500 if long else 100)
    try:
        for to in (2, 3, 1):
            load.run_for(200)
            stack.revise()
            load.run_for(100)
            judged_before = judged_at(datetime.now(UTC))
            for bridge in bridges:
                # In good order, or in the middle of a batch.
                bridge.kill(dice.choice([signal.SIGTERM, signal.SIGKILL]))
            load.run_for(200)
            kills = range(1, LINES) if long else [dice.randrange(1, LINES)]
            for line in kills:
                # 0 where it prints fewer lines: what an earlier one did is not done again.
                assert reshard(stack, to, kill_after=line) in (-signal.SIGKILL, 0)
                load.run_for(50)
            assert reshard(stack, to) == 0
            assert not read_plan(to).is_needed
            assert not ServiceTick.objects.filter(name="reshard").exists()
            bridges = start_set(stack, to)
            wait_until(lambda: judged_at(datetime.now(UTC)) > judged_before, 60, "the judging to go on")  # noqa: B023
        assert_nothing_is_lost(stack, load)
        assert_answered_once(stack, revisions=3)
        assert_samples_are_in_order()
        assert list(Watermark.objects.values_list("shard", flat=True)) == ["0/1"]
    finally:
        for bridge in bridges:
            bridge.stop()
