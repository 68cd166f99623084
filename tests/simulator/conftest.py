"""A broker that a test may restart, and a plain client that hears everything."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .wire import Client, OwnBroker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnBroker]:
    if shutil.which("mosquitto") is None:
        pytest.fail("mosquitto is not installed; these tests need a real broker")
    own = OwnBroker(tmp_path)
    own.start()
    yield own
    own.stop()


@pytest.fixture
def client(broker: OwnBroker) -> Iterator[Client]:
    listener = Client(broker.port)
    deadline_s = time.monotonic() + 10
    while not listener.subscriptions:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    yield listener
    listener.close()
