"""Codes of an app besides the password, at every door."""

from urllib.parse import quote

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command

from fleet.accounts import second_factor
from fleet.accounts.links import password_link
from sensors.models import AuditEntry
from tests.accounts.people import PASSWORD, Browser, Phone, enter, fresh_address, set_by, switch_on
from tests.api.callers import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def armed(ada):
    """Return (browser, phone, recovery codes) of who has switched it on."""
    browser = enter(ada)
    return browser, *switch_on(browser)


def half_in(username: str) -> Browser:
    """Return a browser that has given the password and not the code yet."""
    browser = Browser()
    assert browser.log_in(username, next="/alerts/")["Location"] == "/login/code/"
    assert not browser.is_in
    return browser


def test_a_login_takes_the_password_and_then_the_code(ada, armed):
    _, phone, _ = armed
    browser = half_in(ada.username)
    assert "This code is wrong" in browser.post("/login/code/", {"code": phone.wrong_code}).content.decode()
    assert not browser.is_in
    assert browser.post("/login/code/", {"code": phone.code(1)})["Location"] == "/alerts/"
    assert browser.is_in


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"credential": '{"id": 5}'}, {"credential": "x"}])
def test_no_code_is_an_empty_one(ada, armed, body):
    browser = half_in(ada.username)
    page = browser.post("/login/code/", body)
    assert page.context["form"].errors == {"code": ["This field is required."]}
    assert 'name="code"' in page.content.decode()
    assert not browser.is_in


def test_the_code_that_switched_it_on_logs_nobody_in(ada):
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    phone = Phone(browser.get("/account/two-factor/").context["form"].secret)
    seen = phone.code()
    assert browser.post("/account/two-factor/", {"code": seen}).status_code == 302
    other = Browser()
    other.log_in(ada.username)
    other.post("/login/code/", {"code": seen})
    assert not other.is_in


def test_switching_it_on_ends_the_sessions_that_began_without_it(ada):
    elsewhere, browser = enter(ada), enter(ada)
    switch_on(browser)
    assert browser.is_in
    assert not elsewhere.is_in


def test_a_code_is_taken_once(ada, armed):
    _, phone, codes = armed
    code = phone.code(1)
    assert half_in(ada.username).post("/login/code/", {"code": code}).status_code == 302
    assert half_in(ada.username).post("/login/code/", {"code": code}).status_code == 200
    assert half_in(ada.username).post("/login/code/", {"code": codes[0]}).status_code == 302


def test_a_recovery_code_opens_once(ada, armed):
    _, _, codes = armed
    assert len(codes) == len(set(codes)) == 10
    assert half_in(ada.username).post("/login/code/", {"code": codes[3]}).status_code == 302
    assert half_in(ada.username).post("/login/code/", {"code": codes[3]}).status_code == 200
    assert second_factor.recovery_codes_left(ada) == 9


def test_recovery_codes_are_shown_once_and_new_ones_end_them(ada, armed):
    browser, phone, codes = armed
    again = browser.get("/account/recovery-codes/").content.decode()
    assert not any(code in again for code in codes)
    browser.confirm(code=phone.code(1))
    assert browser.post("/account/recovery-codes/new/").status_code == 302
    fresh = browser.get("/account/recovery-codes/").content.decode()
    assert fresh.count("<li>") == 10
    assert not any(code in fresh for code in codes)
    assert half_in(ada.username).post("/login/code/", {"code": codes[0]}).status_code == 200


def test_guessing_codes_is_stopped_from_all_addresses_together_and_logged(strict, ada, armed, caplog):
    _, phone, _ = armed
    # Switching it on was one of three attempts.
    assert [half_in(ada.username).post("/login/code/", {"code": phone.wrong_code}).status_code for _ in range(2)] == [
        200
    ] * 2
    last = half_in(ada.username)
    answer = last.post("/login/code/", {"code": phone.code(1)}).content.decode()
    assert "Too many attempts to give a code" in answer
    last.post("/login/code/", {"code": phone.code(1)})
    told = [record.msg for record in caplog.records if record.name == "fleet.login"]
    lines = [
        (each["username"], each["address"]) for each in told if each["event"] == "too many attempts to give a code"
    ]
    assert lines == [(ada.username, last.defaults["REMOTE_ADDR"])]
    assert phone.code(1) not in caplog.text


def test_it_works_without_redis(ada, armed, redis_away):
    _, phone, _ = armed
    code = phone.code(1)
    assert half_in(ada.username).post("/login/code/", {"code": code}).status_code == 302
    assert half_in(ada.username).post("/login/code/", {"code": code}).status_code == 200


def test_switching_it_off_ends_the_other_sessions(ada, armed):
    browser, phone, codes = armed
    elsewhere = half_in(ada.username)
    elsewhere.post("/login/code/", {"code": codes[0]})
    assert elsewhere.is_in
    browser.confirm(code=phone.code(1))
    assert browser.get("/account/two-factor/off/").status_code == 200
    assert browser.post("/account/two-factor/off/")["Location"] == "/account/"
    assert browser.is_in
    assert not elsewhere.is_in
    assert not Authenticator.objects.filter(user=ada).exists()
    assert Browser().log_in(ada.username)["Location"] == "/"


@pytest.mark.parametrize("path", ["/account/two-factor/off/", "/account/recovery-codes/new/", "/account/email/"])
def test_what_matters_asks_for_a_code_first_and_the_password_does_not_do(ada, armed, path):
    browser = enter_with(ada, armed)
    assert (
        browser.post(path, {"email": "thief@example.org"})["Location"]
        == f"/account/confirm/code/?next={quote(path, safe='')}"
    )
    assert browser.post("/account/confirm/", {"password": PASSWORD})["Location"].startswith("/account/confirm/code/")
    assert second_factor.is_on(ada)
    ada.refresh_from_db()
    assert ada.email != "thief@example.org"


