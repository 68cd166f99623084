"""What the service tells browsers and caches about its answers."""

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from fleet.headers import HeadersMiddleware
from sensors.models import User
from tests.api.callers import Caller, handler
from tests.api.matrix import OPERATIONS
from tests.api.page_matrix import ADMIN, PAGES, filled
from tests.api.test_access_matrix import Plant

# What the page of the API's document needs beyond the others, and all of the admin does: styles, and no scripts.
INLINE_STYLES = "style-src 'self' 'unsafe-inline'"


@pytest.fixture
def plant(db, settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    return Plant()


@pytest.fixture
def browser(db) -> Client:
    client = Client()
    client.handler = handler()
    client.force_login(User.objects.create_superuser("root"))
    return client


def policy_of(answer: HttpResponse) -> dict[str, str]:
    return {part.split()[0]: part for part in answer["Content-Security-Policy"].split("; ")}


@pytest.mark.parametrize("route", PAGES)
def test_no_page_allows_a_script_that_is_no_file_of_this_host(plant, browser, route):
    policy = policy_of(browser.get(filled(route, plant.names)))
    assert "script-src" not in policy
    assert policy["default-src"] == "default-src 'self'"
    assert policy["object-src"] == "object-src 'none'"
    assert policy["base-uri"] == "base-uri 'none'"
    assert policy["form-action"] == "form-action 'self'"
    assert policy["frame-ancestors"] == "frame-ancestors 'none'"
    loosened = {part for part in policy.values() if "unsafe" in part}
    assert loosened == ({INLINE_STYLES} if PAGES[route] == ADMIN or route == "api/docs/" else set())


def test_no_page_of_the_admin_does_either(browser):
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        policy = policy_of(browser.get(reverse(name)))
        assert "script-src" not in policy
        assert {part for part in policy.values() if "unsafe" in part} == {INLINE_STYLES}


@pytest.mark.parametrize("path", ["/", "/login/", "/no/such/page/", "/admin/", "/api/v1/sensors/", "/api/docs/"])
def test_every_answer_limits_what_a_browser_makes_of_it(browser, path):
    headers = browser.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("GET ")])
def test_no_cache_keeps_an_answer_of_the_api(plant, name):
    path = plant.filled(name.removeprefix("GET ")) + OPERATIONS[name].query
    assert "no-store" in Caller(**plant.headers["staff"]).get(path)["Cache-Control"]


def test_no_cache_keeps_a_page(plant, browser):
    for route, needs in PAGES.items():
        assert "no-store" in browser.get(filled(route, plant.names))["Cache-Control"], (route, needs)


def test_a_refusal_is_kept_by_no_cache_either(db):
    for path in ("/", "/api/v1/sensors/", "/admin/", "/no/such/page/"):
        assert "no-store" in Client().get(path)["Cache-Control"], path


def test_what_says_how_long_it_may_be_kept_keeps_its_word():
    kept = HeadersMiddleware(lambda request: HttpResponse(headers={"Cache-Control": "max-age=60, public"}))
    assert kept(RequestFactory().get("/static/x.css"))["Cache-Control"] == "max-age=60, public"
