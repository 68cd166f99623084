"""Logging in and out over the pages."""

import pytest
from django.core.cache import cache

from tests.accounts.people import PASSWORD, Browser, enter, switch_on
from tests.api.callers import make_user

pytestmark = pytest.mark.django_db


def test_a_login_leads_to_the_page_that_was_wanted(ada):
    browser = Browser()
    wanted = browser.get("/alerts/")["Location"]
    assert wanted == "/login/?next=/alerts/"
    page = browser.get(wanted).content.decode()
    assert 'name="next" value="/alerts/"' in page
    assert browser.log_in(ada.username, next="/alerts/")["Location"] == "/alerts/"
    assert browser.is_in


def test_who_may_not_see_a_page_is_told_so_and_not_sent_back_and_forth(ada):
    browser = enter(ada)
    answer = browser.get("/admin/", follow=True)
    assert answer.status_code == 200
    assert "may not see that page" in answer.content.decode()


def test_who_is_logged_in_logs_in_as_somebody_who_has_a_second_factor(ada):
    phone, _ = switch_on(enter(ada))
    browser = enter(make_user("other", password=PASSWORD))
    assert browser.log_in(ada.username, next="/alerts/")["Location"] == "/login/code/"
    assert not browser.is_in
    assert browser.post("/login/code/", {"code": phone.code(1)})["Location"] == "/alerts/"
    assert browser.get("/api/v1/me/").json()["username"] == ada.username


def test_a_wrong_password_of_somebody_else_logs_nobody_out(ada):
    browser = enter(ada)
    assert browser.log_in("somebody-else").status_code == 200
    assert browser.is_in


def test_logging_out_ends_the_session(ada):
    browser = enter(ada)
    assert browser.post("/logout/")["Location"] == "/login/"
    assert not browser.is_in


def test_guessing_is_stopped_and_logged_once_without_the_password(strict, ada, caplog):
    browser = Browser()
    for number in range(6):
        answer = browser.log_in(ada.username, f"guess-{number}")
    assert "Too many attempts to log in" in answer.content.decode()
    assert "Too many" in browser.log_in(ada.username, PASSWORD).content.decode()
    told = [record.msg for record in caplog.records if record.name == "fleet.login"]
    lines = [(each["username"], each["address"]) for each in told if each["event"] == "too many attempts to log in"]
    assert lines == [(ada.username, browser.defaults["REMOTE_ADDR"])]
    assert "guess-" not in caplog.text


def test_an_inactive_user_looks_like_a_wrong_password(ada):
    ada.is_active = False
    ada.save()
    right = Browser().log_in(ada.username)
    assert right.status_code == 200
    assert "Please enter a correct username and password." in right.content.decode()


class TestWithoutRedis:
    @pytest.fixture(autouse=True)
    def _away(self, redis_away):
        with pytest.raises(Exception, match=r"Error|refused"):
            cache.get("anything")

    def test_logging_in_and_out_works(self, ada):
        browser = enter(ada)
        assert browser.is_in
        assert browser.post("/logout/").status_code == 302

    def test_guessing_is_still_stopped(self, strict, ada):
        browser = Browser()
        for _ in range(3):
            browser.log_in(ada.username, "wrong")
        assert "Too many attempts" in browser.log_in(ada.username).content.decode()
