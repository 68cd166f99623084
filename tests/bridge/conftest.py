"""A fleet whose bridges change in number, and a broker with accounts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from tests.bridge.hall import Hall
from tests.servers import make_mosquitto


@pytest.fixture
def hall(own_broker: MosquittoServer, tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(own_broker, tmp_path)
    yield hall
    hall.close()


@pytest.fixture
def broker(own_place: DataDir, own_servers: Callable[[MosquittoServer], MosquittoServer]) -> MosquittoServer:
    """A mosquitto that takes nobody without a login."""
    return own_servers(make_mosquitto(own_place, anonymous=False))
