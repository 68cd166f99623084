"""MQTT over TLS at the local broker."""

import os
import signal
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from fleet.mqtt.certificate_folder import CertificateFolder
from fleet.mqtt.certificates import make_authority, read_certificate
from fleet.mqtt.probe import BrokerUnfitError, probe_broker
from fleet.stack import servers
from fleet.stack.console import Console
from fleet.stack.errors import PortTakenError, StackError
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.options import read_options
from fleet.stack.places import DataDir
from fleet.stack.ports import random_free_port
from fleet.stack.secret_file import load_secrets
from fleet.stack.servers import make_servers, start_server
from fleet.stack.tls import Tls
from tests.servers import make_mosquitto
from tests.stack.mqtt_client import MqttClient
from tests.stack.running import Up, own_environment
from tests.tls import handshake, permissive_context
from tests.waiting import wait_until

pytestmark = pytest.mark.fault

DAY = timedelta(days=1)
StartServer = Callable[[MosquittoServer], MosquittoServer]


@pytest.fixture
def broker(own_place: DataDir, own_servers: StartServer) -> MosquittoServer:
    return own_servers(make_mosquitto(own_place, tls=True))


def tls_of(broker: MosquittoServer) -> Tls:
    assert broker.tls is not None
    return broker.tls


def url(broker: MosquittoServer, *, websocket: bool = False, host: str = "localhost", ca: Path | None = None) -> str:
    tls = tls_of(broker)
    return f"mqtts://{host}:{tls.websocket_port if websocket else tls.port}?ca={ca or tls.ca_file}"


def served(broker: MosquittoServer) -> bytes:
    """Return the certificate that the broker shows now."""
    return ssl.get_server_certificate(("127.0.0.1", tls_of(broker).port)).encode()


@pytest.mark.parametrize("websocket", [False, True], ids=["mqtts", "wss"])
def test_a_sensor_that_trusts_the_authority_speaks_with_the_bridge(broker: MosquittoServer, websocket: bool) -> None:
    with (
        MqttClient(broker.url, "fleet-bridge-0-of-1") as bridge,
        MqttClient(url(broker, websocket=websocket), "oven", websocket=websocket) as sensor,
    ):
        bridge.subscribe("measurements/#")
        sensor.subscribe("configurations/oven")
        sensor.publish("measurements/oven", b"up")
        bridge.publish("configurations/oven", b"down")
        wait_until(lambda: bridge.payloads == [b"up"] and sensor.payloads == [b"down"], what="both messages")


def test_the_bridge_s_own_login_works_over_tls_too(broker: MosquittoServer) -> None:
    login = broker.url.removeprefix("mqtt://").partition("@")[0]
    probe_broker(url(broker).replace("mqtts://", f"mqtts://{login}@"), 5)
    with pytest.raises(BrokerUnfitError, match="refused the login"):
        probe_broker(url(broker).replace("mqtts://", "mqtts://fleet-bridge:wrong@"), 5)


def test_a_client_refuses_another_authority_and_another_name(broker: MosquittoServer, tmp_path: Path) -> None:
    other = tmp_path / "other.crt"
    other.write_bytes(make_authority(now=datetime.now(UTC)).certificate)
    with pytest.raises(BrokerUnfitError, match="certificate verify failed"):
        probe_broker(url(broker, ca=other), 5)
    with pytest.raises(BrokerUnfitError, match="certificate verify failed"):
        probe_broker(url(broker).partition("?")[0], 5)
    broker.stop()
    # An address that the certificate is not for.
    tls_of(broker).host = "127.0.0.2"
    broker.start()
    with pytest.raises(BrokerUnfitError, match=r"certificate is not valid for '127\.0\.0\.2'"):
        probe_broker(url(broker, host="127.0.0.2"), 5)


@pytest.mark.parametrize("port", ["port", "websocket_port"])
def test_no_tls_before_1_2(broker: MosquittoServer, port: str) -> None:
    tls = tls_of(broker)
    number = getattr(tls, port)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert handshake(number, permissive_context(version, ca_file=tls.ca_file))
    with pytest.raises(ssl.SSLError, match=r"(?i)alert|version"):
        handshake(number, permissive_context(ssl.TLSVersion.TLSv1_1, ca_file=tls.ca_file))


@pytest.mark.parametrize("websocket", [False, True])
def test_a_port_with_tls_answers_nobody_without(broker: MosquittoServer, websocket: bool) -> None:
    plain = url(broker, websocket=websocket).replace("mqtts://", "mqtt://").partition("?")[0]
    with pytest.raises((AssertionError, OSError)):
        MqttClient(plain, "oven", websocket=websocket, timeout_s=1)
    if not websocket:
        with pytest.raises(BrokerUnfitError, match="ended without an answer"):
            probe_broker(plain, 5)


