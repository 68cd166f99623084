"""Rows that roll back with the test, and, where several connections must see them, rows that do not."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection

from sensors.models import Role, Sensor
from telemetry import partitions
from telemetry.models import Attribute, HourRollup, MinuteRollup, RollupHorizon, RollupMark, RollupState
from tests.api.callers import Caller, make_network, make_user
from tests.bridges import database_url
from tests.telemetry.rows import make_sensor


@pytest.fixture(autouse=True)
def no_remembered_months() -> Iterator[None]:
    """Months that a test made or dropped are rolled back with it, so none is remembered."""
    partitions.forget_months()
    yield
    partitions.forget_months()


@pytest.fixture
def no_horizon(db: None) -> None:
    """Begin as a database that was never rolled up."""
    for model in (RollupHorizon, RollupState, RollupMark, HourRollup, MinuteRollup, Attribute):
        model.objects.all().delete()


@pytest.fixture
def sensor(db: None) -> Sensor:
    return make_sensor()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Open the database without a transaction around the test; names are unique and rows stay."""
    with django_db_blocker.unblock():
        yield
        connection.close()


@pytest.fixture
def other(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    """Return a second connection to the test's database; it needs `db` or `committed`."""
    with psycopg.connect(database_url()) as own:
        yield own


@pytest.fixture
def world(db: None) -> SimpleNamespace:
    """Return a network with a sensor and a viewer, another one with theirs, and staff."""
    network, users = make_network("plant", viewer=Role.VIEWER)
    elsewhere, others = make_network("elsewhere", viewer=Role.VIEWER)
    return SimpleNamespace(
        network=network,
        sensor=make_sensor(network),
        viewer=Caller(users["viewer"]),
        elsewhere=elsewhere,
        other_sensor=make_sensor(elsewhere),
        other=Caller(others["viewer"]),
        staff=Caller(make_user("staff", is_staff=True)),
        nobody=Caller(),
    )
