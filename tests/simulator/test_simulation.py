import asyncio
import contextlib
import io
import itertools
import time
from collections.abc import AsyncIterator

from fleet.simulator.broker import Broker
from fleet.simulator.faults import FAULTS
from fleet.simulator.runner import Summary, run_simulation
from fleet.simulator.sensor import SimulatedSensor

from .wire import until


@contextlib.asynccontextmanager
async def running(broker: Broker, *sensors: SimulatedSensor) -> AsyncIterator[dict[str, Summary]]:
    """Run the sensors while the block runs; afterwards the summary is in the dictionary that it got."""
    stop, result = asyncio.Event(), {}
    task = asyncio.create_task(run_simulation(sensors, broker, stop=stop))
    try:
        yield result
    finally:
        stop.set()
        result["summary"] = await asyncio.wait_for(task, 15)


def make(identifier: str = "s-1", *, interval_s: float = 0.2, **options) -> SimulatedSensor:
    return SimulatedSensor(identifier, seed=1, interval_s=interval_s, **options)


async def test_a_retained_configuration_is_taken_and_answered(broker, client):
    client.configure("s-1", 7, {"interval_s": 0.1, "attributes": "temperature"})
    async with running(broker.address, make()) as result:
        await until(lambda: client.entries("heartbeats", "s-1"))
        await until(
            lambda: [
                entry
                for entry in client.entries("measurements", "s-1")
                if entry["revision"] == 7 and list(entry["value"]) == ["temperature"]
            ]
        )
    assert [(beat["revision"], beat["success"]) for beat in client.entries("heartbeats", "s-1")] == [(7, True)]
    assert result["summary"].configurations_accepted == 1
    assert result["summary"].unacknowledged == 0


async def test_an_invalid_configuration_is_answered_with_false_and_the_old_one_goes_on(broker, client):
    client.configure("s-1", 0, {"interval_s": 0.1})
    async with running(broker.address, make()) as result:
        await until(lambda: client.entries("measurements", "s-1"))
        client.configure("s-1", 1, {"interval_s": "often"})
        await until(lambda: len(client.entries("heartbeats", "s-1")) == 2)
        before = len(client.entries("measurements", "s-1"))
        await until(lambda: len(client.entries("measurements", "s-1")) > before + 5)
    assert [(b["revision"], b["success"]) for b in client.entries("heartbeats", "s-1")] == [(0, True), (1, False)]
    assert {entry["revision"] for entry in client.entries("measurements", "s-1")[-5:]} == {0}
    refusals = [e for e in client.entries("log-messages", "s-1") if e["subject"] == "Configuration refused"]
    assert 'interval_s is "often"' in refusals[0]["details"]
    assert result["summary"].configurations_refused == 1


async def test_an_interval_in_a_configuration_changes_the_pace(broker, client):
    async with running(broker.address, make(interval_s=3600)):
        await until(lambda: client.entries("measurements", "s-1"))
        client.configure("s-1", 0, {"interval_s": 0.1})
        await until(lambda: len(client.entries("measurements", "s-1")) >= 12)
    moments = [entry["timestamp"] for entry in client.entries("measurements", "s-1")[2:]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    # The median, because a busy machine may delay single ones.
    assert 0.08 < sorted(gaps)[len(gaps) // 2] < 0.15


async def test_a_restart_of_the_broker_is_survived_without_a_gap(broker, client):
    client.configure("s-1", 0, {})
    async with running(broker.address, make(), make("s-2")) as result:
        await until(lambda: client.entries("measurements", "s-1") and client.entries("measurements", "s-2"))
        broker.stop()
        await asyncio.sleep(1.5)  # seven measurements at this pace
        broker.start()
        # The listener's session is kept, so whatever the broker takes in before it is back comes as well.
        await until(lambda: client.subscriptions >= 2)
        await until(lambda: len(client.entries("heartbeats", "s-1")) >= 2)
        back_s = time.time()
        await until(lambda: client.entries("measurements", "s-1")[-1]["timestamp"] > back_s + 0.5)
    summary = result["summary"]
    assert summary.connections >= 4
    assert (summary.unacknowledged, summary.acknowledged) == (0, summary.messages)
    # The retained configuration outlived the restart and is answered again.
    assert summary.configurations_accepted >= 2
    # What was measured while the broker was away was sent afterwards.
    moments = sorted({entry["timestamp"] for entry in client.entries("measurements", "s-1")})
    assert max(later - earlier for earlier, later in itertools.pairwise(moments)) < 1


async def test_a_fault_changes_what_is_sent(broker, client):
    async with running(broker.address, make(faults=[FAULTS["duplicates"]]), make("s-2")):
        await until(lambda: len(client.entries("measurements", "s-1")) >= 6)
        await until(lambda: len(client.entries("measurements", "s-2")) >= 6)
    doubled = client.entries("measurements", "s-1")
    assert doubled[0] == doubled[1]
    single = [entry["timestamp"] for entry in client.entries("measurements", "s-2")]
    assert len(single) == len(set(single))


async def test_it_ends_after_its_duration_and_says_what_it_did(broker, client):
    status = io.StringIO()
    summary = await run_simulation([make()], broker.address, stop=asyncio.Event(), duration_s=1.5, status=status)
    assert 1.4 < summary.seconds < 5
    assert (summary.sensors, summary.connections, summary.unacknowledged) == (1, 1, 0)
    assert summary.messages == summary.measurements + summary.heartbeats + summary.log_messages
    await until(lambda: len(client.received) == summary.messages)
    assert summary.line().startswith("Simulated 1 sensor for 1.")
    assert f"{summary.messages} messages, {summary.messages} acknowledged;" in summary.line()


async def test_without_a_broker_it_ends_all_the_same():
    summary = await run_simulation([make(), make("s-2")], Broker("127.0.0.1", 1), stop=asyncio.Event(), duration_s=0.5)
    assert summary.connections == 0
    assert summary.unacknowledged >= 2
    assert "given up" in summary.line()
