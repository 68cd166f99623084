"""The bridge is killed, stopped or away: each message that its publisher saw acknowledged is stored exactly once."""

import random
import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.bridges import Client
from tests.faults.careless import Careless
from tests.faults.load import Devices
from tests.faults.messages import message
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


def test_a_bridge_killed_at_random_moments_loses_nothing_and_answers_once(
    stack: Stack, make_load: MakeLoad, devices: Devices, dice: random.Random, long: bool
) -> None:
    """Six times: working, and while it starts, connects or catches up."""
    stack.start_bridge()
    load = make_load(rate=2_000 if long else 500)
    kills = 20 if long else 6
    for kill in range(kills):
        stack.revise()
        if kill % 2:
            stack.wait_ready()
        # Up to three seconds at this rate: a start takes about two.
        load.run_for(dice.randrange(50, 6_000 if long else 1_500))
        assert stack.bridge.kill(signal.SIGKILL) == -signal.SIGKILL
        load.run_for(100)
        stack.bridge.start()
    stack.wait_ready()
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=kills)


def test_a_subscriber_with_default_settings_loses_what_came_while_it_was_dead(
    stack: Stack, make_load: MakeLoad, make_careless: Callable[..., Careless]
) -> None:
    """The control of the test above."""
    careless = make_careless("forgets")
    load = make_load(rate=500)
    load.run_for(500)
    careless.kill()
    load.run_for(200)
    careless.start()
    load.run_for(100)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100


def test_a_bridge_killed_while_its_batch_waits_for_a_lock_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    stack.start_bridge()
    with psycopg.connect(stack.database.url) as locking:
        locking.execute("LOCK TABLE telemetry_measurement IN EXCLUSIVE MODE")
        load = make_load(rate=500)
        wait_until(stack.somebody_waits_for_a_lock, 30, "the batch to wait")
        load.run_for(500)
        stack.bridge.kill(signal.SIGKILL)
    stack.start_bridge()
    assert_nothing_is_lost(stack, load)


def test_a_subscriber_that_acknowledges_early_loses_what_waited_for_the_lock(
    stack: Stack, make_load: MakeLoad, make_careless: Callable[..., Careless]
) -> None:
    """The control of the test above."""
    careless = make_careless("early")
    with psycopg.connect(stack.database.url) as locking:
        locking.execute("LOCK TABLE careless IN EXCLUSIVE MODE")
        load = make_load(rate=500)
        wait_until(stack.somebody_waits_for_a_lock, 30, "the batch to wait")
        load.run_for(500)
        careless.kill()
    careless.start()
    load.run_for(10)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100


def test_what_came_while_the_bridge_was_away_is_stored(stack: Stack, make_load: MakeLoad, long: bool) -> None:
    stack.start_bridge()
    assert stack.bridge.kill(signal.SIGTERM) == 0
    load = make_load(rate=10_000)
    load.run_for(50_000 if long else 5_000)
    load.end()
    stack.bridge.start()
    assert_nothing_is_lost(stack, load, least=5_000 - 1)


def test_sigterm_under_load_ends_the_bridge_in_time_and_loses_nothing(stack: Stack, make_load: MakeLoad) -> None:
    stack.start_bridge()
    load = make_load(rate=2_000)
    load.run_for(1_000)
    assert stack.bridge.kill(signal.SIGTERM) == 0
    load.run_for(500)
    stack.bridge.start()
    assert_nothing_is_lost(stack, load)


def test_sigterm_while_the_database_is_away_ends_the_bridge_in_time_and_loses_nothing(
    stack: Stack, make_load: MakeLoad
) -> None:
    stack.start_bridge()
    load = make_load(rate=1_000)
    load.run_for(500)
    stack.database.stop()
    # More than the inbox holds: the receiving thread waits for room when the signal comes.
    load.run_for(7_000)
    assert stack.bridge.kill(signal.SIGTERM) == 0
    stack.database.start()
    stack.bridge.start()
    assert_nothing_is_lost(stack, load)


def test_sigterm_while_the_broker_is_away_ends_the_bridge_in_time(stack: Stack) -> None:
    stack.start_bridge()
    stack.broker.stop()
    wait_until(lambda: not stack.tick()["connected"], 30, "the bridge to notice")
    assert stack.bridge.kill(signal.SIGTERM) == 0


def test_one_message_that_lies_in_the_queue_of_a_dead_bridge_outlives_the_broker_too(stack: Stack) -> None:
    """Two faults one after the other: the queue of an absent bridge survives a restart of the broker."""
    stack.start_bridge()
    stack.bridge.kill(signal.SIGKILL)
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    client.publish(*message(100))
    client.close()
    stack.broker.kill(signal.SIGTERM)
    stack.broker.start()
    stack.start_bridge()
    wait_until(lambda: stack.stored() == [100], 30, "the message to be stored")
