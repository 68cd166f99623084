"""Credentials at amqtt, which reads them from the database: who gets in, and who hears what."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from fleet.stack.amqtt_server import AmqttServer
from fleet.stack.environment import write_environment
from fleet.stack.places import DataDir
from sensors.models import CredentialState, Network, Sensor, SensorCredential
from sensors.services import (
    create_network,
    create_sensor,
    delete_sensor,
    issue_credential,
    revoke_credential,
)
from sensors.services.credentials import Login
from tests.bridges import database_url
from tests.docker.broker import TIMEOUT_S, Client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault]

Connect = Callable[[str, Login | None], Client]


@pytest.fixture
def broker(own_place: DataDir, own_amqtt: AmqttServer, settings: object) -> AmqttServer:
    """An amqtt whose accounts are those of the test's database."""
    write_environment(own_place.environment, {"DATABASE_URL": database_url()})
    settings.MQTT_ACCOUNTS = own_amqtt.accounts  # type: ignore[attr-defined]
    return own_amqtt


@pytest.fixture
def network(broker: AmqttServer) -> Network:
    return create_network(slug="hall", name="Hall", owner=None)


@pytest.fixture
def sensor(network: Network) -> Sensor:
    return create_sensor(network, identifier="s-1")


@pytest.fixture
def answers(broker: AmqttServer) -> Iterator[Callable[[str, Login | None], tuple[Client, str]]]:
    clients: list[Client] = []

    def connect(client_id: str, login: Login | None) -> tuple[Client, str]:
        clients.append(Client(client_id, login))
        return clients[-1], clients[-1].connect(broker.port)

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def connected(answers: Callable[[str, Login | None], tuple[Client, str]]) -> Connect:
    def connect(client_id: str, login: Login | None) -> Client:
        client, answer = answers(client_id, login)
        assert answer == "Success"
        return client

    return connect


@pytest.fixture
def refusal(answers: Callable[[str, Login | None], tuple[Client, str]]) -> Callable[[str, Login | None], str]:
    return lambda client_id, login: answers(client_id, login)[1]


def issue(sensor: Sensor) -> Login:
    return issue_credential(sensor, author=None, now=datetime.now(UTC))


def bridge_login(broker: AmqttServer) -> Login:
    return Login("fleet-bridge", broker.url.split(":")[2].split("@")[0])


def test_a_credential_is_active_at_once_and_lets_its_sensor_in_and_nobody_else(
    sensor: Sensor, connected: Connect, refusal: Callable[[str, Login | None], str]
) -> None:
    login = issue(sensor)
    assert SensorCredential.objects.get().state == CredentialState.ACTIVE

    connected("s-1", login)
    connected("anybody", None)
    for client_id, other in [
        ("s-1", Login("s-1", "wrong")),
        ("s-1", Login("s-1", "")),
        ("s-2", Login("s-2", login.password)),
        ("s-2", login),
        ("fleet-bridge-0-of-1", login),
        ("fleet-bridge-0-of-1", Login("fleet-bridge", login.password)),
        ("fleet-bridge-0-of-1", None),
    ]:
        assert refusal(client_id, other) == "Not authorized", (client_id, other)


def test_a_sensor_with_a_credential_reaches_its_own_topics_only(
    broker: AmqttServer, network: Network, sensor: Sensor, connected: Connect
) -> None:
    thief = connected("s-1", issue(sensor))
    bridge = connected("fleet-publisher-x", bridge_login(broker))
    thief.subscribe(
        "#", "+/+", "configurations/#", "configurations/s-2", "heartbeats/#", "$SYS/#", "configurations/s-1"
    )
    bridge.subscribe("heartbeats/#", "measurements/#", "configurations/#")
    bridge.publish("configurations/s-2", "not for s-1", retain=True)
    thief.publish("heartbeats/s-2", "forged")
    thief.publish("configurations/s-1", "forged")
    thief.publish("measurements/s-1/x", "forged")
    thief.publish("heartbeats/s-1", "own")
    bridge.publish("configurations/s-1", "own")

    assert {topic for topic, _ in thief.take_until("configurations/s-1")} == {"configurations/s-1"}
    assert bridge.take(3) == [
        ("configurations/s-2", b"not for s-1"),
        ("heartbeats/s-1", b"own"),
        ("configurations/s-1", b"own"),
    ]


@pytest.mark.parametrize("end", ["rotated", "revoked", "deleted"])
def test_who_is_rotated_revoked_or_deleted_is_thrown_out_and_stays_out(
    network: Network,
    sensor: Sensor,
    connected: Connect,
    refusal: Callable[[str, Login | None], str],
    end: str,
) -> None:
    old = issue(sensor)
    client = connected("s-1", old)
    other = connected("s-2", issue(create_sensor(network, identifier="s-2")))
    anonymous = connected("s-3", None)

    if end == "rotated":
        new = issue(sensor)
    elif end == "revoked":
        revoke_credential(sensor, author=None, now=datetime.now(UTC))
    else:
        delete_sensor(sensor)

    # At once, whether or not the connection is closed already.
    assert refusal("s-1", old) == "Not authorized"
    assert client.disconnected.wait(TIMEOUT_S)
    if end == "rotated":
        connected("s-1", new)
    for each in (other, anonymous):
        assert not each.disconnected.is_set()
        each.publish("heartbeats/s-2", "still here")


def test_without_a_database_nobody_with_a_password_comes_in_and_all_others_do(
    own_place: DataDir,
    broker: AmqttServer,
    sensor: Sensor,
    connected: Connect,
    refusal: Callable[[str, Login | None], str],
) -> None:
    login = issue(sensor)
    write_environment(own_place.environment, {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"})
    assert refusal("s-1", login) == "Not authorized"
    connected("fleet-publisher-x", bridge_login(broker))
    connected("anybody", None)
    # Once it is back, so is the sensor, without a restart of the broker.
    write_environment(own_place.environment, {"DATABASE_URL": database_url()})
    connected("s-1", login)
