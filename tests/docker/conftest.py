"""Fixtures: the compose file, the shipped broker, and logged-in clients."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.stack.broker import find_mosquitto

from .broker import BRIDGE, RECEIVER_ID, Broker, Client
from .compose import DOCKER, ENVIRONMENT, interpolate

StartBroker = Callable[..., Broker]
Connect = Callable[..., Client]


@pytest.fixture(scope="module")
def text() -> str:
    return (DOCKER / "compose.yml").read_text()


@pytest.fixture(scope="module")
def document(text: str) -> dict[str, Any]:
    """The file as Compose sees it: anchors merged, variables replaced."""
    parsed: dict[str, Any] = interpolate(yaml.safe_load(text), ENVIRONMENT)
    return parsed


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["services"]
    return found


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Return a function that starts a broker with certificates and accounts for the bridge, `boiler` and `freezer`."""
    program = find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed")
    brokers: list[Broker] = []

    def start(changes: Mapping[str, str] | None = None, **options: Any) -> Broker:
        folder = tmp_path / f"broker-{len(brokers)}"
        folder.mkdir()
        broker = Broker(folder, program, changes=changes, **options)
        brokers.append(broker)
        broker.write_accounts("boiler", "freezer")
        broker.make_certificates()
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    """The broker exactly as shipped."""
    return start_broker()


@pytest.fixture
def mosquitto_sub() -> str:
    """The path of mosquitto's own client, which Debian packs apart from the broker."""
    path = shutil.which("mosquitto_sub")
    if path is None:
        pytest.skip("mosquitto's clients are not installed")
    return path


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return a function that logs in at a broker, on the listener meant for that user, and returns the client."""
    clients: list[Client] = []

    def connect(
        broker: Broker,
        username: str,
        *,
        client_id: str | None = None,
        clean: bool = True,
        websocket: bool = False,
        tls: bool = False,
    ) -> Client:
        context = broker.context() if websocket or tls else None
        client = Client(client_id or username, broker.login(username), clean=clean, websocket=websocket, tls=context)
        clients.append(client)
        if username == BRIDGE.username:
            port = broker.inner_port
        elif websocket:
            port = broker.websocket_port
        else:
            port = broker.tls_port if tls else broker.port
        assert client.connect(port) == "Success"
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def connect_bridge(connect: Connect) -> Callable[[Broker], Client]:
    """Return a function that connects as the bridge's receiver: a persistent session with its subscriptions."""

    def connect_bridge(broker: Broker) -> Client:
        client = connect(broker, BRIDGE.username, client_id=RECEIVER_ID, clean=False)
        client.subscribe("heartbeats/#", "log-messages/#", "measurements/#", "fleet/watermark/#")
        return client

    return connect_bridge


@pytest.fixture
def bridge(broker: Broker, connect_bridge: Callable[[Broker], Client]) -> Client:
    """The bridge's receiver at the broker as shipped."""
    return connect_bridge(broker)
