"""Both brokers do what the product relies on; amqtt of its own accord does not."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fleet.mqtt.probe import BrokerUnfitError, probe_broker
from fleet.stack.broker import BrokerServer
from tests.stack.mqtt_client import MqttClient
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

BRIDGE = "fleet-bridge-0-of-1"


@pytest.fixture(params=["own_broker", "own_amqtt"], ids=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest) -> BrokerServer:
    server: BrokerServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def clients() -> Iterator[Callable[..., MqttClient]]:
    opened: list[MqttClient] = []

    def connect(url: str, client_id: str, **options: Any) -> MqttClient:
        opened.append(MqttClient(url, client_id, **options))
        return opened[-1]

    yield connect
    for client in opened:
        client.close()


def arrived(client: MqttClient, payloads: list[bytes], *, timeout_s: float = 10) -> None:
    wait_until(lambda: len(client.payloads) >= len(payloads), timeout_s, what=f"{len(payloads)} messages")
    assert client.payloads == payloads


def test_what_the_product_and_its_sensors_say_to_each_other(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge, sensor = clients(broker.url, BRIDGE, clean=False), clients(broker.sensor_url, "oven")
    bridge.subscribe("heartbeats/#", "log-messages/#", "measurements/#", "fleet/#")
    bridge.publish("configurations/oven", b"new", retain=True)
    sensor.subscribe("configurations/oven")
    arrived(sensor, [b"new"])
    assert sensor.received[0][2], "what is retained is marked so"
    for topic in ("heartbeats/oven", "log-messages/oven", "measurements/oven", "measurements/a/b", "measurements"):
        sensor.publish(topic, topic.encode())
    bridge.publish("fleet/watermark/x", b"mark")
    wait_until(lambda: len(bridge.received) == 6, what="all six messages")
    assert bridge.payloads[-1] == b"mark"
    assert not any(retained for _, _, retained, _ in bridge.received)


def test_sensors_read_nothing_that_others_report_and_write_no_configuration(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge, sensor, other = (
        clients(broker.url, BRIDGE),
        clients(broker.sensor_url, "a"),
        clients(broker.sensor_url, "b"),
    )
    other.publish("measurements/b", b"retained", retain=True)
    sensor.subscribe("#", "measurements/#", "fleet/#")
    bridge.subscribe("#")
    wait_until(lambda: b"retained" in bridge.payloads, what="the retained message")
    other.publish("measurements/b", b"live")
    # Of its own, because mosquitto ends the connection of a client that publishes what it may not.
    clients(broker.sensor_url, "forger").publish("configurations/b", b"forged", retain=True)
    bridge.publish("fleet/watermark/x", b"mark")
    bridge.publish("configurations/a", b"own")
    wait_until(lambda: b"own" in bridge.payloads, what="the last message")
    assert bridge.payloads == [b"retained", b"live", b"mark", b"own"]
    wait_until(lambda: sensor.payloads, what="the sensor's configuration")
    assert set(sensor.payloads) == {b"own"}


def test_a_retained_message_reaches_those_who_subscribed_to_it_only(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge, a, b = clients(broker.url, BRIDGE), clients(broker.sensor_url, "a"), clients(broker.sensor_url, "b")
    bridge.publish("configurations/a", b"of a", retain=True)
    bridge.publish("configurations/b", b"of b", retain=True)
    a.subscribe("configurations/a")
    b.subscribe("configurations/b")
    arrived(a, [b"of a"])
    arrived(b, [b"of b"])
    # Connects while others hold subscriptions, which is when amqtt replays theirs.
    late = clients(broker.sensor_url, "late")
    late.subscribe("configurations/late")
    bridge.publish("configurations/late", b"of late")
    arrived(late, [b"of late"])


def test_many_clients_that_come_at_once_get_what_is_theirs(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge = clients(broker.url, BRIDGE)
    names = [f"sensor-{number}" for number in range(60)]
    for name in names:
        bridge.publish(f"configurations/{name}", name.encode(), retain=True)

    def come(name: str) -> MqttClient:
        client = clients(broker.sensor_url, name)
        client.subscribe(f"configurations/{name}")
        return client

    with ThreadPoolExecutor(len(names)) as pool:
        sensors = dict(zip(names, pool.map(come, names), strict=True))
    for name, sensor in sensors.items():
        arrived(sensor, [name.encode()])


def test_a_deleted_retained_message_is_gone(broker: BrokerServer, clients: Callable[..., MqttClient]) -> None:
    bridge, sensor = clients(broker.url, BRIDGE), clients(broker.sensor_url, "a")
    bridge.publish("configurations/a", b"old", retain=True)
    bridge.publish("configurations/a", b"", retain=True)
    sensor.subscribe("configurations/a")
    bridge.publish("configurations/a", b"mark")
    arrived(sensor, [b"mark"])


@pytest.mark.parametrize("login", ["bridge", "sensor"])
def test_what_was_queued_for_an_absent_client_comes_in_order_and_not_as_retained(
    broker: BrokerServer, clients: Callable[..., MqttClient], login: str
) -> None:
    url, client_id = (broker.url, BRIDGE) if login == "bridge" else (broker.sensor_url, "sleeper")
    first = clients(url, client_id, clean=False)
    assert not first.session_present
    first.subscribe("configurations/#")
    first.close()
    payloads = [b"%d" % number for number in range(3_000)]
    clients(broker.url, "other").publish_all("configurations/x", payloads)
    again = clients(url, client_id, clean=False)
    assert again.session_present
    arrived(again, payloads, timeout_s=30)
    assert not any(retained for _, _, retained, _ in again.received)


def test_what_was_not_acknowledged_comes_again_after_a_lost_connection(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    lost = clients(broker.url, BRIDGE, clean=False, acknowledges=False)
    lost.subscribe("measurements/#")
    payloads = [b"%d" % number for number in range(40)]
    clients(broker.sensor_url, "a").publish_all("measurements/a", payloads)
    arrived(lost, payloads)
    lost.cut()
    again = clients(broker.url, BRIDGE, clean=False)
    arrived(again, payloads)
    assert all(duplicate for _, _, _, duplicate in again.received)


def test_a_slow_acknowledgement_costs_nothing(broker: BrokerServer, clients: Callable[..., MqttClient]) -> None:
    slow = clients(broker.url, BRIDGE, clean=False, acknowledges=False)
    slow.subscribe("measurements/#")
    sensor = clients(broker.sensor_url, "a")
    sensor.publish("measurements/a", b"first")
    arrived(slow, [b"first"])
    # amqtt gives up after 5 s; a database that is away for that long is nothing special. Nothing can be awaited.
    time.sleep(5.5)
    slow.cut()
    again = clients(broker.url, BRIDGE, clean=False)
    arrived(again, [b"first"])


@pytest.mark.parametrize("qos", [0, 1])
def test_what_a_client_sends_right_before_it_leaves_arrives(
    broker: BrokerServer, clients: Callable[..., MqttClient], qos: int
) -> None:
    bridge = clients(broker.url, BRIDGE, clean=False)
    bridge.subscribe("measurements/#")
    payloads = [b"%d" % number for number in range(200)]
    sensor = clients(broker.sensor_url, "a")
    sensor.publish_all("measurements/a", payloads, qos=qos)
    sensor.close()
    arrived(bridge, payloads)


def test_a_payload_that_is_too_large_for_the_product_still_reaches_it(
    broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge = clients(broker.url, BRIDGE, clean=False)
    bridge.subscribe("measurements/#")
    payload = b"x" * (300 * 1024)
    clients(broker.sensor_url, "a").publish("measurements/a", payload)
    arrived(bridge, [payload])


def test_a_wrong_login_does_not_disturb_the_bridge(broker: BrokerServer, clients: Callable[..., MqttClient]) -> None:
    bridge = clients(broker.url, BRIDGE, clean=False)
    bridge.subscribe("measurements/#")
    wrong = broker.url.replace("fleet-bridge:", "fleet-bridge:x")
    with pytest.raises(BrokerUnfitError, match="refused the login"):
        probe_broker(wrong, 5)
    with pytest.raises(AssertionError):
        clients(wrong, BRIDGE, clean=True, timeout_s=1)
    clients(broker.sensor_url, "a").publish("measurements/a", b"still here")
    arrived(bridge, [b"still here"])
    assert bridge.connected


def test_mosquitto_keeps_what_it_acknowledged_over_its_own_stop(
    own_broker: BrokerServer, clients: Callable[..., MqttClient]
) -> None:
    bridge = clients(own_broker.url, BRIDGE, clean=False)
    bridge.subscribe("measurements/#")
    bridge.publish("configurations/a", b"retained", retain=True)
    bridge.close()
    payloads = [b"%d" % number for number in range(3_000)]
    clients(own_broker.sensor_url, "a").publish_all("measurements/a", payloads)
    own_broker.stop()
    own_broker.start()
    arrived(clients(own_broker.url, BRIDGE, clean=False), payloads, timeout_s=30)
    sensor = clients(own_broker.sensor_url, "a")
    sensor.subscribe("configurations/a")
    arrived(sensor, [b"retained"])
