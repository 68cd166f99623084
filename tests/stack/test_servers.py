"""Each server starts, asks for its password, and keeps what it promises to keep."""

import os
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from fleet.mqtt.probe import BrokerUnfitError, probe_broker
from fleet.stack.errors import PortTakenError, StackError
from fleet.stack.mosquitto import MosquittoServer, access_list
from fleet.stack.places import DataDir
from fleet.stack.postgres import PostgresServer, remove_stale_pid_file
from fleet.stack.probes import probe_redis
from fleet.stack.server import Server
from fleet.stack.valkey import ValkeyServer
from tests.servers import make_mosquitto, make_place, make_postgres, make_valkey

pytestmark = pytest.mark.fault


def owner_and_mode(path: Path) -> tuple[bool, int]:
    """Return whether an unprivileged user owns `path`, and its mode."""
    status = path.stat()
    return status.st_uid != 0, stat.S_IMODE(status.st_mode)


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_committed_rows_outlive_a_killed_postgresql(own_postgres: PostgresServer) -> None:
    url, port = own_postgres.url, own_postgres.port
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    own_postgres.kill(signal.SIGKILL)
    own_postgres.start()
    assert (own_postgres.url, own_postgres.port) == (url, port)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*), max(number) FROM kept").fetchone() == (1000, 1000)


def test_postgresql_lets_nobody_in_without_the_password(own_postgres: PostgresServer) -> None:
    port = own_postgres.port
    for wrong in (f"postgres://fleet@127.0.0.1:{port}/fleet", f"postgres://postgres:x@127.0.0.1:{port}/postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong, passfile="/dev/null")


def test_the_product_s_role_owns_its_database_and_is_no_superuser(own_postgres: PostgresServer) -> None:
    with psycopg.connect(own_postgres.url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper, rolcreatedb, pg_get_userbyid(datdba) FROM pg_roles, pg_database"
            " WHERE rolname = current_user AND datname = current_database()"
        ).fetchone()
        assert row == ("fleet", False, True, "fleet")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")


def test_postgresql_runs_with_the_settings_that_keep_data(own_postgres: PostgresServer) -> None:
    wanted = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    with psycopg.connect(own_postgres.url) as connection:
        shown = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in wanted}  # type: ignore[index]
    assert shown == wanted


