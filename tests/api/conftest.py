"""One network with a viewer, an operator and an owner, and somebody who has nothing to do with it."""

from functools import cached_property

import pytest

from sensors.models import Membership, Network, Role, Sensor
from sensors.services import create_sensor, issue_credential
from sensors.services.credentials import Login
from tests.api.asking import BROKER, MQTT, NOW, SECRET
from tests.api.callers import Caller, make_network, make_user


class World:
    """Callers by role, made when a test first speaks of them, and the network in which they have it."""

    def __init__(self) -> None:
        self.network: Network = make_network("plant")[0]

    @cached_property
    def viewer(self) -> Caller:
        return self._member("viewer", Role.VIEWER)

    @cached_property
    def operator(self) -> Caller:
        return self._member("operator", Role.OPERATOR)

    @cached_property
    def owner(self) -> Caller:
        return self._member("owner", Role.OWNER)

    @cached_property
    def stranger(self) -> Caller:
        return Caller(make_user("stranger"))

    @cached_property
    def staff(self) -> Caller:
        return Caller(make_user("staff", is_staff=True))

    @cached_property
    def nobody(self) -> Caller:
        return Caller()

    def _member(self, name: str, role: Role) -> Caller:
        user = make_user(name)
        Membership.objects.create(network=self.network, user=user, role=role)
        return Caller(user)


@pytest.fixture
def world(db):
    return World()


# --- Brokers that ask -------------------------------------------------------------------------------


@pytest.fixture
def asking(settings):
    """A service that brokers ask."""
    settings.MQTT_ACCOUNTS = "http"
    settings.BROKER_AUTH_SECRET = SECRET
    settings.MQTT_URL = MQTT


@pytest.fixture
def name(unique) -> str:
    """An identifier that no other test guesses passwords of."""
    return f"s-{unique}"


@pytest.fixture
def sensor(world, name, asking) -> Sensor:
    return create_sensor(world.network, identifier=name)


@pytest.fixture
def login(sensor, asking) -> Login:
    return issue_credential(sensor, author=None, now=NOW)


@pytest.fixture
def broker(db, asking) -> Caller:
    """A broker that asks."""
    return Caller(**BROKER)