def listening(broker: MosquittoServer) -> dict[int, set[str]]:
    """Return port → addresses on which the broker listens."""
    assert broker.process is not None
    found: dict[int, set[str]] = {}
    for connection in psutil.Process(broker.process.pid).net_connections(kind="tcp"):
        if connection.status == psutil.CONN_LISTEN:
            found.setdefault(connection.laddr.port, set()).add(connection.laddr.ip)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the sockets of another user's process")
def test_on_the_loopback_no_listener_takes_another_address(broker: MosquittoServer) -> None:
    assert listening(broker) == {port: {"127.0.0.1"} for port in broker.ports}


def made(place: DataDir, **environ: str) -> MosquittoServer:
    """Return the broker as `up` makes it with this environment, on ports of its own."""
    names = ("FLEET_MQTT_PORT", "FLEET_MQTT_TLS_PORT", "FLEET_MQTT_WEBSOCKET_PORT")
    ports = {name: str(random_free_port()) for name in names}
    settings = own_environment({"FLEET_DATA_DIR": str(place.root), **ports, **environ})
    options = read_options(settings, tls="FLEET_HOST" not in environ)
    broker = make_servers(options, place, load_secrets(place.secrets), Console()).broker
    assert isinstance(broker, MosquittoServer)
    return broker


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the sockets of another user's process")
def test_other_machines_find_no_listener_without_tls(own_place: DataDir, own_servers: StartServer) -> None:
    broker = own_servers(made(own_place, FLEET_HOST="0.0.0.0"))
    tls = tls_of(broker)
    assert listening(broker) == {
        broker.port: {"127.0.0.1"},
        tls.port: {"0.0.0.0"},
        tls.websocket_port: {"0.0.0.0"},
    }
    with pytest.raises(BrokerUnfitError, match="refused the login"):
        probe_broker(url(broker), 5)
    login = broker.sensor_url.removeprefix("mqtt://").partition("@")[0]
    probe_broker(url(broker).replace("mqtts://", f"mqtts://{login}@"), 5)
    names = read_certificate(tls.ca_file.with_name("server.crt").read_bytes()).names
    assert {socket.gethostname().lower(), "localhost", "127.0.0.1", "::1"} <= set(names)


def test_keys_are_their_users_only(own_place: DataDir, broker: MosquittoServer) -> None:
    keys = [*own_place.root.glob("**/*.key")]
    names = {str(path.relative_to(own_place.root)) for path in keys}
    assert names == {"mosquitto.key", "certificates/server.key", "certificates/authority/ca.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    if os.geteuid() == 0:
        assert {path.name for path in keys if path.stat().st_uid != 0} == {"mosquitto.key"}
    assert not [word for word in ("PRIVATE", "ca.key") if word in broker.log_path.read_text()]


def test_a_start_keeps_what_is_fit_and_renews_what_ends_soon(own_place: DataDir, broker: MosquittoServer) -> None:
    authority, first = tls_of(broker).ca_file.read_bytes(), served(broker)
    broker.stop()
    broker.start()
    assert served(broker) == first
    broker.stop()
    folder = CertificateFolder(own_place.certificates)
    folder.write(names=["localhost"], now=datetime.now(UTC), days=29, renew=True)
    broker.start()
    assert served(broker) not in (first, b"")
    assert read_certificate(served(broker)).ends_at > datetime.now(UTC) + 390 * DAY
    assert tls_of(broker).ca_file.read_bytes() == authority
    probe_broker(url(broker), 5)


def test_a_running_broker_is_due_when_its_certificate_nears_its_end_or_was_changed(
    own_place: DataDir, broker: MosquittoServer
) -> None:
    tls, now = tls_of(broker), datetime.now(UTC)
    assert not tls.is_due(now=now)
    assert not tls.is_due(now=now + 366 * DAY)
    assert tls.is_due(now=now + 367 * DAY)
    CertificateFolder(own_place.certificates).write(names=["localhost"], now=now, renew=True)
    assert tls.is_due(now=now)
    broker.stop()
    broker.start()
    assert not tls.is_due(now=now)


def test_what_cannot_be_renewed_is_no_reason_to_start_again_and_again(
    own_place: DataDir, broker: MosquittoServer
) -> None:
    tls, now = tls_of(broker), datetime.now(UTC)
    (own_place.certificates / "authority" / "ca.key").unlink()
    late = now + 380 * DAY
    tls.take_pair(now=late)
    assert not tls.is_due(now=late + DAY)
    assert [line for line in tls.warnings(now=late) if "server.crt ends on" in line]


def test_what_others_should_know_of_the_certificates_is_said(own_place: DataDir, broker: MosquittoServer) -> None:
    tls, now, folder = tls_of(broker), datetime.now(UTC), CertificateFolder(own_place.certificates)
    assert list(tls.warnings(now=now)) == []
    folder.write(names=["localhost"], clients=["oven"], now=now, days=20)
    (line,) = tls.warnings(now=now)
    assert "oven.crt ends on" in line
    (own_place.certificates / "authority" / "clients" / "oven.crt").write_text("damaged")
    (line,) = tls.warnings(now=now)
    assert "oven.crt: no certificate" in line
    broker.stop()
    broker.start()


def test_a_broker_s_certificate_that_cannot_be_used_is_explained(own_place: DataDir, broker: MosquittoServer) -> None:
    broker.stop()
    (own_place.certificates / "server.crt").write_text("damaged")
    with pytest.raises(StackError, match=r"certificate in \S+/certificates cannot be used: .*server\.crt"):
        broker.start()


# --- Ports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["FLEET_MQTT_TLS_PORT", "FLEET_MQTT_WEBSOCKET_PORT"])
def test_a_chosen_port_that_is_taken_is_an_error(own_place: DataDir, name: str) -> None:
    with socket.create_server(("127.0.0.1", random_free_port())) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StackError, match=f"{name}={port}: that port on 127.0.0.1 is taken"):
            made(own_place, **{name: str(port)})


