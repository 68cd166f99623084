"""What comes from outside is text on every page: no element, script or link, and nothing that the policy refuses."""

import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import Page

from sensors.models import AccessToken
from tests.api.page_matrix import ADMIN, PAGES, filled, status
from tests.browser.hostile import TEXTS, HostileFleet
from tests.browser.pages import Site

pytestmark = pytest.mark.browser

NO_HTML = ("healthz", "api/schema/")
# Besides what they are refused for on the console, which `open_site` looks at after each test.
MARKUP = """() => [...document.querySelectorAll("*")].filter((element) =>
  [...element.attributes].some(({ name, value }) => name.startsWith("on") || /^\\s*javascript:/i.test(value) &&
    ["href", "src", "action", "formaction"].includes(name))
  || element.matches("img[src=x], svg[onload]")
  || element.matches("script:not([src]):not([type='application/json'])")).map((element) => element.outerHTML)"""


@pytest.fixture
def fleet(web) -> HostileFleet:
    return HostileFleet(secrets.token_hex(4))


@pytest.fixture
def visit(open_site, fleet) -> Callable[[str], Page]:
    """Return a function that opens a page and looks for what became more than text."""
    site: Site = open_site().enter(fleet.user)
    dialogs: list[str] = []
    site.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def go(path: str) -> Page:
        page = site.go(path)
        site.settle()
        assert page.evaluate(MARKUP) == [], path
        assert dialogs == [], path
        assert site.problems == [], path
        return page

    return go


def test_what_became_markup_would_be_found(open_site, world):
    site = open_site().enter(world.ada)
    page = site.go("/")
    # What comes later would not find its place.
    site.settle()
    # The policy refuses the handler, and says so.
    with page.expect_console_message(lambda message: "inline event handler" in message.text):
        page.evaluate(
            "(text) => { document.querySelector('main').innerHTML = text; }", f"{TEXTS[0]}<a href={TEXTS[3]}>x</a>"
        )
    assert len(page.evaluate(MARKUP)) == 2
    assert any("inline event handler" in problem for problem in site.problems), site.problems
    site.problems.clear()


def test_on_every_page(visit, fleet):
    pages = [route for route, needs in PAGES.items() if needs != ADMIN and route not in NO_HTML]
    for route in pages:
        # A browser's console names what is refused as a fault.
        if status(PAGES[route], rank=3, is_staff=True, is_known=True) not in (403, 404, 405):
            visit(filled(route, fleet.names))
    visit(urlsplit(fleet.invitation).path)
    # It was there, as it came.
    shown = visit(f"/sensors/{fleet.identifier}/").content()
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown
    assert TEXTS[0] not in shown


def test_in_every_list_and_every_form_of_the_admin(visit, fleet):
    visit("/admin/")
    for kind in ("measurements", "heartbeats", "log-messages"):
        visit(reverse("admin:telemetry_entries", args=[kind]) + f"?sensor={fleet.identifier}")
    seen = 0
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        visit(reverse(f"{name}_changelist"))
        row = model._default_manager.last()
        assert row is not None, name
        key = row.handle if model is AccessToken else row.pk
        for page in ("change", "history"):
            visit(reverse(f"{name}_{page}", args=[key]))
            seen += 1
    assert seen > 20