def enter_with(ada, armed):
    """Return a browser that is logged in by password and code, and has confirmed nothing."""
    browser = half_in(ada.username)
    assert browser.post("/login/code/", {"code": armed[1].code(1)}).status_code == 302
    return browser


def test_switching_it_on_asks_for_the_password_first(ada):
    browser = enter(ada)
    assert browser.get("/account/two-factor/")["Location"] == "/account/confirm/?next=%2Faccount%2Ftwo-factor%2F"


def test_a_wrong_first_code_switches_nothing_on(ada):
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    browser.get("/account/two-factor/")
    assert browser.post("/account/two-factor/", {"code": "abcdef"}).status_code == 200
    assert not second_factor.is_on(ada)


def test_its_secrets_are_not_readable_in_the_database(ada, armed):
    _, phone, codes = armed
    stored = str(list(Authenticator.objects.filter(user=ada).values_list("data", flat=True)))
    assert phone.secret not in stored
    assert not any(code in stored for code in codes)


def test_its_secret_is_not_readable_before_it_is_on(ada):
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    secret = browser.get("/account/two-factor/").context["form"].secret
    assert len(secret) == 32
    assert secret not in str(dict(browser.session))
    # A wrong code changes nothing about it, the right one is of what was shown.
    again = browser.post("/account/two-factor/", {"code": Phone(secret).wrong_code})
    assert again.context["form"].secret == secret
    assert secret not in str(dict(browser.session))
    assert browser.post("/account/two-factor/", {"code": Phone(secret).code()}).status_code == 302


def test_a_first_code_without_a_secret_before_it_switches_nothing_on(ada):
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    page = browser.post("/account/two-factor/", {"code": "000000"})
    assert page.context["form"].secret not in str(dict(browser.session))
    assert not second_factor.is_on(ada)


def test_the_history_tells_of_it_without_secrets(ada, armed):
    _, phone, codes = armed
    entries = str(list(AuditEntry.objects.get_for_object(ada).values_list("changes", flat=True)))
    assert "'second factor': ['', 'on']" in entries
    assert phone.secret not in entries
    assert not any(code in entries for code in codes)


def test_the_admin_is_no_way_around_it(ada, armed):
    ada.is_staff = ada.is_superuser = True
    ada.save()
    browser = Browser()
    answer = browser.post("/admin/login/", {"username": ada.username, "password": PASSWORD})
    assert answer["Location"].startswith("/login/")
    assert browser.get("/admin/").status_code == 302
    assert half_in(ada.username).get("/admin/").status_code == 302


def test_a_reset_of_the_password_does_not_switch_it_off(ada, armed):
    ada.refresh_from_db()
    assert set_by(password_link(ada), PASSWORD + "!")["Location"] == "/password/new/done/"
    assert Browser().log_in(ada.username, PASSWORD + "!")["Location"] == "/login/code/"


class TestTokens:
    """`POST auth/token/` asks for the code as well."""

    def log_in(self, user, **body):
        return Caller().post(
            "auth/token/", {"username": user.username, "password": PASSWORD, **body}, REMOTE_ADDR=fresh_address()
        )

    def test_the_code_is_asked_for_and_taken_once(self, ada, armed):
        _, phone, _ = armed
        missing = self.log_in(ada)
        assert (missing.status_code, set(missing.json())) == (400, {"code"})
        assert self.log_in(ada, code=phone.wrong_code).status_code == 401
        code = phone.code(1)
        assert "token" in self.log_in(ada, code=code).json()
        used = self.log_in(ada, code=code)
        assert (used.status_code, used.json()) == (401, {"detail": "The code is wrong, or was used already."})

    def test_a_recovery_code_does_as_well(self, ada, armed):
        assert self.log_in(ada, code=armed[2][0]).status_code == 200
        assert self.log_in(ada, code=armed[2][0]).status_code == 401

    def test_a_wrong_password_says_nothing_of_codes(self, ada, armed):
        answer = Caller().post("auth/token/", {"username": ada.username, "password": "x"}, REMOTE_ADDR=fresh_address())
        assert answer.status_code == 401
        assert "code" not in answer.content.decode()

    def test_guessing_is_stopped(self, strict, ada, armed):
        statuses = [self.log_in(ada, code="000000").status_code for _ in range(3)]
        assert statuses == [401, 401, 429]

    def test_who_has_none_sends_none(self, ada):
        assert self.log_in(ada).status_code == 200
        assert self.log_in(ada, code="123456").status_code == 200


class TestLostPhone:
    """`manage.py reset_second_factor`."""

    def test_it_lets_the_password_alone_do_and_ends_sessions(self, ada, armed, capsys):
        browser, _, _ = armed
        call_command("reset_second_factor", ada.username)
        assert not browser.is_in
        assert Browser().log_in(ada.username)["Location"] == "/"
        assert "'off'" in str(list(AuditEntry.objects.get_for_object(ada).values_list("changes", flat=True)))

    @pytest.mark.parametrize("name", ["nobody-of-that-name", None])
    def test_it_refuses_what_makes_no_sense(self, ada, name):
        with pytest.raises(CommandError, match=r"no user|no second factor"):
            call_command("reset_second_factor", name or ada.username)


def test_a_secret_that_no_key_opens_lets_nobody_in(ada, armed, settings, caplog):
    _, phone, codes = armed
    browser = half_in(ada.username)
    Authenticator.objects.filter(user=ada).update(data={"secret": "x", "seed": "x", "used_mask": 0})
    for code in (phone.code(1), codes[0]):
        assert browser.post("/login/code/", {"code": code}).status_code == 200
    assert "sealed with another SECRET_KEY" in caplog.text
