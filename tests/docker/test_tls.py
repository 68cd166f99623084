"""TLS at the broker of docker/compose.yml."""

import ssl
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from fleet.mqtt.accounts import Login
from tests.tls import PERMISSIVE, handshake, permissive_context

from .broker import TIMEOUT_S, Broker, Client
from .conftest import Connect, StartBroker

PORTS = ("tls_port", "websocket_port")


@pytest.fixture
def careless(tmp_path: Path) -> dict[str, str]:
    """The environment of a process on a system that still allows every version of TLS and every cipher."""
    path = tmp_path / "openssl.cnf"
    path.write_text(PERMISSIVE)
    return {"OPENSSL_CONF": str(path)}


def speaks(broker: Broker, port: str, version: ssl.TLSVersion) -> bool:
    try:
        handshake(getattr(broker, port), permissive_context(version, ca_file=broker.certificates.authority))
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("port", PORTS)
def test_no_tls_before_1_2_even_where_the_system_allows_it(
    start_broker: StartBroker, careless: dict[str, str], port: str
) -> None:
    broker = start_broker(environment=careless)
    versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert [speaks(broker, port, version) for version in versions] == [False, False, True, True]


def test_without_its_ciphers_the_websocket_listener_would_take_tls_1_1(
    start_broker: StartBroker, careless: dict[str, str]
) -> None:
    broker = start_broker({"\nciphers ": "\n# ciphers "}, environment=careless)
    assert speaks(broker, "websocket_port", ssl.TLSVersion.TLSv1_1)
    assert not speaks(broker, "tls_port", ssl.TLSVersion.TLSv1_1)


def test_a_port_with_tls_is_nothing_for_a_client_without(broker: Broker) -> None:
    client = Client("boiler", broker.login("boiler"))
    client.paho.connect("127.0.0.1", broker.tls_port)
    client.paho.loop_start()
    assert client.disconnected.wait(TIMEOUT_S)
    assert not client.paho.is_connected()
    client.close()
    with pytest.raises((OSError, paho.WebsocketConnectionError)):
        Client("boiler", broker.login("boiler"), websocket=True).paho.connect("127.0.0.1", broker.websocket_port)


def test_mosquittos_own_client_publishes_as_the_documentation_says(
    broker: Broker, bridge: Client, mosquitto_sub: str
) -> None:
    login = ["-i", "boiler", "-u", "boiler", "-P", broker.secrets["boiler"]]
    message = ["-q", "1", "-t", "measurements/boiler", "-m", "x"]
    address = ["-h", "localhost", "-p", str(broker.tls_port), "--cafile", str(broker.certificates.authority)]
    subprocess.run([mosquitto_sub.replace("_sub", "_pub"), *address, *login, *message], check=True, timeout=TIMEOUT_S)
    assert bridge.take() == [("measurements/boiler", b"x")]


def test_a_renewed_certificate_is_served_after_a_restart_and_sensors_need_nothing_new(
    broker: Broker, connect: Connect
) -> None:
    context = broker.context()
    broker.make_certificates(renew=True)
    renewed = broker.certificates.server.read_text()
    # SIGHUP is not enough: the WebSocket listener keeps the certificate of its start.
    broker.stop()
    broker.start()
    for port in (broker.tls_port, broker.websocket_port):
        assert ssl.get_server_certificate(("127.0.0.1", port)) == renewed
        assert handshake(port, context)
    connect(broker, "boiler", tls=True)


# --- Certificates instead of passwords -----------------------------------------------------------


@pytest.fixture
def mutual(start_broker: StartBroker) -> Broker:
    broker = start_broker(mutual=True)
    broker.make_certificates("boiler", "pump")
    return broker


@pytest.mark.parametrize("identifier", ["boiler", "pump"], ids=["with a credential as well", "without one"])
def test_a_certificate_is_a_login_with_the_rights_of_its_common_name(
    mutual: Broker, connect_bridge: Connect, identifier: str
) -> None:
    bridge = connect_bridge(mutual)
    # Neither the client id nor the username that it gives itself count.
    sensor = Client("fleet-bridge-0-of-1", Login("freezer", "x"), tls=mutual.context(identifier))
    assert sensor.connect(mutual.mutual_port) == "Success"
    sensor.subscribe("#", "configurations/freezer", f"configurations/{identifier}")
    for each in ("freezer", identifier):
        sensor.publish(f"measurements/{each}", "x")
        bridge.publish(f"configurations/{each}", "y")
    assert bridge.take() == [(f"measurements/{identifier}", b"x")]
    assert sensor.take() == [(f"configurations/{identifier}", b"y")]
    assert not bridge.disconnected.is_set()
    sensor.close()


@pytest.mark.parametrize("shown", [None, "server", "another authority's"])
def test_without_a_sensors_certificate_of_this_authority_nobody_comes_in(
    mutual: Broker, tmp_path: Path, shown: str | None
) -> None:
    context = mutual.context()
    if shown == "server":
        context.load_cert_chain(mutual.certificates.server, mutual.certificates.server.with_suffix(".key"))
    elif shown:
        other = Broker(tmp_path / "other", Path("unused"))
        other.make_certificates("boiler")
        pair = other.certificates.root / "authority" / "clients" / "boiler"
        context.load_cert_chain(f"{pair}.crt", f"{pair}.key")
    # Its password is right, and helps nothing.
    client = Client("boiler", mutual.login("boiler"), tls=context)
    try:
        client.paho.connect("127.0.0.1", mutual.mutual_port)
        client.paho.loop_start()
        assert client.disconnected.wait(TIMEOUT_S)
    except ssl.SSLError:
        pass
    assert not client.paho.is_connected()
    client.close()


def test_the_other_listeners_ask_for_a_password_whatever_is_shown(mutual: Broker) -> None:
    client = Client("boiler", None, tls=mutual.context("boiler"))
    assert client.connect(mutual.tls_port) == "Not authorized"
    client.close()
