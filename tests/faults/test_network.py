"""Connections are reset again and again, or lost without a word: all is stored once, and the bridge goes on."""

import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.faults.careless import Careless
from tests.faults.load import Devices
from tests.faults.proxy import Proxy
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost, holding
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MakeProxy = Callable[..., Proxy]
RESET_EVERY_S = 2.0


def test_connections_to_the_broker_reset_every_two_seconds_lose_nothing(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, devices: Devices, long: bool
) -> None:
    proxy = make_proxy(stack.broker.url)
    stack.bridge = stack.make_bridge(broker_url=proxy.url)
    stack.start_bridge()
    process = stack.bridge.process
    load = make_load(rate=1_000 if long else 500)
    revisions = 30 if long else 4
    with proxy.resetting(every_s=RESET_EVERY_S) as cut:
        for number in range(revisions):
            stack.revise()
            wait_until(lambda: len(cut) > number, 30, "a reset")  # noqa: B023 - used at once
    assert sum(cut) >= revisions
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=revisions)
    # By itself, not by being started again.
    assert stack.bridge.process is process
    assert process is not None
    assert process.poll() is None


def test_a_subscriber_with_default_settings_loses_at_resets(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, make_careless: Callable[..., Careless]
) -> None:
    """The control of the test above: each reconnect takes it a second."""
    proxy = make_proxy(stack.broker.url)
    careless = make_careless("forgets", broker_url=proxy.url)
    load = make_load(rate=500)
    load.run_for(100)
    for _ in range(2):
        proxy.reset()
        careless.wait_subscribed()
        load.run_for(100)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100


def test_connections_to_the_database_reset_every_two_seconds_lose_nothing(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, devices: Devices, long: bool
) -> None:
    proxy = make_proxy(stack.database.url)
    stack.bridge = stack.make_bridge(DATABASE_URL=proxy.url)
    stack.start_bridge()
    process = stack.bridge.process
    load = make_load(rate=1_000 if long else 500)
    revisions = 30 if long else 4
    with proxy.resetting(every_s=RESET_EVERY_S) as cut:
        for number in range(revisions):
            stack.revise()
            wait_until(lambda: len(cut) > number, 30, "a reset")  # noqa: B023 - used at once
    assert sum(cut) >= revisions
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=revisions)
    assert stack.bridge.process is process
    assert process is not None
    assert process.poll() is None, stack.bridge.text()


def test_a_subscriber_that_goes_on_after_a_database_error_loses_at_resets(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, make_careless: Callable[..., Careless]
) -> None:
    """The control of the test above: each batch on its way costs at least one message."""
    proxy = make_proxy(stack.database.url)
    careless = make_careless("skips", database_url=proxy.url)
    load = make_load(rate=500)
    load.run_for(100)
    wait_until(careless.stored, 30, "the first messages")
    for _ in range(2):
        # On its way: it waits for a lock that the test holds.
        with psycopg.connect(stack.database.url) as locking:
            locking.execute("LOCK TABLE careless IN EXCLUSIVE MODE")
            wait_until(stack.somebody_waits_for_a_lock, 30, "a batch to wait")
            proxy.reset()
        load.run_for(100)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert load.acknowledged() - careless.wait_stored({load.count - 1})


def test_a_database_connection_lost_without_a_word_does_not_cost_the_bridge_its_shard(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy
) -> None:
    """The server believes in the old connection, and in its lock, for as long as TCP does: hours by default."""
    proxy = make_proxy(stack.database.url)
    stack.bridge = stack.make_bridge(DATABASE_URL=proxy.url)
    stack.start_bridge()
    process = stack.bridge.process
    assert process is not None
    load = make_load(rate=300)
    load.run_for(300)
    assert proxy.forget_clients() >= 2
    load.run_for(900)
    assert process.poll() is None, stack.bridge.text()
    assert_nothing_is_lost(stack, load)
    assert process.poll() is None, stack.bridge.text()


def test_a_transaction_left_behind_without_a_word_does_not_hold_up_the_next_ones(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy
) -> None:
    """It holds locks on the sensors' rows, and the server waits for a client that is no more to end it."""
    proxy = make_proxy(stack.database.url)
    stack.bridge = stack.make_bridge(DATABASE_URL=proxy.url)
    stack.start_bridge()
    load = make_load(rate=300)
    with holding(stack, "SELECT FROM sensors_sensorstate WHERE sensor_id = {s-0} FOR UPDATE"):
        wait_until(stack.somebody_waits_for_a_lock, 30, "a batch to wait")
        assert proxy.forget_clients() >= 2
    # The statement that waited has its lock now, and nobody takes its answer.
    load.run_for(600)
    assert_nothing_is_lost(stack, load, within_s=90)


@pytest.mark.long
def test_a_bridge_whose_machine_lost_its_power_is_followed_by_the_next_one(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy
) -> None:
    """The same from the other side: the lock of a bridge that is gone without a word does not keep the next one out."""
    proxy = make_proxy(stack.database.url)
    stack.bridge = stack.make_bridge(DATABASE_URL=proxy.url)
    stack.start_bridge()
    load = make_load(rate=300)
    load.run_for(300)
    proxy.forget_clients()
    stack.bridge.kill(signal.SIGKILL)
    stack.bridge = stack.make_bridge(log="next")
    stack.start_bridge()
    assert_nothing_is_lost(stack, load)
