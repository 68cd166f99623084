"""The broker restarts, is killed, forgets everything: what it acknowledged and kept is stored, and it is refilled."""

import json
import signal
from collections.abc import Callable

import pytest

from tests.bridges import Client
from tests.faults.careless import Careless
from tests.faults.load import Devices
from tests.faults.messages import SENSORS, message
from tests.faults.proxy import PUBACK, Proxy
from tests.faults.stack import (
    MakeLoad,
    Stack,
    assert_answered_once,
    assert_nothing_is_lost,
    holding,
    restart_empty,
)
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MakeProxy = Callable[..., Proxy]


def publish(stack: Stack, numbers: range) -> None:
    """Publish these messages and return when the broker has acknowledged them."""
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    for number in numbers:
        client.send(*message(number))
    wait_until(lambda: client.acknowledgements.total() == len(numbers), 30, "the broker's acknowledgements")
    client.close()


def test_a_broker_that_restarts_in_good_order_loses_nothing(
    stack: Stack, make_load: MakeLoad, devices: Devices, long: bool
) -> None:
    stack.start_bridge()
    load = make_load(rate=500)
    restarts = 6 if long else 2
    for _ in range(restarts):
        stack.revise()
        load.run_for(400)
        stack.broker.kill(signal.SIGTERM)
        load.run_for(100)
        stack.broker.start()
    load.run_for(400)
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=restarts)


def test_a_subscriber_with_default_settings_loses_at_a_restart(
    stack: Stack, make_load: MakeLoad, make_careless: Callable[..., Careless], make_proxy: MakeProxy
) -> None:
    """The control of the test above: while it reconnects, nobody keeps what comes."""
    proxy = make_proxy(stack.broker.url)
    careless = make_careless("forgets", broker_url=proxy.url)
    load = make_load(rate=500)
    load.run_for(300)
    with proxy.refusing():
        stack.broker.kill(signal.SIGTERM)
        stack.broker.start()
        # The sender is connected again, the subscriber not yet.
        load.run_for(300)
        wait_until(lambda: load.outstanding() < 50, 30, "the broker to acknowledge again")
    careless.wait_subscribed()
    load.run_for(100)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100


def test_a_broker_that_forgot_everything_gets_the_configurations_again_and_is_heard(
    stack: Stack, make_load: MakeLoad, devices: Devices
) -> None:
    """What it lost of the messages is its own; here that all goes on, without anybody's doing."""
    stack.start_bridge()
    stack.revise()
    assert_answered_once(stack, revisions=1)
    answered = len(devices.answers)

    restart_empty(stack.broker)

    # 10 s is the promise: the slower one of the bridge's two reconnects, and the sensors' own.
    wait_until(
        lambda: {sensor for sensor, _ in devices.answers[answered:]} == {f"s-{n}" for n in range(SENSORS)},
        10,
        "all configurations to arrive again",
    )
    client = Client(stack.broker.url)
    client.subscribe("configurations/#")
    wait_until(lambda: len(client.received) == SENSORS, 10, "the retained configurations")
    client.close()
    assert {json.loads(payload)["revision"] for _, payload, retained in client.received if retained} == {0}
    # The subscriptions stand, and answers that come again change nothing.
    load = make_load(rate=500)
    load.run_for(500)
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=1)


# Messages of one sensor each, so that a lock on its row holds back the batch that brings them.
OLD = range(0, 300 * SENSORS, SENSORS)  # of s-0
NEW = range(1_000_001, 1_000_001 + 200 * SENSORS, SENSORS)  # of s-1


def test_no_acknowledgement_of_the_old_session_takes_a_message_of_the_new_one(
    stack: Stack, make_proxy: MakeProxy
) -> None:
    """Packet ids begin again at 1: acknowledging the old ones would take new messages that nobody stored."""
    proxy = make_proxy(stack.broker.url, mqtt=True)
    stack.bridge = stack.make_bridge(broker_url=proxy.url)
    stack.start_bridge()
    with holding(stack, "SELECT FROM sensors_sensorstate WHERE sensor_id = {s-1} FOR UPDATE"):
        with holding(stack, "SELECT FROM sensors_sensorstate WHERE sensor_id = {s-0} FOR UPDATE"):
            publish(stack, OLD)
            wait_until(stack.somebody_waits_for_a_lock, 30, "the batch with the old messages to wait")
            proxy.reset()
            restart_empty(stack.broker)
            wait_until(lambda: "epoch=2" in stack.bridge.text(), 30, "the new session")
            publish(stack, NEW)
            acknowledged = proxy.packets(PUBACK)
        wait_until(stack.stored, 30, "old messages to be stored")
        wait_until(stack.somebody_waits_for_a_lock, 30, "the batch with the new messages to wait")
        assert proxy.packets(PUBACK) == acknowledged
        stack.bridge.kill(signal.SIGKILL)
    stack.start_bridge()
    wait_until(lambda: set(NEW) <= set(stack.stored()), 30, "the new messages")
    assert [n for n in stack.stored() if n in NEW] == list(NEW)


def test_a_subscriber_that_acknowledges_by_packet_id_alone_loses_messages_of_the_new_session(
    stack: Stack, make_careless: Callable[..., Careless], make_proxy: MakeProxy
) -> None:
    """The control of the test above."""
    proxy = make_proxy(stack.broker.url, mqtt=True)
    careless = make_careless("stale", broker_url=proxy.url)
    with holding(stack, f"INSERT INTO careless SELECT generate_series({NEW.start}, {NEW.stop}, {NEW.step})"):
        with holding(stack, f"INSERT INTO careless SELECT generate_series({OLD.start}, {OLD.stop}, {OLD.step})"):
            publish(stack, OLD)
            wait_until(stack.somebody_waits_for_a_lock, 30, "the batch with the old messages to wait")
            proxy.reset()
            restart_empty(stack.broker)
            careless.wait_subscribed()
            publish(stack, NEW)
        wait_until(lambda: proxy.packets(PUBACK) > 0, 30, "the old acknowledgement")
        wait_until(stack.somebody_waits_for_a_lock, 30, "the batch with the new messages to wait")
        careless.kill()
    careless.start()
    publish(stack, range(1, 2))

    assert set(NEW) - careless.wait_stored({1})
