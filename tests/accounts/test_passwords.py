"""Changing a password, and setting one by a link."""

import pytest
from django.test import Client

from fleet.accounts.adapter import AccountAdapter
from fleet.accounts.links import password_link
from sensors.models import AuditEntry, User
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, Browser, enter, link_in, mailed, set_by

pytestmark = pytest.mark.django_db


def change(browser: Client, old: str = PASSWORD, new: str = OTHER_PASSWORD):
    return browser.post("/password/", {"oldpassword": old, "password1": new, "password2": new})


def ask_for_link(email: str, browser: Client | None = None):
    return (browser or Browser()).post("/password/forgotten/", {"email": email})


def test_a_change_keeps_this_session_and_ends_the_others(ada):
    here, elsewhere = enter(ada), enter(ada)
    assert change(here)["Location"] == "/password/done/"
    assert here.is_in
    assert not elsewhere.is_in
    assert len(here.get("/account/").context["sessions"]) == 1
    assert Browser().log_in(ada.username, PASSWORD).status_code == 200
    assert Browser().log_in(ada.username, OTHER_PASSWORD).status_code == 302


def test_a_change_undoes_nothing_that_staff_changed_meanwhile(ada):
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    as_a_page_knows_her = User.objects.get(pk=ada.pk)
    User.objects.filter(pk=ada.pk).update(is_active=False, is_staff=False, email="new@example.org")
    AccountAdapter().set_password(as_a_page_knows_her, OTHER_PASSWORD)
    now = User.objects.get(pk=ada.pk)
    assert (now.is_active, now.is_staff, now.email) == (False, False, "new@example.org")
    assert now.check_password(OTHER_PASSWORD)


def test_a_change_needs_the_old_password(ada):
    browser = enter(ada)
    assert "This is not your password." in change(browser, old="wrong").content.decode()
    assert Browser().log_in(ada.username).status_code == 302


def test_guessing_the_old_password_is_stopped(strict, ada):
    browser = Browser()
    browser.force_login(ada)
    for _ in range(3):
        change(browser, old="wrong")
    assert "Too many attempts" in change(browser).content.decode()


@pytest.mark.parametrize("new", ["short", "12345678901234", "password1234"])
def test_a_weak_password_is_refused(ada, new):
    browser = enter(ada)
    answer = change(browser, new=new)
    assert answer.status_code == 200
    assert answer.context["form"].errors["password1"]


def test_the_page_says_what_the_settings_ask_of_a_password(ada, settings):
    validators = "django.contrib.auth.password_validation"
    settings.AUTH_PASSWORD_VALIDATORS = [
        {"NAME": f"{validators}.MinimumLengthValidator", "OPTIONS": {"min_length": 14}}
    ]
    page = enter(ada).get("/password/").content.decode()
    assert "at least 14 characters" in page
    assert "entirely numeric" not in page


def test_a_link_by_mail_sets_a_password_once_and_ends_all_sessions(ada):
    elsewhere = enter(ada)
    assert ask_for_link(ada.email.upper())["Location"] == "/password/forgotten/sent/"
    (message,) = mailed()
    assert message.to == [ada.email]
    assert ada.username in message.body
    path = link_in(message.body)
    assert set_by(path)["Location"] == "/password/new/done/"
    assert not elsewhere.is_in
    assert Browser().log_in(ada.username, OTHER_PASSWORD).status_code == 302
    assert "does not work any more" in set_by(path).content.decode()


def test_the_history_says_that_who_has_the_link_did_it(ada):
    set_by(password_link(ada))
    entries = AuditEntry.objects.get_for_object(ada).order_by("pk")
    made, used = entries[len(entries) - 2 :]
    assert made.actor is None
    assert (used.actor, used.actor_name, list(used.changes)) == (ada, ada.username, ["password"])


def test_a_reset_says_the_same_whether_there_is_such_an_address(ada):
    known, unknown = ask_for_link(ada.email), ask_for_link(f"not-{ada.email}")
    assert (known.status_code, known["Location"], known.content) == (
        unknown.status_code, unknown["Location"], unknown.content,
    )  # fmt: skip
    assert [message.to for message in mailed()] == [[ada.email]]


def test_many_requests_are_stopped_for_known_and_unknown_addresses_alike(strict, ada, caplog):
    said = {}
    for email in (ada.email, f"not-{ada.email}"):
        browser = Browser()
        answers = [ask_for_link(email, browser) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [302, 302, 302, 200]
        said[email] = "Too many attempts to reset a password" in answers[-1].content.decode()
    assert set(said.values()) == {True}
    lines = [record.getMessage() for record in caplog.records if record.name == "fleet.login"]
    assert len(lines) == 2
    assert ada.email in lines[0]


def test_nobodys_mail_is_filled_from_many_addresses(strict, ada):
    answers = [ask_for_link(ada.email).status_code for _ in range(4)]
    assert answers == [302, 302, 302, 200]
    assert [message.to for message in mailed()] == [[ada.email]] * 3


def test_a_link_goes_to_the_present_address_only(ada):
    before = ada.email
    ada.email = f"new-{before}"
    ada.save()
    ask_for_link(before)
    ask_for_link(ada.email)
    assert [message.to for message in mailed()] == [[ada.email]]


def test_a_link_ends_with_the_address_that_it_went_to(ada):
    path = password_link(ada)
    ada.email = "new@example.org"
    ada.save()
    assert "does not work any more" in set_by(path).content.decode()


def test_an_inactive_user_gets_no_link(ada):
    ada.is_active = False
    ada.save()
    ask_for_link(ada.email)
    assert mailed() == []


def test_links_in_mail_lead_to_the_public_address(ada, settings):
    settings.PUBLIC_URL = "https://fleet.example.org"
    ask_for_link(ada.email)
    assert "https://fleet.example.org/password/new/" in mailed()[0].body


def test_without_mail_the_page_says_whom_to_ask(ada, settings):
    settings.MAIL_IS_CONFIGURED = False
    page = Browser().get("/password/forgotten/").content.decode()
    assert "An administrator can make you a link" in page
    assert "<form" not in page


def test_asking_for_a_link_works_without_redis(ada, redis_away):
    assert ask_for_link(ada.email).status_code == 302
    assert len(mailed()) == 1


def test_a_mail_server_that_fails_is_nobodys_error(ada, settings, caplog):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert ask_for_link(ada.email)["Location"] == "/password/forgotten/sent/"
    assert mailed() == []
    assert "was not sent: ConnectionRefusedError" in caplog.text
    assert "/password/new/" not in caplog.text


def test_the_log_has_no_links(ada, caplog):
    caplog.set_level("INFO")
    path = password_link(ada)
    set_by(path)
    key = path.split("/")[-2]
    assert key not in caplog.text
    assert "/password/new/…/" in caplog.text


@pytest.mark.parametrize("look_alike", ["m\u0131ke@site.example", "mike@s\u0131te.example"])
def test_an_address_that_only_looks_alike_gets_no_link(ada, look_alike):
    # In capital letters they are the same to the database: a dotless i in a domain is a domain of its own.
    ada.email = "mike@site.example"
    ada.save()
    ask_for_link(look_alike)
    assert mailed() == []
