"""Real servers for the tests: a pytest plugin, loaded with `-p tests.servers` (pyproject.toml).

When it is imported it starts PostgreSQL, Valkey and a broker on free ports, in a folder of their own, and puts
their addresses into the environment. That is early enough for Django's settings, which pytest-django reads before
any `conftest.py`. Workers of pytest-xdist inherit the environment and start nothing: each has a database
of its own (pytest-django) and a Redis database of its own; the broker is shared, so tests use identifiers
and client ids that nobody else uses (`unique`).

Everything ends with pytest, also when it is killed; the folder of a killed run is removed by the next one.
FLEET_TEST_SERVERS in the environment means that the servers and their addresses are there already.
"""

import atexit
import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest

from fleet.stack.amqtt_server import AmqttServer
from fleet.stack.broker import BrokerServer, find_mosquitto
from fleet.stack.errors import PortTakenError
from fleet.stack.mosquitto import ACCOUNTS as MOSQUITTO_ACCOUNTS
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from fleet.stack.ports import random_free_port
from fleet.stack.postgres import ACCOUNTS as POSTGRES_ACCOUNTS
from fleet.stack.postgres import PostgresServer
from fleet.stack.secret_file import LocalSecrets, load_secrets
from fleet.stack.server import Server
from fleet.stack.tls import Tls
from fleet.stack.valkey import ACCOUNTS as VALKEY_ACCOUNTS
from fleet.stack.valkey import ValkeyServer

AnyServer = TypeVar("AnyServer", bound=Server)

PREFIX = "fleet-tests-"
_started: list[Server] = []
_folder: Path | None = None


def make_postgres(place: DataDir, *, durable: bool = False) -> PostgresServer:
    """Return a PostgreSQL in `place`, not started. durable: with fsync, for tests that cut the power."""
    keys = load_secrets(place.secrets)
    return PostgresServer(
        place.home("postgres", accounts=POSTGRES_ACCOUNTS),
        port=random_free_port(),
        log_path=place.log("postgres"),
        superuser_password=keys.postgres_superuser,
        password=keys.postgres,
        durable=durable,
        # A pool of 16 for each process of pytest-xdist and each server process that a test starts.
        max_connections=400,
    )


def make_valkey(place: DataDir) -> ValkeyServer:
    """Return a Valkey in `place`, not started."""
    return ValkeyServer(
        place.home("valkey", accounts=VALKEY_ACCOUNTS),
        port=random_free_port(),
        log_path=place.log("valkey"),
        password=load_secrets(place.secrets).valkey,
    )


def make_mosquitto(place: DataDir, *, anonymous: bool = True, tls: bool = False) -> MosquittoServer:
    """Return a mosquitto in `place`, not started. Fails where mosquitto is not installed.

    tls: also with TLS, for `localhost` and 127.0.0.1.
    """
    program = find_mosquitto()
    assert program is not None, "mosquitto is not installed; ./scripts/test installs it"
    keys = load_secrets(place.secrets)
    return MosquittoServer(
        place.home("mosquitto", accounts=MOSQUITTO_ACCOUNTS),
        program,
        port=random_free_port(),
        log_path=place.log("mosquitto"),
        bridge_password=keys.mqtt_bridge,
        sensor_password=keys.mqtt_sensor,
        anonymous=anonymous,
        tls=make_tls(place) if tls else None,
    )


def make_tls(place: DataDir) -> Tls:
    """Return listeners with TLS on the loopback for a mosquitto in `place`."""
    return Tls("127.0.0.1", random_free_port(), random_free_port(), place.certificates, ["localhost", "127.0.0.1"])


def make_amqtt(place: DataDir) -> AmqttServer:
    """Return the broker for trying out, not started."""
    keys = load_secrets(place.secrets)
    return AmqttServer(
        port=random_free_port(),
        log_path=place.log("amqtt"),
        bridge_password=keys.mqtt_bridge,
        environment=place.environment,
    )


def start_on_a_free_port(make: Callable[[], AnyServer]) -> AnyServer:
    """Return a started server; takes another port when somebody was quicker."""
    while True:
        server = make()
        try:
            server.start()
        except PortTakenError:
            continue
        return server


def make_place(folder: Path) -> DataDir:
    """Return a data folder at `folder` that servers of other users can reach."""
    place = DataDir(folder)
    place.create()
    return place