def test_two_listeners_do_not_choose_the_same_port(own_place: DataDir) -> None:
    port = str(random_free_port())
    with pytest.raises(StackError, match=f"FLEET_MQTT_WEBSOCKET_PORT={port}"):
        made(own_place, FLEET_MQTT_TLS_PORT=port, FLEET_MQTT_WEBSOCKET_PORT=port)


@pytest.mark.parametrize("name", ["port", "websocket_port"])
def test_a_port_that_was_lost_since_it_was_looked_for_gives_way_unless_it_was_chosen(
    own_place: DataDir, own_servers: StartServer, name: str
) -> None:
    broker = make_mosquitto(own_place, tls=True)
    tls = tls_of(broker)
    lost, variable = getattr(tls, name), {"port": "TLS", "websocket_port": "WEBSOCKET"}[name]
    environ = own_environment({"FLEET_DATA_DIR": str(own_place.root)})
    with socket.create_server(("127.0.0.1", lost)):
        chosen = read_options({**environ, f"FLEET_MQTT_{variable}_PORT": str(lost)})
        with pytest.raises(PortTakenError, match=str(lost)):
            start_server(broker, chosen)
        start_server(broker, read_options(environ))
        own_servers(broker)
    assert getattr(tls, name) != lost
    assert len(set(broker.ports)) == 3
    probe_broker(url(broker), 5)


# --- `manage.py up` ------------------------------------------------------------------------------

ATTENTIVE = """
import sys
from fleet.stack import supervisor
from fleet.stack.main import main
supervisor.LOOK_EVERY_S, supervisor.PROBE_EVERY_S = 0.5, 0.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def up(own_place: DataDir) -> Iterator[Up]:
    ports = {name: str(random_free_port()) for name in ("FLEET_MQTT_TLS_PORT", "FLEET_MQTT_WEBSOCKET_PORT")}
    stack = Up(own_place.root, "--tls", program=("-c", ATTENTIVE), **ports)
    yield stack
    stack.end(signal.SIGKILL)


@pytest.mark.timeout(300)
def test_up_says_where_and_whom_to_trust_and_takes_a_renewed_certificate_by_itself(up: Up) -> None:
    up.wait_ready()
    line = up.wait_line(r"with TLS +(mqtts://\S+:(\d+)), wss://\S+:(\d+)$")
    ca_file = Path(up.wait_line(r"trusting (\S+)$")[1])
    probe_broker(f"{line[1]}?ca={ca_file}", 5)
    with MqttClient(f"mqtts://localhost:{line[3]}?ca={ca_file}", "oven", websocket=True):
        pass
    address, authority = ("127.0.0.1", int(line[2])), ca_file.read_bytes()
    before = ssl.get_server_certificate(address)
    renewed = up.manage("certificates", "--renew")
    assert renewed.returncode == 0, renewed.stderr
    up.wait_line("mosquitto has another certificate to take: starting it again")

    def other() -> bool:
        try:
            return ssl.get_server_certificate(address) != before
        except OSError:
            return False

    wait_until(other, 30, what="the renewed certificate")
    assert ca_file.read_bytes() == authority
    up.wait_fit()
    assert up.text.count("starting it again") == 1
    assert up.end() == 0


@pytest.mark.parametrize("broker", ["amqtt", ""])
def test_without_mosquitto_there_is_no_tls(own_place: DataDir, monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    monkeypatch.setattr(servers, "find_mosquitto", lambda: None)
    with pytest.raises(StackError, match=r"--tls needs mosquitto.* sudo apt install mosquitto"):
        made(own_place, FLEET_BROKER=broker)
