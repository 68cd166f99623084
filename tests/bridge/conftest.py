"""A fleet whose bridges change in number."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.stack.mosquitto import MosquittoServer
from tests.bridge.hall import Hall


@pytest.fixture
def hall(own_broker: MosquittoServer, tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(own_broker, tmp_path)
    yield hall
    hall.close()
