"""The shipped mosquitto.conf and the generated accounts, judged by what a real mosquitto delivers."""

import subprocess
from collections.abc import Callable

import pytest

from fleet.mqtt.accounts import PLUGIN_NAME, Login
from fleet.mqtt.dynamic_security import COMMAND_TOPIC, encode, end_account, make_account

from .broker import BRIDGE, RECEIVER_ID, TIMEOUT_S, Broker, Client
from .conftest import Connect, StartBroker

FAMILIES = ("heartbeats", "log-messages", "measurements")
OWN = "configurations/boiler"
# SUBACK grants all of these to a sensor; only what is delivered counts.
GREEDY = ("#", "+/+", "+/freezer", "configurations/#", "configurations/freezer", "heartbeats/#", "fleet/#", "$SYS/#")
WATERMARK = f"fleet/watermark/{RECEIVER_ID}"
DROPPED = "$SYS/broker/publish/messages/dropped"


def refusal(broker: Broker, client_id: str, login: Login) -> str:
    """Return what the broker answers to who connects to the sensors' listener."""
    client = Client(client_id, login)
    answer = client.connect(broker.port)
    client.close()
    return answer


def _topics_that_reach_a_greedy_boiler(broker: Broker, connect: Connect, bridge: Client) -> set[str]:
    bridge.publish("configurations/freezer", "retained", retain=True)
    freezer = connect(broker, "freezer")
    boiler = connect(broker, "boiler")
    boiler.subscribe(*GREEDY, OWN)
    for family in FAMILIES:
        freezer.publish(f"{family}/freezer", "live")
    bridge.publish("configurations/freezer", "live", retain=True)
    bridge.publish(WATERMARK, "live")
    # Sent last: what the broker let through before has come when this comes.
    bridge.publish(OWN, "live", retain=True)
    return {topic for topic, _ in boiler.take_until(OWN)}


