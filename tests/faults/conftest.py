"""Fixtures of the fault tests; what they are made of is in stack.py, load.py and proxy.py."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from fleet.stack.postgres import PostgresServer
from fleet.stack.valkey import ValkeyServer
from tests.faults.careless import Careless
from tests.faults.disk import SmallDisk
from tests.faults.load import Devices, Load
from tests.faults.messages import SENSORS
from tests.faults.proxy import Proxy
from tests.faults.stack import MadeDatabase, Stack, django_on, insert_sensors, stored_numbers
from tests.servers import make_place, make_postgres

__all__ = ["SENSORS", "Load", "Stack", "insert_sensors", "stored_numbers"]


@pytest.fixture(scope="session")
def made_database() -> Iterator[MadeDatabase]:
    """Return the database of which every stack gets a copy."""
    parent = Path(os.environ.get("FLEET_TEST_SERVERS", ""))
    folder = Path(tempfile.mkdtemp(prefix="made-", dir=parent if parent.is_dir() else None))
    folder.chmod(0o711)
    yield MadeDatabase(make_place(folder / "data"))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small_disk(own_place: DataDir) -> Iterator[SmallDisk]:
    """Return the small disk on which this test's PostgreSQL will live; must stand before `stack`."""
    disk = SmallDisk(make_postgres(own_place).data.parent)
    disk.mount()
    # Its owner was that of the folder beneath.
    make_postgres(own_place)
    yield disk
    disk.unmount()


@pytest.fixture
def database(
    own_place: DataDir, own_servers: Callable[[PostgresServer], PostgresServer], made_database: MadeDatabase
) -> PostgresServer:
    """Return a running PostgreSQL with fsync, tables and sensors; see `own_postgres`."""
    made_database.copy_into(own_place)
    return own_servers(make_postgres(own_place, durable=True))


@pytest.fixture
def stack(
    database: PostgresServer, own_valkey: ValkeyServer, own_broker: MosquittoServer, tmp_path: Path
) -> Iterator[Stack]:
    """Return the stack with its bridge not yet started."""
    stack = Stack(database, own_valkey, own_broker, tmp_path)
    yield stack
    stack.bridge.stop()


@pytest.fixture
def django_stack(stack: Stack, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """Return the stack with its database as Django's own, for services and for parts that run in this process."""
    with django_db_blocker.unblock(), django_on(stack.database):
        yield stack


@pytest.fixture
def make_load(stack: Stack) -> Iterator[Callable[..., Load]]:
    """Return a function that starts a load on the stack's broker."""
    loads: list[Load] = []

    def make(*, rate: float, first: int = 0) -> Load:
        loads.append(Load(stack.broker.port, rate=rate, first=first).start())
        return loads[-1]

    yield make
    for load in loads:
        load.close()


@pytest.fixture
def devices(stack: Stack) -> Iterator[Devices]:
    """Return sensors that answer their configurations."""
    devices = Devices(stack.broker.port)
    yield devices
    devices.close()


@pytest.fixture
def make_proxy() -> Iterator[Callable[..., Proxy]]:
    """Return a function that makes a proxy to a server."""
    proxies: list[Proxy] = []

    def make(url: str, *, mqtt: bool = False) -> Proxy:
        proxies.append(Proxy(url, mqtt=mqtt))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def make_careless(stack: Stack) -> Iterator[Callable[..., Careless]]:
    """Return a function that starts a subscriber with one of the usual mistakes, the control of a test."""
    started: list[Careless] = []

    def make(mistake: str, *, broker_url: str = "", database_url: str = "") -> Careless:
        started.append(
            Careless(
                mistake,
                broker_url=broker_url or stack.broker.url,
                database_url=database_url or stack.database.url,
                truth_url=stack.database.url,
            )
        )
        started[-1].start()
        return started[-1]

    yield make
    for careless in started:
        careless.stop()
