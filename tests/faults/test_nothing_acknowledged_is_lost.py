"""Whatever dies: each message that its publisher saw acknowledged is stored exactly once."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from fleet.stack.server import Server
from tests.bridges import Client, measurement
from tests.faults.conftest import SENSORS, Load, Stack
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

MakeLoad = Callable[..., Load]


def start(stack: Stack) -> None:
    stack.bridge.start()
    wait_until(stack.bridge_is_ready, 30, "the bridge to be connected")


def assert_nothing_is_lost(stack: Stack, load: Load, *, within_s: float = 30) -> None:
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")
    acknowledged = load.acknowledged()
    assert len(acknowledged) == load.count > 100

    def complete() -> bool:
        return len(stack.stored()) >= len(acknowledged)

    wait_until(complete, within_s, "everything to be stored")
    # Exactly once: sorted numbers, none missing, none double.
    assert stack.stored() == sorted(acknowledged)


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Let the server hang: it keeps its connections and answers nobody."""
    process = next(
        child for child in psutil.Process().children(recursive=True) if str(server.port) in " ".join(child.cmdline())
    )
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_a_bridge_killed_again_and_again_loses_nothing(stack: Stack, make_load: MakeLoad, long: bool) -> None:
    start(stack)
    load = make_load(rate=1_000)
    for _ in range(6 if long else 2):
        load.run_for(random.randint(500, 1_500))
        stack.bridge.kill(signal.SIGKILL)
        load.run_for(200)
        start(stack)
    assert_nothing_is_lost(stack, load)


def test_a_subscriber_with_default_settings_loses(stack: Stack, make_load: MakeLoad) -> None:
    """The control: the same kill does lose messages where nobody takes care."""
    received: set[int] = set()

    def subscribe() -> Client:
        client = Client(stack.broker.url)
        client.subscribe("measurements/#")
        return client

    client = subscribe()
    load = make_load(rate=1_000)
    load.run_for(500)
    client.close()
    received |= {int(payload.split(b'"n": ')[1].split(b"}")[0]) for _, payload, _ in client.received}
    load.run_for(500)
    client = subscribe()
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30)
    received |= {int(payload.split(b'"n": ')[1].split(b"}")[0]) for _, payload, _ in client.received}
    client.close()

    assert len(load.acknowledged() - received) > 100


def test_messages_that_came_while_the_bridge_was_away_are_stored(stack: Stack, make_load: MakeLoad, long: bool) -> None:
    start(stack)
    assert stack.bridge.kill(signal.SIGTERM) == 0
    load = make_load(rate=5_000)
    load.run_for(5_000 if long else 2_000)
    load.end()
    start(stack)
    assert_nothing_is_lost(stack, load)


def test_postgresql_restarted_at_once_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    load = make_load(rate=1_000)
    load.run_for(1_000)
    stack.database.kill(signal.SIGQUIT)  # "immediate": as after a power cut, with recovery
    stack.database.start()
    load.run_for(1_000)
    assert_nothing_is_lost(stack, load)


def test_postgresql_away_for_long_bounds_the_memory_and_loses_nothing(
    stack: Stack, make_load: MakeLoad, long: bool
) -> None:
    start(stack)
    assert stack.bridge.process is not None
    memory = psutil.Process(stack.bridge.process.pid)
    before = memory.memory_info().rss
    load = make_load(rate=2_000)
    load.run_for(500)
    stack.database.stop()
    load.run_for(2_000 * (60 if long else 5))
    grown = memory.memory_info().rss - before
    stack.database.start()

    # 5,000 messages and 32 MiB may wait; what they cost beside their payload is in the same order.
    assert grown < 64 * 1024 * 1024
    assert_nothing_is_lost(stack, load)


def test_a_broker_that_restarts_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    load = make_load(rate=500)
    load.run_for(500)
    stack.broker.kill(signal.SIGTERM)
    load.run_for(100)
    stack.broker.start()
    load.run_for(500)
    assert_nothing_is_lost(stack, load)


def test_after_the_broker_forgot_everything_no_old_acknowledgement_takes_a_new_message(
    stack: Stack, make_load: MakeLoad
) -> None:
    """What the broker itself lost is its own; but packet ids start again, and none may be acknowledged unread."""
    start(stack)
    first = make_load(rate=1_000)
    first.run_for(500)
    # The writer stands still, so that deliveries of the old session are in its hands.
    stack.database.stop()
    first.run_for(500)
    first.close()
    stack.broker.kill(signal.SIGKILL)
    stack.broker.state.unlink(missing_ok=True)
    stack.broker.start()
    wait_until(lambda: "epoch=2" in stack.bridge.text(), 30, "the new session")
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    for number in range(10_000, 10_200):
        client.publish(f"measurements/s-{number % SENSORS}", {"measurements": [measurement({"n": number})]})
    client.close()
    stack.database.start()

    wait_until(lambda: {n for n in stack.stored() if n >= 10_000} == set(range(10_000, 10_200)), 30, "the new messages")


def test_a_hung_valkey_does_not_hold_up_ingest(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    with stopped(stack.redis):
        load = make_load(rate=1_000)
        load.run_for(2_000)
        assert_nothing_is_lost(stack, load, within_s=5)


def test_sigterm_under_load_ends_in_time_and_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    load = make_load(rate=2_000)
    load.run_for(1_000)
    began = time.monotonic()
    assert stack.bridge.kill(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    load.run_for(500)
    start(stack)
    assert_nothing_is_lost(stack, load)


def test_sigterm_while_the_database_is_away_ends_in_time_and_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    load = make_load(rate=1_000)
    load.run_for(500)
    stack.database.stop()
    load.run_for(1_000)
    began = time.monotonic()
    assert stack.bridge.kill(signal.SIGTERM) == 0
    assert time.monotonic() - began < 10
    stack.database.start()
    start(stack)
    assert_nothing_is_lost(stack, load)


def test_a_database_that_refuses_writes_gets_everything_once_it_writes_again(stack: Stack, make_load: MakeLoad) -> None:
    start(stack)
    load = make_load(rate=500)
    load.run_for(500)
    stack.set_read_only(on=True)
    wait_until(lambda: "storing waits for the database" in stack.bridge.text(), 10, "the bridge to say so")
    load.run_for(500)
    stored = len(stack.stored())
    load.run_for(500)
    assert len(stack.stored()) == stored < load.count
    stack.set_read_only(on=False)
    assert_nothing_is_lost(stack, load)