def test_a_sensor_that_subscribes_to_everything_receives_only_its_own_configuration(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    assert _topics_that_reach_a_greedy_boiler(broker, connect, bridge) == {OWN}


def test_with_the_plugins_own_default_the_same_sensor_would_receive_everything(
    start_broker: StartBroker, connect: Connect, connect_bridge: Callable[[Broker], Client]
) -> None:
    """What either the plugin or the access list allows is allowed."""
    broker = start_broker()
    broker.stop()
    file = broker.accounts / PLUGIN_NAME
    file.write_text(file.read_text().replace('"publishClientReceive": false', '"publishClientReceive": true'))
    broker.start()
    topics = _topics_that_reach_a_greedy_boiler(broker, connect, connect_bridge(broker))
    assert topics >= {OWN, WATERMARK, "configurations/freezer", *(f"{family}/freezer" for family in FAMILIES)}
    assert any(topic.startswith("$SYS/") for topic in topics)


def test_a_retained_configuration_reaches_its_sensor_on_every_subscription(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    bridge.publish(OWN, '{"revision": 3}', retain=True)
    for _ in range(2):
        boiler = connect(broker, "boiler")
        boiler.subscribe(OWN)
        assert boiler.take() == [(OWN, b'{"revision": 3}')]
        boiler.close()


def test_the_bridge_hears_a_sensors_three_families_and_nothing_that_it_forges(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    boiler = connect(broker, "boiler")
    freezer = connect(broker, "freezer")
    freezer.subscribe("configurations/freezer")
    for family in FAMILIES:
        boiler.publish(f"{family}/freezer", "forged")
        boiler.publish(f"{family}/freezer", "forged, retained", retain=True)
        boiler.publish(f"{family}/boiler/freezer", "forged")
        boiler.publish(f"{family}/", "forged")
    boiler.publish(OWN, "forged")
    boiler.publish("configurations/freezer", "forged")
    boiler.publish(WATERMARK, "forged")
    boiler.publish(DROPPED, "forged")
    for family in FAMILIES:
        boiler.publish(f"{family}/boiler", "own")
    bridge.publish("configurations/freezer", "true")
    # Only what is allowed came, in order; and the refusals did not cost the sensor its connection.
    assert bridge.take(3) == [(f"{family}/boiler", b"own") for family in FAMILIES]
    assert freezer.take() == [("configurations/freezer", b"true")]
    assert bridge.messages.empty()
    assert freezer.messages.empty()


def test_a_will_on_anothers_topic_is_not_delivered(broker: Broker, bridge: Client) -> None:
    for topic in ("heartbeats/freezer", "heartbeats/boiler"):
        boiler = Client("boiler", broker.login("boiler"))
        boiler.paho.will_set(topic, "last words", qos=1)
        assert boiler.connect(broker.port) == "Success"
        boiler.vanish()
    assert bridge.take() == [("heartbeats/boiler", b"last words")]
    assert bridge.messages.empty()


@pytest.mark.parametrize("way", ["tls", "websocket"])
def test_by_tls_and_by_websocket_a_sensor_does_the_same_with_the_same_account(
    broker: Broker, connect: Connect, bridge: Client, way: str
) -> None:
    boiler = connect(broker, "boiler", **{way: True})
    boiler.subscribe(*GREEDY, OWN)
    boiler.publish("measurements/freezer", "forged")
    boiler.publish("measurements/boiler", "own")
    assert bridge.take() == [("measurements/boiler", b"own")]
    bridge.publish("configurations/freezer", "for another")
    bridge.publish(OWN, "own")
    assert {topic for topic, _ in boiler.take_until(OWN)} == {OWN}


@pytest.mark.parametrize("listener", ["port", "tls_port", "websocket_port", "inner_port"])
@pytest.mark.parametrize(
    ("username", "password"),
    [
        (None, None),
        ("boiler", "wrong"),
        ("boiler", ""),
        ("freezer", "boiler's"),
        ("nobody", "wrong"),
        ("fleet-bridge", "wrong"),
    ],
)
def test_no_listener_takes_a_client_without_its_login(
    broker: Broker, listener: str, username: str | None, password: str
) -> None:
    if password == "boiler's":
        password = broker.secrets["boiler"]
    login = None if username is None else Login(username, password)
    websocket = listener == "websocket_port"
    tls = broker.context() if websocket or listener == "tls_port" else None
    client = Client("boiler", login, websocket=websocket, tls=tls)
    assert client.connect(getattr(broker, listener)) == "Not authorized"
    client.close()


def test_qos_0_reaches_the_bridge_too(broker: Broker, connect: Connect, bridge: Client) -> None:
    connect(broker, "boiler").publish("measurements/boiler", "once", qos=0)
    assert bridge.take() == [("measurements/boiler", b"once")]


def test_the_bridge_reads_the_brokers_counter_of_dropped_messages(bridge: Client) -> None:
    bridge.subscribe(DROPPED)
    assert bridge.take(timeout_s=15) == [(DROPPED, b"0")]


def test_the_bridge_receives_its_own_watermark_but_cannot_write_telemetry(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    publisher = connect(broker, BRIDGE.username, client_id="fleet-publisher-0-of-1")
    publisher.publish("measurements/boiler", "the bridge measures nothing")
    publisher.publish(WATERMARK, "7")
    assert bridge.take() == [(WATERMARK, b"7")]


@pytest.mark.parametrize("client_id", [RECEIVER_ID, "fleet-publisher-0-of-1", "freezer", "anything else", ""])
def test_an_account_has_one_client_id_and_cannot_take_over_anothers_session(
    broker: Broker, connect: Connect, bridge: Client, client_id: str
) -> None:
    freezer = connect(broker, "freezer")
    assert refusal(broker, client_id, broker.login("boiler")) == "Not authorized"
    freezer.publish("measurements/freezer", "still here")
    assert bridge.take() == [("measurements/freezer", b"still here")]
    assert not bridge.disconnected.is_set()


def test_without_the_bound_the_same_account_would_take_over_the_bridges_session(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    [account] = [command for command in make_account("pump", "known", tag="test") if "clientid" in command]
    bridge.publish(COMMAND_TOPIC, encode([{**account, "clientid": ""}]))
    assert refusal(broker, RECEIVER_ID, Login("pump", "known")) == "Success"
    assert bridge.disconnected.wait(TIMEOUT_S)


def test_a_second_connection_of_an_account_ends_the_first(broker: Broker, connect: Connect) -> None:
    first = connect(broker, "boiler")
    connect(broker, "boiler")
    assert first.disconnected.wait(TIMEOUT_S)


def test_a_payload_too_large_for_the_service_still_reaches_the_bridge(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    payload = b"x" * (1024 * 1024 - 100)
    connect(broker, "boiler").publish("measurements/boiler", payload)
    assert bridge.take() == [("measurements/boiler", payload)]


def test_a_payload_beyond_the_brokers_limit_is_not_acknowledged_but_ends_the_connection(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    boiler = connect(broker, "boiler")
    acknowledged: list[int] = []
    boiler.paho.on_publish = lambda _c, _u, mid, _reason, _p: acknowledged.append(mid)
    boiler.paho.publish("measurements/boiler", b"x" * (1024 * 1024 + 100), qos=1)
    assert boiler.disconnected.wait(TIMEOUT_S)
    assert acknowledged == []
    connect(broker, "freezer").publish("measurements/freezer", "others go on")
    assert bridge.take() == [("measurements/freezer", b"others go on")]


# --- Accounts change while the broker runs -------------------------------------------------------


def test_a_new_account_works_at_once_and_nobody_is_disconnected(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    boiler = connect(broker, "boiler")
    broker.set_account(bridge, "pump")
    connect(broker, "pump").publish("measurements/pump", "hello")
    boiler.publish("measurements/boiler", "still here")
    assert bridge.take(2) == [("measurements/pump", b"hello"), ("measurements/boiler", b"still here")]


def test_a_rotated_secret_ends_the_old_connection_and_the_old_secret(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    boiler, freezer = connect(broker, "boiler"), connect(broker, "freezer")
    old = broker.login("boiler")
    broker.set_account(bridge, "boiler")
    assert boiler.disconnected.wait(TIMEOUT_S)
    assert refusal(broker, "boiler", old) == "Not authorized"
    connect(broker, "boiler")
    assert not freezer.disconnected.is_set()


def test_an_account_that_was_ended_is_disconnected_and_refused(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    boiler, freezer = connect(broker, "boiler"), connect(broker, "freezer")
    broker.end_account(bridge, "boiler")
    assert boiler.disconnected.wait(TIMEOUT_S)
    assert refusal(broker, "boiler", broker.login("boiler")) == "Not authorized"
    assert not freezer.disconnected.is_set()


def test_accounts_made_while_the_broker_ran_outlive_its_restart(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    broker.set_account(bridge, "pump")
    broker.end_account(bridge, "boiler")
    broker.stop()
    broker.start()
    connect(broker, "pump")
    connect(broker, "freezer")
    assert refusal(broker, "boiler", broker.login("boiler")) == "Not authorized"


def test_a_sensor_gives_no_commands(broker: Broker, connect: Connect, bridge: Client) -> None:
    boiler = connect(broker, "boiler")
    boiler.publish(COMMAND_TOPIC, encode(make_account("thief", "known", tag="test")))
    boiler.publish(COMMAND_TOPIC, encode(end_account("freezer", tag="test")))
    boiler.publish("measurements/boiler", "after it")
    assert bridge.take() == [("measurements/boiler", b"after it")]
    assert refusal(broker, "thief", Login("thief", "known")) == "Not authorized"
    connect(broker, "freezer")


# --- Nothing that was acknowledged is lost -------------------------------------------------------


def _numbers_after_an_absence(broker: Broker, connect: Connect, bridge: Client) -> list[int]:
    """Let the bridge miss 3,000 acknowledged messages and a restart; return what it finds when it is back."""
    bridge.close()
    boiler = connect(broker, "boiler")
    published = [boiler.paho.publish("measurements/boiler", str(n), qos=1) for n in range(3000)]
    for message in published:
        message.wait_for_publish(TIMEOUT_S)
    boiler.close()
    broker.stop()
    broker.start()
    again = connect(broker, BRIDGE.username, client_id=RECEIVER_ID, clean=False)
    # Comes after everything that waited.
    again.publish(WATERMARK, "end")
    return [int(payload) for topic, payload in again.take_until(WATERMARK) if topic != WATERMARK]


def test_an_absent_bridge_finds_every_message_after_the_broker_was_restarted(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    assert _numbers_after_an_absence(broker, connect, bridge) == list(range(3000))


def test_with_mosquittos_default_queue_the_same_bridge_would_lose_messages(
    start_broker: StartBroker, connect: Connect, connect_bridge: Callable[[Broker], Client]
) -> None:
    broker = start_broker({"\nmax_queued_messages ": "\n# max_queued_messages "})
    assert len(_numbers_after_an_absence(broker, connect, connect_bridge(broker))) < 3000


def test_an_old_bridges_session_is_deleted_by_connecting_once_without_it(
    broker: Broker, connect: Connect, bridge: Client, mosquitto_sub: str
) -> None:
    """As docs/deployment.md says for re-sharding: otherwise the broker collects for it for ever."""
    bridge.close()
    boiler = connect(broker, "boiler")
    boiler.publish("measurements/boiler", "for the old bridge")
    login = ["-u", BRIDGE.username, "-P", BRIDGE.password]
    command = [mosquitto_sub, "-p", str(broker.inner_port), *login, "-i", RECEIVER_ID, "-t", "x", "-E"]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    boiler.publish("measurements/boiler", "for nobody")
    again = connect(broker, BRIDGE.username, client_id=RECEIVER_ID, clean=False)
    again.subscribe(WATERMARK)
    again.publish(WATERMARK, "end")
    assert again.take() == [(WATERMARK, b"end")]


def test_a_retained_configuration_outlives_a_restart_of_the_broker(
    broker: Broker, connect: Connect, bridge: Client
) -> None:
    bridge.publish(OWN, "kept", retain=True)
    broker.stop()
    broker.start()
    boiler = connect(broker, "boiler")
    boiler.subscribe(OWN)
    assert boiler.take() == [(OWN, b"kept")]
