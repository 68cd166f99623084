"""Every page that the resolver has, opened by every kind of caller."""

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from tests.api.callers import handler
from tests.api.matrix import CALLERS, LOGIN, OPEN
from tests.api.page_matrix import ADMIN, ELSEWHERE, PAGES, PEOPLE, Own, addresses, entry, filled, status
from tests.api.test_access_matrix import Plant


@pytest.fixture
def plant(db, settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    return Plant()


def browser(user=None) -> Client:
    client = Client()
    client.handler = handler()
    if user is not None:
        client.force_login(user)
    return client


def answer(client: Client, address: str, **headers: str) -> int | str:
    """Return the status, or where the answer leads to."""
    response = client.get(address, headers=headers)
    return response["Location"].partition("?")[0] if response.status_code == 302 else response.status_code


def test_every_page_has_its_entry():
    found = set(addresses())
    assert {route for route in found if entry(route) is None} == ELSEWHERE
    assert PAGES.keys() <= found


@pytest.mark.parametrize("route", [route for route, needs in PAGES.items() if needs not in (ADMIN, OPEN)])
def test_each_person_gets_the_pages_that_are_theirs(plant, route):
    address = filled(route, plant.names)
    answers = {who: answer(browser(plant.people[who]), address) for who in PEOPLE}
    assert answers == {
        who: status(PAGES[route], rank=kind.rank, is_staff=kind.is_staff, is_known=True) for who, kind in PEOPLE.items()
    }


@pytest.mark.parametrize(
    "route", [route for route, needs in PAGES.items() if needs != ADMIN and not route.startswith("api/")]
)
def test_a_token_opens_no_page(plant, route):
    address = filled(route, plant.names)
    wanted = status(PAGES[route], rank=0, is_staff=False, is_known=False)
    assert {who: answer(browser(), address, **plant.headers[who]) for who in CALLERS} == dict.fromkeys(CALLERS, wanted)


def test_a_session_of_somebody_inactive_opens_no_page(plant):
    inactive = type(plant.people["staff"]).objects.get(username__startswith="inactive-")
    for route in (route for route, needs in PAGES.items() if needs == LOGIN or isinstance(needs, Own)):
        assert answer(browser(inactive), filled(route, plant.names)) == "/login/"


def test_nobody_but_staff_gets_anything_of_the_admin(plant):
    routes = [route for route in addresses() if entry(route) == ADMIN]
    assert len(routes) > 80
    outsiders = {who: browser(plant.people[who]) for who, kind in PEOPLE.items() if not kind.is_staff}
    outsiders["nobody"] = browser()
    for route in routes:
        address = filled(route, plant.names)
        got = {who: answer(client, address) for who, client in outsiders.items()}
        # By a token, also of staff.
        got |= {f"by {who}": answer(browser(), address, **plant.headers[who]) for who in CALLERS}
        wanted = {"admin/logout/": "/admin/", "admin/login/": "/login/"}.get(route, "/admin/login/")
        assert got == dict.fromkeys(got, wanted), address


def test_staff_get_of_the_admin_what_they_have_permissions_for(plant):
    staff = plant.people["staff"]
    client = browser(staff)
    assert answer(client, "/admin/") == 200
    lists = [reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist") for model in site._registry]
    assert {address: answer(client, address) for address in lists} == dict.fromkeys(lists, 403)
    staff.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    assert {address: answer(client, address) for address in lists} == dict.fromkeys(lists, 200)
