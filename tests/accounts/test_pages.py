"""Every page of accounts: in this service's own looks, for whom it is, and none besides."""

import re

import allauth
import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from fleet.accounts.forms import NewUserForm
from fleet.accounts.links import password_link
from sensors import services
from sensors.limits import attempts
from sensors.models import AuditEntry, User
from tests.accounts.people import PASSWORD, Browser, enter, mailed, switch_on
from tests.api.callers import make_network, make_user

pytestmark = pytest.mark.django_db
OPEN = ["/login/", "/password/forgotten/", "/password/forgotten/sent/", "/password/new/done/", "/password/new/1-x-y/"]
OPEN += ["/register/", "/invitations/nothing/"]
CLOSED = ["/account/", "/password/", "/password/done/", "/account/confirm/"]
CONFIRMED = ["/account/email/", "/account/two-factor/"]
WITH_CODES = ["/account/two-factor/off/", "/account/recovery-codes/", "/account/recovery-codes/new/"]


def check(response) -> None:
    """Assert that the page is one of ours and holds nothing that its policy refuses."""
    page = response.content.decode()
    assert '<html lang="en"' in page
    assert "<main" in page
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    assert all("src=" in found or "application/json" in found for found in re.findall(r"<script([^>]*)>", page))
    assert "unsafe" not in response["Content-Security-Policy"]
    assert "no-store" in response["Cache-Control"]
    folder = allauth.__path__[0]
    assert not [each.origin.name for each in response.templates if each.origin.name.startswith(folder)]
    labels = re.findall(r'<label for="([^"]+)"', page)
    assert all(f'id="{name}"' in page for name in labels)


@pytest.mark.parametrize("path", OPEN)
def test_pages_for_everybody(path):
    check(Browser().get(path))


@pytest.mark.parametrize("path", CLOSED)
def test_pages_for_who_is_logged_in(ada, path):
    assert Client().get(path)["Location"] == f"/login/?next={path}"
    check(enter(ada).get(path))


@pytest.mark.parametrize("path", [*CONFIRMED, *WITH_CODES])
def test_pages_for_who_has_confirmed_it(ada, path):
    assert Client().get(path)["Location"].startswith("/login/")
    browser = enter(ada)
    if path in WITH_CODES:
        _, codes = switch_on(browser)
        browser.confirm(code=codes[0])
        check(browser.get("/account/"))
    else:
        browser.confirm(password=PASSWORD)
    check(browser.get(path))


def test_pages_between_password_and_code(ada):
    switch_on(enter(ada))
    browser = Browser()
    browser.log_in(ada.username)
    check(browser.get("/login/code/"))
    check(browser.post("/login/code/", {"code": "x"}))


def test_pages_of_links(ada):
    browser = Browser()
    check(browser.get(browser.get(password_link(ada))["Location"]))
    network, _ = make_network("plant")
    _, secret = services.create_invitation(network, role="viewer", author=None, now=timezone.now())
    check(browser.get(f"/invitations/{secret}/"))
    check(enter(ada).get(f"/invitations/{secret}/"))


ACTIONS = ["/account/confirm/code/", "/account/sessions/1/end/", "/account/sessions/end-others/", "/login/code/"]


@pytest.mark.parametrize("path", [*OPEN, *CLOSED, *CONFIRMED, *WITH_CODES, *ACTIONS])
def test_nobody_leaves_anything_behind(db, path):
    # allauth would keep what was sent until one has logged in: two megabytes a request, of anybody.
    browser = Client(headers={"user-agent": "x" * 10_000})
    assert browser.get(path).status_code < 500
    assert browser.post(path, {"anything": "x" * 10_000}).status_code < 500
    assert not Session.objects.exists()


def test_every_address_of_accounts_is_tried_here():
    tried = {*OPEN, *CLOSED, *CONFIRMED, *WITH_CODES, "/login/code/"}
    elsewhere = {"/logout/", "/account/confirm/code/", "/account/sessions/1/end/", "/account/sessions/end-others/"}
    (accounts,) = [each for each in get_resolver().url_patterns if getattr(each, "urlconf_name", None)
                   and getattr(each.urlconf_name, "__name__", "") == "fleet.accounts.urls"]  # fmt: skip
    for pattern in accounts.url_patterns:
        assert any(pattern.pattern.match(path[1:]) for path in tried | elsewhere), pattern


