"""Fixtures that every test may use. The servers themselves are started by tests/servers.py."""

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker

from telemetry import attributes
from tests.alerts.receiver import Receiver, receiving


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="fault tests at full length, and the tests marked long")


def pytest_configure() -> None:
    # Here and not in the fixture: workers of pytest-xdist inherit it, and a test that is repeated finds the same.
    os.environ.setdefault("FLEET_TEST_SEED", str(random.SystemRandom().getrandbits(32)))
    # Every test client would look through all static files again, which took more time than most tests; the web
    # processes that tests start serve them as usual.
    settings.SERVESTATIC_USE_FINDERS = False


def pytest_report_header() -> str:
    return f"FLEET_TEST_SEED={os.environ['FLEET_TEST_SEED']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Return whether fault tests shall run at full length."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Return a source of random moments, the same for this test whenever FLEET_TEST_SEED is.

    So what it found once it finds again when it is repeated, and a rerun does not hide it.
    """
    seed = os.environ["FLEET_TEST_SEED"]
    # Shown when the test fails.
    print(f"FLEET_TEST_SEED={seed}")
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Make the test database, also for tests that share it with other processes and so roll nothing back."""
    with django_db_blocker.unblock():
        databases = setup_databases(verbosity=0, interactive=False, aliases=["default"], serialized_aliases=[])
    _made.append(str(connection.settings_dict["NAME"]))
    yield
    with django_db_blocker.unblock():
        teardown_databases(databases, verbosity=0)


# The test database's name, once it is made.
_made: list[str] = []


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """Return a webhook on loopback to which notifications of this process may go."""
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    with receiving() as server:
        yield server


TELEMETRY = ("telemetry_measurement", "telemetry_heartbeat", "telemetry_logmessage")


@pytest.fixture(scope="module", autouse=True)
def _empty_database(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Leave nothing to the next module of what tests shared with other processes and so did not roll back."""
    yield
    if not _made:
        return
    attributes.forget()
    with django_db_blocker.unblock():
        _empty_telemetry()
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM sensors_network) OR EXISTS (SELECT FROM sensors_user)")
            (left,) = cursor.fetchone()
        if left:
            call_command("flush", verbosity=0, interactive=False)
        connection.close()


@pytest.fixture(autouse=True)
def _empty_tables_of_entries(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Do for the tables that Django does not manage what its flush does for the others."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction"):
        with django_db_blocker.unblock():
            _empty_telemetry()


def _empty_telemetry() -> None:
    with connection.cursor() as cursor:
        # Looking costs less than emptying some hundred partitions.
        cursor.execute("SELECT " + " OR ".join(f"EXISTS (SELECT FROM {table})" for table in TELEMETRY))
        if cursor.fetchone()[0]:
            cursor.execute(f"TRUNCATE {', '.join(TELEMETRY)}")