def _start_all() -> None:
    global _folder  # noqa: PLW0603 - one per process
    _remove_leftovers()
    _folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    _folder.chmod(0o711)
    # Held until this process ends in whatever way: nobody else removes the folder.
    _lock(_folder)
    atexit.register(_stop_all)
    place = make_place(_folder / "shared")
    database = start_on_a_free_port(lambda: make_postgres(place))
    _started.append(database)
    redis = start_on_a_free_port(lambda: make_valkey(place))
    _started.append(redis)
    broker: BrokerServer
    if find_mosquitto() is not None:
        broker = start_on_a_free_port(lambda: make_mosquitto(place))
    else:
        broker = start_on_a_free_port(lambda: make_amqtt(place))
    _started.append(broker)
    os.environ.update(
        DATABASE_URL=database.url,
        REDIS_URL=redis.url,
        MQTT_URL=broker.url,
        SECRET_KEY=LocalSecrets().secret_key,
        FLEET_LOCAL="1",
        FLEET_DATA_DIR=str(place.root),
        FLEET_TEST_SERVERS=str(_folder),
    )


def _stop_all() -> None:
    while _started:
        _started.pop().stop()
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)


def _lock(folder: Path) -> bool:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another user's folders are theirs.
        with contextlib.suppress(OSError):
            if (folder / "lock").exists() and _lock(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _only_shows_something() -> bool:
    return not {"-h", "--help", "--version", "-V", "--co", "--collect-only", "--markers", "--fixtures"}.isdisjoint(
        sys.argv
    )


worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if worker:
    # gw0 takes database 1, and so on; 0 is that of a run without workers.
    address, _, _ = os.environ["REDIS_URL"].rpartition("/")
    os.environ["REDIS_URL"] = f"{address}/{int(worker.removeprefix('gw')) + 1}"
elif "FLEET_TEST_SERVERS" not in os.environ and not _only_shows_something():
    _start_all()


def pytest_report_header() -> str:
    return f"servers: {', '.join(f'{server.title} on {server.port}' for server in _started) or 'as given'}"


def pytest_unconfigure() -> None:
    _stop_all()


def main(command: list[str]) -> int:
    """Run `command` with the servers' addresses in its environment: `python -m tests.servers COMMAND…`."""
    # The import of this module has started them.
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        _stop_all()


# --- Fixtures ------------------------------------------------------------------------------------


@pytest.fixture
def unique() -> str:
    """Return a short text that no other test uses, for identifiers and client ids."""
    return secrets.token_hex(6)


@pytest.fixture
def sensor_broker_url() -> str:
    """Return the shared broker's address as a sensor uses it: without a login."""
    parts = urlsplit(os.environ["MQTT_URL"])
    return f"mqtt://{parts.hostname}:{parts.port}"


@pytest.fixture
def own_place() -> Iterator[DataDir]:
    """Return an empty data folder of this test's own, removed after it."""
    parent = Path(os.environ.get("FLEET_TEST_SERVERS", ""))
    folder = Path(tempfile.mkdtemp(prefix="own-", dir=parent if parent.is_dir() else None))
    folder.chmod(0o711)
    yield make_place(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_servers() -> Iterator[Callable[[AnyServer], AnyServer]]:
    """Return a function that starts a server and has it stopped after the test."""
    started: list[Server] = []

    def start(server: AnyServer) -> AnyServer:
        started.append(server)
        server.start()
        return server

    yield start
    for server in reversed(started):
        server.stop()


@pytest.fixture
def own_postgres(own_place: DataDir, own_servers: Callable[[PostgresServer], PostgresServer]) -> PostgresServer:
    """Return a running PostgreSQL of this test's own, with fsync.

    `kill(signal)`, `stop()` and `start()` as often as wanted: the port, the data and the `url` stay.
    """
    return own_servers(make_postgres(own_place, durable=True))


@pytest.fixture
def own_valkey(own_place: DataDir, own_servers: Callable[[ValkeyServer], ValkeyServer]) -> ValkeyServer:
    """Return a running Valkey of this test's own; see `own_postgres`."""
    return own_servers(make_valkey(own_place))


@pytest.fixture
def own_broker(own_place: DataDir, own_servers: Callable[[MosquittoServer], MosquittoServer]) -> MosquittoServer:
    """Return a running mosquitto of this test's own; see `own_postgres`.

    `state.unlink()` while it is stopped makes it forget sessions, queues and retained messages.
    """
    return own_servers(make_mosquitto(own_place))


@pytest.fixture
def own_amqtt(own_place: DataDir, own_servers: Callable[[AmqttServer], AmqttServer]) -> AmqttServer:
    """Return a running amqtt of this test's own; see `own_postgres`."""
    return own_servers(make_amqtt(own_place))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
