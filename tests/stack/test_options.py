from pathlib import Path

import pytest

from fleet.stack.environment import environment_path, write_environment
from fleet.stack.errors import StackError
from fleet.stack.options import LOCAL_PARTS, Port, read_options


def test_defaults_listen_on_the_loopback_only(tmp_path: Path) -> None:
    options = read_options({"FLEET_DATA_DIR": str(tmp_path)})
    assert (options.host, options.loopback) == ("127.0.0.1", True)
    assert (options.http_port, options.mqtt_port) == (Port(8000, chosen=False), Port(1883, chosen=False))
    assert (options.database_url, options.redis_url, options.mqtt_url) == (None, None, None)
    assert options.allowed_hosts() == ["127.0.0.1", "localhost", "[::1]"]


def test_chosen_ports_are_known_as_chosen(tmp_path: Path) -> None:
    options = read_options({"FLEET_DATA_DIR": str(tmp_path), "FLEET_HTTP_PORT": "8000", "FLEET_MQTT_PORT": "2883"})
    assert (options.http_port, options.mqtt_port) == (Port(8000, chosen=True), Port(2883, chosen=True))


@pytest.mark.parametrize(
    ("host", "canonical", "loopback", "reachable"),
    [
        ("localhost", "127.0.0.1", True, "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2", True, "127.0.0.2"),
        ("::1", "::1", True, "[::1]"),
        ("[::1]", "::1", True, "[::1]"),
        ("0.0.0.0", "0.0.0.0", False, "127.0.0.1"),
        ("192.168.1.5", "192.168.1.5", False, "192.168.1.5"),
    ],
)
def test_hosts(tmp_path: Path, host: str, canonical: str, loopback: bool, reachable: str) -> None:
    options = read_options({"FLEET_DATA_DIR": str(tmp_path), "FLEET_HOST": host})
    assert (options.host, options.loopback, options.reachable_host) == (canonical, loopback, reachable)
    assert reachable in options.allowed_hosts()
    assert "*" not in options.allowed_hosts()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLEET_HTTP_PORT", "http"),
        ("FLEET_HTTP_PORT", "0"),
        ("FLEET_MQTT_PORT", "65536"),
        ("FLEET_MQTT_PORT", "-1"),
        ("FLEET_MQTT_TLS_PORT", "mqtts"),
        ("FLEET_MQTT_WEBSOCKET_PORT", "0"),
        ("FLEET_HOST", "example.org"),
        ("FLEET_BROKER", "emqx"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(StackError) as caught:
        read_options({"FLEET_DATA_DIR": str(tmp_path), name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "asked", "tls", "plain_host"),
    [
        ("", False, False, "127.0.0.1"),
        ("", True, True, "127.0.0.1"),
        ("::1", True, True, "::1"),
        ("0.0.0.0", False, True, "127.0.0.1"),
        ("::", False, True, "::1"),
        ("192.168.1.5", False, True, "127.0.0.1"),
    ],
)
def test_other_machines_reach_the_broker_with_tls_only(
    tmp_path: Path, host: str, asked: bool, tls: bool, plain_host: str
) -> None:
    options = read_options({"FLEET_DATA_DIR": str(tmp_path), "FLEET_HOST": host}, tls=asked)
    assert (options.tls, options.plain_host) == (tls, plain_host)
    assert (options.mqtt_tls_port, options.mqtt_websocket_port) == (Port(8883, chosen=False), Port(9001, chosen=False))


def test_tls_is_not_for_a_broker_of_ones_own(tmp_path: Path) -> None:
    environ = {"FLEET_DATA_DIR": str(tmp_path), "MQTT_URL": "mqtt://me:secret@broker"}
    with pytest.raises(StackError, match="MQTT_URL names one of your own") as caught:
        read_options(environ, tls=True)
    assert "secret" not in str(caught.value)
    assert not read_options({**environ, "FLEET_HOST": "0.0.0.0"}).tls


def test_servers_of_ones_own_are_used(tmp_path: Path) -> None:
    url = "postgres://me:secret@db/fleet"
    options = read_options({"FLEET_DATA_DIR": str(tmp_path), "DATABASE_URL": url})
    assert (options.database_url, options.redis_url) == (url, None)
    assert "secret" not in repr(options)


def test_a_shell_that_has_read_the_environment_file_starts_the_stack_s_own_servers(tmp_path: Path) -> None:
    own, local = "mqtt://me:secret@broker", "postgres://fleet:x@127.0.0.1:15432/fleet"
    written = {"DATABASE_URL": local, "MQTT_URL": own, LOCAL_PARTS: "DATABASE_URL REDIS_URL"}
    write_environment(environment_path(tmp_path), written)
    options = read_options({"FLEET_DATA_DIR": str(tmp_path), **written})
    assert (options.database_url, options.mqtt_url) == (None, own)
