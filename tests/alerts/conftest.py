"""A network with one sensor, its people and rule, who is told of it, callers of the API, and the live events sent."""

from types import SimpleNamespace
from typing import Any

import pytest

from alerts.models import NotificationTarget, Rule
from sensors import live
from sensors.models import Network, Role, Sensor, User
from sensors.services import set_member
from tests.alerts.making import make_network, make_sensor, make_target, make_threshold, make_user
from tests.alerts.receiver import Receiver
from tests.api.callers import Caller
from tests.api.callers import make_network as make_shared_network
from tests.api.callers import make_user as make_caller


@pytest.fixture
def network(db: None) -> Network:
    return make_network()


@pytest.fixture
def sensor(network: Network) -> Sensor:
    return make_sensor(network, period_s=60, grace_s=30)


@pytest.fixture
def operator(network: Network) -> User:
    user = make_user()
    set_member(network, user=user, role=Role.OPERATOR)
    return user


@pytest.fixture
def rule(network: Network) -> Rule:
    return make_threshold(network, severity="critical")


@pytest.fixture
def world(db: None) -> SimpleNamespace:
    """Return a network with callers by role, one sensor, and a stranger with a network of their own."""
    network, users = make_shared_network("plant", viewer=Role.VIEWER, operator=Role.OPERATOR)
    elsewhere, others = make_shared_network("yard", stranger=Role.OWNER)
    return SimpleNamespace(
        network=network,
        sensor=make_sensor(network, labels={"floor": "2"}),
        elsewhere=elsewhere,
        viewer=Caller(users["viewer"]),
        operator=Caller(users["operator"]),
        stranger=Caller(others["stranger"]),
        staff=Caller(make_caller("staff", is_staff=True)),
        nobody=Caller(),
    )


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str, dict[str, Any]]]:
    """Return the live events that are sent from here on, as (network, sensor, kind, body), instead of sending them."""
    sent: list[tuple[str, str | None, str, dict[str, Any]]] = []

    def keep(*, network: str, sensor: str | None, kind: str, body: dict[str, Any], dropped: int = 0) -> None:
        sent.append((network, sensor, kind, dict(body)))

    monkeypatch.setattr(live, "send_event", keep)
    return sent


@pytest.fixture
def target(network: Network, receiver: Receiver) -> NotificationTarget:
    return make_target(network, receiver.url())
