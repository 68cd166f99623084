"""One daphne for a module's tests, and senders; rows stay in the test database, so names are unique."""

import secrets
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from sensors import services
from sensors.models import Role, User
from tests.live.sending import SenderProcess
from tests.live.web import WebProcess


@pytest.fixture(scope="module")
def shared_web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    """Return a running daphne that checks rights every second."""
    with django_db_blocker.unblock():
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "web.log").start()
        yield web
        web.stop()


@pytest.fixture
def web(shared_web: WebProcess, django_db_blocker: Any) -> Iterator[WebProcess]:
    """Return the shared daphne, with the database open and nothing rolled back; it must not have logged a failure."""
    before = len(shared_web.text())
    with django_db_blocker.unblock():
        yield shared_web
    assert shared_web.process is not None
    assert shared_web.process.poll() is None, shared_web.text()[-5_000:]
    assert "Traceback" not in shared_web.text()[before:], shared_web.text()[before:]


@pytest.fixture
def own_web(django_db_setup: None, django_db_blocker: Any, tmp_path: Any) -> Iterator[Callable[..., WebProcess]]:
    """Return a function that starts a daphne of this test's own, with settings of its own."""
    started: list[WebProcess] = []

    def start(**options: Any) -> WebProcess:
        web = WebProcess(log=tmp_path / f"web-{len(started)}.log", **options)
        started.append(web)
        return web.start()

    with django_db_blocker.unblock():
        yield start
        for web in started:
            web.stop()


@pytest.fixture
def network() -> str:
    """Return the slug of a network of which nobody else sends anything."""
    return f"n-{secrets.token_hex(6)}"


@pytest.fixture
def make_world() -> Callable[..., SimpleNamespace]:
    """Return a function that makes a network with sensors and a viewer; nobody else knows their names."""

    def make(sensors: int = 2) -> SimpleNamespace:
        name = secrets.token_hex(5)
        network = services.create_network(slug=f"n-{name}", name=f"Network {name}", owner=None)
        viewer = make_user("viewer")
        services.set_member(network, user=viewer, role=Role.VIEWER)
        rows = [services.create_sensor(network, identifier=f"s-{name}-{i}") for i in range(sensors)]
        return SimpleNamespace(
            network=network, slug=network.slug, viewer=viewer, sensors=rows, names=[row.identifier for row in rows]
        )

    return make


@pytest.fixture
def start_sender() -> Iterator[Callable[[str], SenderProcess]]:
    """Return a function that starts a sender of a Redis; it is ended after the test."""
    started: list[SenderProcess] = []

    def start(redis_url: str) -> SenderProcess:
        started.append(SenderProcess(redis_url))
        return started[-1]

    yield start
    for sender in started:
        sender.process.kill()
        sender.process.wait(5)


def make_user(name: str = "user", **fields: Any) -> User:
    return User.objects.create_user(f"{name}-{secrets.token_hex(5)}", password=secrets.token_hex(8), **fields)
