"""Opening an invitation in a browser."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from fleet.logs import without_secrets
from sensors import services
from sensors.errors import Conflict
from sensors.models import AuditEntry, Invitation, Membership, Role, User
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, Browser, enter
from tests.api.callers import make_network, make_user

pytestmark = pytest.mark.django_db
NEW = {"username": "grace", "email": "grace@example.org", "password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD}


@pytest.fixture
def network():
    return make_network("plant")[0]


def invite(network, role=Role.OPERATOR, **options):
    options = {"author": None, "now": timezone.now(), **options}
    return services.create_invitation(network, role=role, **options)


def path_of(secret):
    return f"/invitations/{secret}/"


def role_of(network, user):
    return Membership.objects.filter(network=network, user=user).values_list("role", flat=True).first()


def test_who_has_no_account_makes_one_and_is_a_member(network):
    invitation, secret = invite(network, email="grace@example.org")
    browser = Browser()
    page = browser.get(path_of(secret)).content.decode()
    assert network.name in page
    assert "operator" in page
    assert 'value="grace@example.org"' in page
    assert browser.post(path_of(secret), NEW)["Location"] == f"/?network={network.slug}"
    user = User.objects.get(username="grace")
    assert role_of(network, user) == "operator"
    assert browser.is_in
    invitation.refresh_from_db()
    assert invitation.accepted_by == user
    assert Browser().log_in("grace", OTHER_PASSWORD).status_code == 302


def test_the_history_says_that_the_new_user_did_it(network):
    _, secret = invite(network)
    before = AuditEntry.objects.latest("pk").pk
    Browser().post(path_of(secret), NEW)
    user = User.objects.get(username="grace")
    entries = AuditEntry.objects.filter(pk__gt=before).select_related("content_type")
    kinds = {entry.content_type.model for entry in entries}
    assert kinds == {"user", "membership", "invitation"}
    assert {(entry.actor, entry.actor_name) for entry in entries} == {(user, "grace")}


def test_who_came_too_late_is_nobody_on_the_page_that_says_so(network, monkeypatch):
    _, secret = invite(network)

    def too_late(*_args, **_options):
        raise Conflict("This invitation was used already; each works once.")

    monkeypatch.setattr(services, "accept_invitation", too_late)
    answer = Browser().post(path_of(secret), NEW)
    assert answer.status_code == 410
    assert not answer.context["user"].is_authenticated
    assert not User.objects.filter(username="grace").exists()


def test_a_weak_password_makes_neither_a_user_nor_a_member(network):
    invitation, secret = invite(network)
    answer = Browser().post(path_of(secret), {**NEW, "password1": "short", "password2": "short"})
    assert answer.context["form"].errors
    assert not User.objects.filter(username="grace").exists()
    invitation.refresh_from_db()
    assert invitation.accepted_at is None


def test_who_has_an_account_logs_in_first_and_comes_back(network, ada):
    _, secret = invite(network)
    browser = Browser()
    assert f"/login/?next={path_of(secret)}" in browser.get(path_of(secret)).content.decode()
    assert browser.log_in(ada.username, next=path_of(secret))["Location"] == path_of(secret)
    assert f"Join as {ada.username}" in browser.get(path_of(secret)).content.decode()
    assert role_of(network, ada) is None
    assert browser.post(path_of(secret))["Location"] == f"/?network={network.slug}"
    assert role_of(network, ada) == "operator"


def test_who_is_logged_in_may_accept_it_as_somebody_else(network, ada):
    _, secret = invite(network)
    browser = enter(ada)
    path = f"/login/?instead&next={path_of(secret)}"
    assert path.replace("&", "&amp;") in browser.get(path_of(secret)).content.decode()
    page = browser.get(path).content.decode()
    assert f"You are logged in as {ada.username}; log in as somebody else." in page
    assert "may not see that page" not in page
    other = make_user("other", password=PASSWORD)
    assert browser.log_in(other.username, next=path_of(secret))["Location"] == path_of(secret)
    assert f"Join as {other.username}" in browser.get(path_of(secret)).content.decode()


def test_looking_at_it_joins_nobody(network, ada):
    invitation, secret = invite(network)
    enter(ada).get(path_of(secret))
    invitation.refresh_from_db()
    assert (invitation.accepted_at, role_of(network, ada)) == (None, None)


def test_a_role_is_raised_and_never_lowered(network, ada):
    services.set_member(network, user=ada, role=Role.OPERATOR)
    invitation, lower = invite(network, Role.VIEWER)
    browser = enter(ada)
    assert "operator of it already" in browser.get(path_of(lower)).content.decode()
    browser.post(path_of(lower))
    invitation.refresh_from_db()
    assert (role_of(network, ada), invitation.accepted_at) == ("operator", None)
    _, higher = invite(network, Role.OWNER)
    browser.post(path_of(higher))
    assert role_of(network, ada) == "owner"


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("state", "words"), [("used", "used already"), ("withdrawn", "withdrawn"), ("expired", "has expired")]
)
def test_one_that_is_over_says_so(network, ada, state, words, method):
    invitation, secret = invite(network)
    now = timezone.now()
    if state == "used":
        services.accept_invitation(secret, user=make_user("quick"), now=now)
    elif state == "withdrawn":
        services.revoke_invitation(invitation, now=now)
    else:
        Invitation.objects.filter(pk=invitation.pk).update(expires_at=now)
    for browser in (Browser(), enter(ada)):
        answer = getattr(browser, method)(path_of(secret), NEW)
        assert answer.status_code == 410
        assert words in answer.content.decode()
        assert "Ask an owner" in answer.content.decode()
    assert role_of(network, ada) is None
    assert not User.objects.filter(username="grace").exists()


@pytest.mark.parametrize("secret", ["nothing", "x" * 32, "x" * 500, "%00", "ünïcode"])
def test_one_that_never_was_says_so(db, secret):
    answer = Browser().get(path_of(secret))
    assert answer.status_code == 404
    assert "no such invitation" in answer.content.decode()


def test_one_ends_with_the_ownership_of_who_made_it(network, ada):
    services.set_member(network, user=make_user("boss"), role=Role.OWNER)
    services.set_member(network, user=ada, role=Role.OWNER)
    _, secret = invite(network, Role.OWNER, author=ada)
    services.set_member(network, user=ada, role=Role.VIEWER)
    answer = enter(ada).post(path_of(secret))
    assert (answer.status_code, role_of(network, ada)) == (410, "viewer")


def test_many_tries_to_make_a_user_are_stopped(network, strict):
    _, secret = invite(network, now=timezone.now() - timedelta(minutes=1))
    browser = Browser()
    for _ in range(4):
        answer = browser.post(path_of(secret), {**NEW, "password2": PASSWORD})
    assert "Too many attempts to register" in answer.content.decode()


def test_the_log_has_no_secret(network, caplog):
    caplog.set_level("INFO")
    _, secret = invite(network)
    Browser().get(path_of(secret))
    Browser().post(path_of(secret), NEW)
    assert secret not in caplog.text
    assert "POST /invitations/…/" in caplog.text


def test_the_log_has_no_secret_of_a_form_that_was_refused(network, caplog):
    _, secret = invite(network)
    assert Client(enforce_csrf_checks=True).post(path_of(secret), NEW).status_code == 403
    assert secret not in caplog.text
    assert "POST /invitations/…/" in caplog.text


@pytest.mark.parametrize("page", ["{path}", "/login/?next={path}"])
def test_the_log_has_no_secret_of_the_page_that_a_refused_form_came_from(network, caplog, page):
    _, secret = invite(network)
    sender = Client(
        enforce_csrf_checks=True, headers={"referer": "https://elsewhere" + page.format(path=path_of(secret))}
    )
    # Django compares the Referer where there is a cookie, with TLS.
    sender.cookies["csrftoken"] = "x" * 32
    assert sender.post("/login/", {}, secure=True).status_code == 403
    assert secret not in caplog.text
    assert "Referer checking failed - https://elsewhere" in caplog.text


def test_the_log_keeps_the_numbers_of_invitations():
    path = "/api/v1/networks/plant/invitations/12/"
    assert without_secrets(path) == path
