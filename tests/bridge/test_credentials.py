"""Credentials on their way to the broker, judged by who gets in: database → bridge → mosquitto → sensor."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from fleet.mqtt.account_keeper import AccountKeeper
from fleet.mqtt.accounts import PLUGIN_NAME, plugin_text
from fleet.mqtt.dynamic_security import ANSWER_TOPIC, COMMAND_TOPIC, OWN_ACCOUNT
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from sensors.models import CredentialState, Network, Sensor, SensorCredential, ServiceTick
from sensors.secrets import hash_secret
from sensors.services import (
    create_network,
    create_sensor,
    delete_network,
    delete_sensor,
    issue_credential,
    issue_credentials,
    revoke_credential,
)
from sensors.services.credentials import Login, hashed_secrets
from tests.bridges import BridgeProcess
from tests.docker.broker import TIMEOUT_S, Client
from tests.servers import make_mosquitto
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

StartBridge = Callable[[], BridgeProcess]


@pytest.fixture
def start_bridge(broker: MosquittoServer, tmp_path: Path) -> Iterator[StartBridge]:
    bridges: list[BridgeProcess] = []

    def start() -> BridgeProcess:
        bridges.append(BridgeProcess(broker_url=broker.url, log=tmp_path / "bridge.log").start().wait_ready())
        return bridges[-1]

    yield start
    for bridge in bridges:
        bridge.stop()


@pytest.fixture
def network() -> Network:
    return create_network(slug="hall", name="Hall", owner=None)


@pytest.fixture
def sensor(network: Network) -> Sensor:
    return create_sensor(network, identifier="s-1")


def issue(sensor: Sensor) -> Login:
    return issue_credential(sensor, author=None, now=datetime.now(UTC))


def wait_for_state(sensor: Sensor, state: CredentialState) -> None:
    wait_until(lambda: SensorCredential.objects.get(sensor=sensor).state == state, 20, f"the credential to be {state}")


def active_login(sensor: Sensor) -> Login:
    login = issue(sensor)
    wait_for_state(sensor, CredentialState.ACTIVE)
    return login


def refusal(broker: MosquittoServer, client_id: str, login: Login | None) -> str:
    client = Client(client_id, login)
    answer = client.connect(broker.port)
    client.close()
    return answer


def connected(broker: MosquittoServer, login: Login) -> Client:
    client = Client(login.client_id, login)
    assert client.connect(broker.port) == "Success"
    return client


def test_an_issued_credential_lets_its_sensor_in_and_nobody_else(
    broker: MosquittoServer, start_bridge: StartBridge, sensor: Sensor
) -> None:
    start_bridge()
    login = active_login(sensor)

    connected(broker, login).close()
    for client_id, other in [
        ("s-1", None),
        ("s-1", Login("s-1", "wrong")),
        ("s-1", Login("s-2", login.password)),
        ("s-2", login),
        ("fleet-bridge-0-of-1", login),
        ("", login),
    ]:
        assert refusal(broker, client_id, other) == "Not authorized", (client_id, other)


def test_the_secret_is_forgotten_once_the_broker_has_it(
    broker: MosquittoServer, start_bridge: StartBridge, sensor: Sensor
) -> None:
    login = issue(sensor)
    stored = SensorCredential.objects.get()
    assert stored.sealed_secret
    assert login.password not in stored.sealed_secret
    assert stored.state == CredentialState.WAITING
    assert refusal(broker, "s-1", login) == "Not authorized"

    bridge = start_bridge()
    wait_for_state(sensor, CredentialState.ACTIVE)

    stored = SensorCredential.objects.get()
    assert stored.sealed_secret == ""
    assert hashed_secrets()["s-1"].matches(login.password)
    assert login.password not in bridge.text()


def test_a_rotated_secret_ends_the_older_one_and_its_connection(
    broker: MosquittoServer, start_bridge: StartBridge, network: Network, sensor: Sensor
) -> None:
    start_bridge()
    old = active_login(sensor)
    other = connected(broker, active_login(create_sensor(network, identifier="s-2")))
    client = connected(broker, old)

    new = active_login(sensor)

    assert client.disconnected.wait(TIMEOUT_S)
    assert refusal(broker, "s-1", old) == "Not authorized"
    connected(broker, new).close()
    assert not other.disconnected.is_set()
    other.close()


@pytest.mark.parametrize("end", ["revoked", "deleted", "deleted with its network"])
def test_who_is_revoked_or_deleted_is_thrown_out_and_stays_out(
    broker: MosquittoServer, start_bridge: StartBridge, sensor: Sensor, end: str
) -> None:
    start_bridge()
    login = active_login(sensor)
    client = connected(broker, login)

    if end == "revoked":
        revoke_credential(sensor, author=None, now=datetime.now(UTC))
    elif end == "deleted":
        delete_sensor(sensor)
    else:
        delete_network(sensor.network)

    assert client.disconnected.wait(TIMEOUT_S)
    assert refusal(broker, "s-1", login) == "Not authorized"
    if end == "revoked":
        wait_for_state(sensor, CredentialState.REVOKED)
    else:
        wait_until(lambda: not SensorCredential.objects.exists(), 10, "nothing to be left of it")


def test_a_sensor_with_a_credential_reaches_its_own_topics_only(
    broker: MosquittoServer, start_bridge: StartBridge, network: Network, sensor: Sensor
) -> None:
    start_bridge()
    thief = connected(broker, active_login(sensor))
    victim = connected(broker, active_login(create_sensor(network, identifier="s-2")))
    admin = Client("admin", Login("fleet-bridge", bridge_password(broker)))
    assert admin.connect(broker.port) == "Success"
    thief.subscribe(
        *("#", "+/+", "configurations/#", "configurations/s-2", "+/s-2", "heartbeats/#", "$SYS/#", "$CONTROL/#"),
        *("$share/thieves/#", "$share/thieves/configurations/s-2", "configurations/s-1"),
    )
    admin.subscribe("heartbeats/#")
    admin.publish("configurations/s-2", "not for s-1", retain=True)
    victim.publish("heartbeats/s-2", "not for s-1")
    thief.publish("heartbeats/s-2", "forged")
    thief.publish("$CONTROL/dynamic-security/v1", '{"commands": [{"command": "listClients"}]}')
    thief.publish("heartbeats/s-1", "own")
    admin.publish("configurations/s-1", "own")

    assert {topic for topic, _ in thief.take_until("configurations/s-1")} == {"configurations/s-1"}
    assert thief.messages.empty()
    assert admin.take(2) == [("heartbeats/s-2", b"not for s-1"), ("heartbeats/s-1", b"own")]
    for client in (thief, victim, admin):
        client.close()


def bridge_password(broker: MosquittoServer) -> str:
    return broker.url.split(":")[2].split("@")[0]


def test_many_credentials_of_one_call_all_come_to_the_broker(
    broker: MosquittoServer, start_bridge: StartBridge, network: Network
) -> None:
    start_bridge()
    sensors = [create_sensor(network, identifier=f"s-{n}") for n in range(150)]

    logins = issue_credentials(sensors, author=None, now=datetime.now(UTC))

    assert [login.username for login in logins] == [sensor.identifier for sensor in sensors]
    wait_until(lambda: not SensorCredential.objects.filter(applied_at__isnull=True).exists(), 30, "all to be there")
    for login in logins[::50]:
        connected(broker, login).close()


def test_a_shard_takes_no_answer_to_another_shard_for_its_own(broker: MosquittoServer, sensor: Sensor) -> None:
    login = issue(sensor)
    # Both hear what the broker answers to either, and are as far as each other.
    client = Client("shards", Login("fleet-bridge", bridge_password(broker)))
    assert client.connect(broker.port) == "Success"
    client.subscribe(ANSWER_TOPIC)
    other = AccountKeeper(lambda commands: client.publish(COMMAND_TOPIC, commands), mine=lambda _name: False)
    sent: list[bytes] = []
    shard = AccountKeeper(sent.append, mine=lambda _name: True)
    shard.step(0.0, look=True)
    other.step(0.0, look=True)
    shard.on_answer(client.take()[0][1])

    shard.step(0.1, look=False)

    assert len(sent) == 1
    for number in (1, 2):
        client.publish(COMMAND_TOPIC, sent[-1])
        shard.on_answer(client.take()[0][1])
        shard.step(0.1 + number, look=False)
    assert len(sent) == 2
    assert SensorCredential.objects.get().state == CredentialState.ACTIVE
    connected(broker, login).close()
    client.close()


def test_what_the_broker_should_not_have_is_taken_from_it_and_what_it_lost_is_named(
    broker: MosquittoServer, start_bridge: StartBridge, network: Network, sensor: Sensor
) -> None:
    bridge = start_bridge()
    active_login(sensor)
    lost = create_sensor(network, identifier="s-2")
    login = active_login(lost)
    bridge.stop()
    broker.stop()
    # As if an older copy of its file had been put back: s-2 is not in it yet, and a deleted sensor still is.
    path = broker.state.parent / PLUGIN_NAME
    file = json.loads(path.read_text())
    file["clients"] = [client for client in file["clients"] if client["username"] != "s-2"]
    stale, persons = hash_secret("stale"), hash_secret("a person's")
    path.write_text(json.dumps(file))
    text = plugin_text({"s-gone": stale, "s-1": hashed_secrets()["s-1"]}, before=json.dumps(file))
    file = json.loads(text)
    file["clients"].append({"username": "explorer", "roles": [], **secret_fields(persons)})
    path.write_text(json.dumps(file))
    broker.start()
    assert refusal(broker, "s-gone", Login("s-gone", "stale")) == "Success"

    bridge = start_bridge()

    wait_for_state(lost, CredentialState.MISSING)
    wait_until(lambda: refusal(broker, "s-gone", Login("s-gone", "stale")) == "Not authorized", 10, "it to be gone")
    assert refusal(broker, "explorer", Login("explorer", "a person's")) == "Success"
    assert SensorCredential.objects.get(sensor=sensor).state == CredentialState.ACTIVE
    assert "lost accounts" in bridge.text()
    wait_until(
        lambda: ServiceTick.objects.get(name="bridge 0/1").detail["lost_accounts"] == 1, 10, "the tick to say so"
    )
    # From the hashes in the database the file can be made anew.
    broker.stop()
    path.write_text(plugin_text(hashed_secrets(), before=path.read_text()))
    broker.start()
    wait_for_state(lost, CredentialState.ACTIVE)
    connected(broker, login).close()


def secret_fields(secret: object) -> dict[str, object]:
    [client] = json.loads(plugin_text({"x": secret}))["clients"]  # type: ignore[dict-item]
    assert client["textname"] == OWN_ACCOUNT
    return {name: client[name] for name in ("password", "salt", "iterations")}


def test_at_a_broker_without_the_plugin_credentials_wait_and_the_bridge_says_so(
    own_place: DataDir,
    own_servers: Callable[[MosquittoServer], MosquittoServer],
    tmp_path: Path,
    sensor: Sensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleet.stack.mosquitto.find_plugin", lambda _program: None)
    broker = own_servers(make_mosquitto(own_place))
    bridge = BridgeProcess(broker_url=broker.url, log=tmp_path / "bridge.log").start().wait_ready()
    issue(sensor)
    wait_until(
        lambda: ServiceTick.objects.get(name="bridge 0/1").detail["broker_accounts"] is False, 20, "it to be known"
    )
    assert SensorCredential.objects.get().state == CredentialState.WAITING
    assert "takes no accounts" in bridge.text()
    bridge.stop()


def test_a_secret_that_cannot_be_read_any_more_is_missing_and_stops_no_other(
    broker: MosquittoServer, start_bridge: StartBridge, network: Network, sensor: Sensor, settings: object
) -> None:
    key = django_settings.SECRET_KEY
    django_settings.SECRET_KEY = "another key, under which the first secret was sealed"
    issue(sensor)
    django_settings.SECRET_KEY = key
    start_bridge()
    active_login(create_sensor(network, identifier="s-2"))
    wait_for_state(sensor, CredentialState.MISSING)
    connected(broker, active_login(sensor)).close()


def test_to_a_broker_that_asks_the_bridge_brings_nothing(
    broker: MosquittoServer, tmp_path: Path, network: Network, sensor: Sensor
) -> None:
    login = issue(sensor)
    secret = "the secret of a broker that asks, 1234567"
    bridge = BridgeProcess(
        broker_url=broker.url, log=tmp_path / "bridge.log", MQTT_ACCOUNTS="http", BROKER_AUTH_SECRET=secret
    )
    try:
        bridge.start().wait_ready()
        # What waited is as it is to be, and what a deleted sensor leaves is gone; mosquitto was told of neither.
        wait_for_state(sensor, CredentialState.ACTIVE)
        assert refusal(broker, "s-1", login) == "Not authorized"
        delete_sensor(sensor)
        wait_until(lambda: not SensorCredential.objects.exists(), 10, "nothing to be left of it")
    finally:
        bridge.stop()