@pytest.mark.parametrize("path", ["/accounts/", "/accounts/login/", "/account/signup/", "/mfa/", "/account/webauthn/"])
def test_what_is_not_used_is_not_there(ada, path):
    assert enter(ada).get(path).status_code == 404


def test_a_change_of_address_tells_the_old_one_and_asks_first(ada):
    browser = enter(ada)
    before = ada.email
    assert browser.get("/account/email/")["Location"].startswith("/account/confirm/")
    browser.confirm(password=PASSWORD)
    answer = browser.post("/account/email/", {"email": "other@example.org"}, follow=True)
    assert "Links are sent to other@example.org now." in answer.content.decode()
    assert [message.to for message in mailed()] == [[before]]
    assert "no address" in browser.post("/account/email/", {"email": "no address"}).content.decode()
    ada.refresh_from_db()
    assert ada.email == "other@example.org"


def test_changing_the_address_fills_nobodys_mail(ada, monkeypatch):
    monkeypatch.setattr(attempts, "MAX_MAILED_AN_HOUR", 2)
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    answers = [browser.post("/account/email/", {"email": f"{number}@example.org"}) for number in range(3)]
    assert [answer.status_code for answer in answers] == [302, 302, 200]
    assert "Too many attempts to send mail" in answers[-1].content.decode()
    assert len(mailed()) == 2
    ada.refresh_from_db()
    assert ada.email == "1@example.org"


def test_the_menu_leads_to_the_account(ada):
    assert 'href="/account/"' in enter(ada).get("/rules/").content.decode()


class TestRegistering:
    """Off unless SELF_REGISTRATION says otherwise."""

    BODY = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD, "email": ""}

    def test_it_is_off(self, db):
        assert "register" not in Browser().get("/login/").content.decode()
        answer = Browser().post("/register/", self.BODY)
        assert answer.status_code == 403
        assert "Ask the owner of a network for an invitation" in answer.content.decode()

    def test_who_is_second_with_a_name_is_told_so(self, db):
        form = NewUserForm(self.BODY)
        assert form.is_valid()
        first = User.objects.create_user(self.BODY["username"])
        assert form.save_if_free() is None
        assert form.errors["username"] == ["A user with that username already exists."]
        assert User.objects.filter(username=first.username).get() == first

    def test_whoever_registers_is_logged_in_and_sees_nothing_yet(self, db, settings):
        settings.SELF_REGISTRATION = True
        browser = Browser()
        assert 'href="/register/"' in browser.get("/login/").content.decode()
        assert browser.post("/register/", self.BODY)["Location"] == "/"
        assert browser.get("/api/v1/me/").json()["memberships"] == []
        assert browser.get("/api/v1/me/").json()["is_staff"] is False
        user = User.objects.get(username=self.BODY["username"])
        assert AuditEntry.objects.get_for_object(user).get().actor == user

    def test_names_are_taken_once_whatever_their_case(self, db, settings):
        settings.SELF_REGISTRATION = True
        taken = make_user("ada")
        answer = Browser().post("/register/", {**self.BODY, "username": taken.username.upper()})
        assert "already exists" in answer.content.decode()

    def test_many_users_from_one_address_are_stopped(self, db, settings, strict):
        settings.SELF_REGISTRATION = True
        browser = Browser()
        for number in range(4):
            browser.logout()
            answer = browser.post("/register/", {**self.BODY, "username": f"grace-{number}"})
        assert "Too many attempts to register" in answer.content.decode()

    def test_an_empty_form_is_stopped_as_well(self, db, settings, strict):
        settings.SELF_REGISTRATION = True
        browser = Browser()
        pages = [browser.post("/register/").content.decode() for _ in range(4)]
        assert ["This field is required." in page for page in pages] == [True] * 4
        assert ["Too many attempts to register" in page for page in pages] == [False] * 3 + [True]
