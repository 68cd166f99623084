"""One bridge for a module's tests, over a broker of its own."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sensors.models import Network, Sensor
from sensors.services import create_network, create_sensor
from tests.bridges import BridgeProcess, Client
from tests.servers import make_mosquitto, make_place, start_on_a_free_port


@pytest.fixture(scope="module")
def shared_bridge(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BridgeProcess, Client]]:
    """Return a running bridge and a client of its broker; rows stay until the module is done, so names are unique."""
    folder = Path(tempfile.mkdtemp(prefix="bridge-"))
    folder.chmod(0o711)
    broker = start_on_a_free_port(lambda: make_mosquitto(make_place(folder / "data")))
    with django_db_blocker.unblock():
        bridge = BridgeProcess(broker_url=broker.url, log=folder / "bridge.log").start().wait_ready()
        client = Client(f"mqtt://127.0.0.1:{broker.port}")
        yield bridge, client
        client.close()
        bridge.stop()
    broker.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def wire(shared_bridge: tuple[BridgeProcess, Client], django_db_blocker: Any) -> Iterator[Client]:
    """Return the client of the shared bridge, with the database open and nothing rolled back."""
    bridge, client = shared_bridge
    with django_db_blocker.unblock():
        yield client
    assert bridge.process is not None
    assert bridge.process.poll() is None, bridge.text()


@pytest.fixture
def make_sensor() -> Callable[..., Sensor]:
    """Return a function that makes a sensor that no other test knows, in a network of its own."""

    def make(**options: Any) -> Sensor:
        return create_sensor(make_network(), identifier=f"s-{secrets.token_hex(6)}", **options)

    return make


def make_network() -> Network:
    name = f"n-{secrets.token_hex(6)}"
    return create_network(slug=name, name=name, owner=None)


def now() -> datetime:
    return datetime.now(UTC)
