"""A real daphne and a real Chromium. Rows stay in the test database, so names are unique."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from sensors import services
from sensors.models import Role, User
from tests.browser.pages import Site
from tests.live.web import WebProcess

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Return a headless Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path is not None, "chromium is not installed; ./scripts/test installs it"
    # Playwright runs its event loop in this thread, where Django then refuses database work. The tests' own
    # queries are the only ones here, and none of them runs inside a coroutine.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="module")
def shared_web(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    """Return a running daphne."""
    with django_db_blocker.unblock():
        # Where the tests' webhooks listen; and other tests present wrong claim codes from the same address.
        allowed = {"NOTIFICATION_PRIVATE_TARGETS": "127.0.0.1", "CLAIM_THROTTLE": "100000/min"}
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "web.log", **allowed).start()
        yield web
        web.stop()


@pytest.fixture
def web(shared_web: WebProcess, django_db_blocker: Any) -> Iterator[WebProcess]:
    """Return the shared daphne, with the database open and nothing rolled back."""
    with django_db_blocker.unblock():
        yield shared_web
        # Playwright's loop gives this thread connections of its own, which nobody else would close.
        connections.close_all()


@pytest.fixture
def own_web(django_db_setup: None, django_db_blocker: Any, tmp_path: Path) -> Iterator[WebProcess]:
    """Return a daphne that the test may stop and start again at the same address."""
    with django_db_blocker.unblock():
        web = WebProcess(log=tmp_path / "web.log").start()
        yield web
        web.stop()


@pytest.fixture
def world(web: WebProcess) -> SimpleNamespace:
    """Return a network with three sensors and its operator `ada`; nobody else knows their names."""
    name = secrets.token_hex(4)
    ada = User.objects.create_user(f"ada-{name}")
    network = services.create_network(slug=f"net-{name}", name=f"Network {name}", owner=None)
    services.set_member(network, user=ada, role=Role.OPERATOR)
    sensors = [services.create_sensor(network, identifier=f"s-{name}-{number}") for number in range(3)]
    return SimpleNamespace(ada=ada, network=network, sensors=sensors, names=[row.identifier for row in sensors])


@pytest.fixture
def open_site(chromium: Browser, web: WebProcess) -> Iterator[Callable[..., Site]]:
    """Return a function that opens a browser's window on the service.

    After the test every window must be free of script errors, of refusals by the content security policy, and
    of requests to another host.
    """
    contexts: list[BrowserContext] = []
    sites: list[Site] = []

    def open_(*, width: int = 1440, height: int = 900, server: WebProcess = web, **options: Any) -> Site:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page: Page = context.new_page()
        sites.append(Site(page, server.host))
        return sites[-1]

    yield open_
    for context in contexts:
        context.close()
    for site in sites:
        assert site.problems == []


@pytest.fixture
def site(open_site: Callable[..., Site], world: SimpleNamespace) -> Site:
    """Return a window in which `ada` is logged in."""
    return open_site().enter(world.ada)