def test_a_folder_that_was_half_made_does_not_stop_postgresql(
    own_place: DataDir, own_servers: Callable[[Server], Server]
) -> None:
    server = make_postgres(own_place)
    half = server.data.with_name("data.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    own_servers(server)
    assert server.data.is_dir()
    assert not half.exists()


def test_a_pid_file_that_names_another_program_does_not_stop_postgresql(own_postgres: PostgresServer) -> None:
    own_postgres.kill(signal.SIGKILL)
    path = own_postgres.data / "postmaster.pid"
    lines = path.read_text().splitlines()
    # After a crash and a reboot the number may be any program's: here this test's own.
    path.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    own_postgres.start()
    assert own_postgres.running


def test_the_pid_file_of_a_running_postgresql_stays(own_postgres: PostgresServer) -> None:
    remove_stale_pid_file(own_postgres.data)
    assert (own_postgres.data / "postmaster.pid").exists()


def test_lost_secrets_are_explained(own_place: DataDir, own_postgres: PostgresServer) -> None:
    own_postgres.stop()
    own_place.secrets.unlink()
    other = make_postgres(own_place)
    with pytest.raises(StackError, match=r"another password .* secrets\.json"):
        other.start()
    assert not other.running


def test_a_taken_port_is_told_from_other_failures(own_place: DataDir) -> None:
    for make in (make_postgres, make_valkey, make_mosquitto):
        server = make(own_place)
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(PortTakenError):
            server.start(timeout_s=20)
        assert not server.running


# --- Valkey --------------------------------------------------------------------------------------


def test_valkey_answers_with_the_password_only_and_starts_empty(own_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(own_valkey.url) as client:
        client.set("key", "value")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("databases") == {"databases": "64"}
    for stranger in (f"redis://127.0.0.1:{own_valkey.port}/0", f"redis://:wrong@127.0.0.1:{own_valkey.port}/0"):
        with pytest.raises(StackError, match=r"(?i)auth|password"):
            probe_redis(stranger, timeout_s=5)
    own_valkey.kill(signal.SIGKILL)
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.get("key") is None


# --- mosquitto -----------------------------------------------------------------------------------


def test_mosquitto_lets_the_bridge_in_with_its_password_only(own_broker: MosquittoServer) -> None:
    probe_broker(own_broker.url, 5)
    password = urlsplit(own_broker.url).password or ""
    with pytest.raises(BrokerUnfitError, match="refused the login"):
        probe_broker(own_broker.url.replace(password, "wrong"), 5)
    probe_broker(own_broker.sensor_url, 5)
    assert own_broker.sensor_url == f"mqtt://127.0.0.1:{own_broker.port}"


def test_where_others_can_reach_it_mosquitto_asks_sensors_for_a_login(
    own_place: DataDir, own_servers: Callable[[MosquittoServer], MosquittoServer]
) -> None:
    server = own_servers(make_mosquitto(own_place, anonymous=False))
    with pytest.raises(BrokerUnfitError, match="refused the login"):
        probe_broker(f"mqtt://127.0.0.1:{server.port}", 5)
    assert urlsplit(server.sensor_url).username == "sensor"
    probe_broker(server.sensor_url, 5)


def test_the_access_list_of_sensors_is_the_same_with_and_without_a_login() -> None:
    anonymous, sensor, bridge = access_list().partition("user sensor")[0], *access_list().split("user ")[1:]
    assert anonymous == sensor.removeprefix("sensor\n")
    assert bridge.splitlines()[:2] == ["fleet-bridge", "topic readwrite #"]


# --- Running as root -----------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives rights away")
def test_servers_that_root_starts_run_as_somebody_else_with_files_that_only_they_read(
    own_postgres: PostgresServer, own_valkey: ValkeyServer, own_broker: MosquittoServer
) -> None:
    for server in (own_postgres, own_valkey, own_broker):
        assert server.process is not None
        assert Path(f"/proc/{server.process.pid}").stat().st_uid != 0
        home = server._home
        assert owner_and_mode(home.folder) == (True, 0o700)
        assert owner_and_mode(home.folder.with_name(f"{home.folder.name}.conf")) == (True, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's servers run as that user")
def test_below_a_closed_folder_root_s_servers_live_elsewhere_and_it_is_known_where(
    tmp_path: Path, own_servers: Callable[[Server], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelters = Path(f"/var/tmp/fleet-test-shelters-{os.getpid()}")
    monkeypatch.setattr("fleet.stack.places.SHELTERS", shelters)
    # pytest's own folders are closed to others.
    place = DataDir(tmp_path / "data")
    place.create()
    try:
        server = make_postgres(place)
        own_servers(server)
        assert server.data.is_relative_to(shelters)
        assert (place.root / "shelter").read_text().strip() == str(server.data.parent.parent)
        assert make_postgres(place).data == server.data
    finally:
        server.stop()
        __import__("shutil").rmtree(shelters, ignore_errors=True)


def test_a_database_of_another_release_is_explained(own_place: DataDir) -> None:
    server = make_postgres(own_place)
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(StackError, match=r"made by PostgreSQL 17; this is 18"):
        server.start()


def test_servers_work_in_folders_with_spaces_and_other_letters(
    own_place: DataDir, own_servers: Callable[[Server], Server]
) -> None:
    place = make_place(own_place.root / "my Daten ü #1")
    for make in (make_postgres, make_valkey, make_mosquitto):
        server = own_servers(make(place))
        server.stop()
        server.start()
