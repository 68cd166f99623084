"""One's own sessions: seen, ended."""

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from fleet.accounts import sessions
from fleet.accounts.sessions import device_name
from tests.accounts.people import OTHER_PASSWORD, Browser, enter
from tests.api.callers import Caller, make_user

pytestmark = pytest.mark.django_db


def listed(browser):
    return browser.get("/account/").context["sessions"]


def test_one_sees_ones_own_sessions_with_device_and_address(ada):
    here, phone = enter(ada), Browser("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1")
    phone.log_in(ada.username)
    enter(make_user("other", password="correct horse battery"))
    first, second = listed(here)
    assert (first.is_current, first.device, first.address) == (True, "Firefox on Linux", here.defaults["REMOTE_ADDR"])
    assert (second.is_current, second.device) == (False, "Safari on iPhone")


def test_a_session_is_ended_by_its_owner_alone(ada):
    here, elsewhere = enter(ada), enter(ada)
    stranger = enter(make_user("other", password="correct horse battery"))
    (other,) = [each for each in listed(here) if not each.is_current]
    assert stranger.post(f"/account/sessions/{other.id}/end/").status_code == 302
    assert elsewhere.is_in
    assert here.post(f"/account/sessions/{other.id}/end/")["Location"] == "/account/"
    assert not elsewhere.is_in
    assert here.is_in
    assert "had ended already" in here.post(f"/account/sessions/{other.id}/end/", follow=True).content.decode()


def test_all_others_are_ended_at_once(ada):
    here, *others = [enter(ada) for _ in range(3)]
    answer = here.post("/account/sessions/end-others/", follow=True).content.decode()
    assert "2 other sessions ended." in answer
    assert here.is_in
    assert not any(other.is_in for other in others)


def test_another_login_than_so_many_ends_the_oldest(ada):
    oldest, second, *others = [enter(ada) for _ in range(sessions.MOST_SESSIONS)]
    assert Session.objects.count() == sessions.MOST_SESSIONS == 50
    last = enter(ada)
    assert not oldest.is_in
    assert all(browser.is_in for browser in (second, others[-1], last))
    assert len(listed(last)) == 50


def test_sessions_that_are_over_take_nobodys_place(ada, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 2)
    here = enter(ada)
    for _ in range(3):
        enter(ada).post("/logout/")
    enter(ada)
    assert here.is_in


def test_a_login_and_the_page_cost_the_same_for_many_sessions(ada):
    enter(ada)
    costs = []
    for others in (0, 19):
        browser = Browser()
        for _ in range(others):
            enter(ada)
        with CaptureQueriesContext(connection) as login:
            browser.log_in(ada.username)
        with CaptureQueriesContext(connection) as page:
            found = len(listed(browser))
        costs.append((len(login), len(page)))
    assert found == 22
    assert costs[0] == costs[1]


def test_a_session_from_before_a_change_in_the_admin_is_not_listed(ada):
    enter(ada)
    ada.set_password(OTHER_PASSWORD)
    ada.save()
    here = Browser()
    here.log_in(ada.username, OTHER_PASSWORD)
    assert [each.is_current for each in listed(here)] == [True]


@pytest.mark.parametrize("path", ["/account/sessions/1/end/", "/account/sessions/end-others/"])
def test_looking_ends_nothing(ada, path):
    assert enter(ada).get(path).status_code == 405


def test_when_a_session_was_last_seen_is_noted(ada, monkeypatch):
    browser = enter(ada)
    long_ago = timezone.now() - timedelta(days=3)
    UserSession.objects.filter(user=ada).update(last_seen_at=long_ago)
    browser.get("/rules/")
    assert UserSession.objects.get(user=ada).last_seen_at == long_ago
    monkeypatch.setattr(sessions, "SEEN_EVERY_S", 0.0)
    browser.get("/rules/")
    assert timezone.now() - UserSession.objects.get(user=ada).last_seen_at < timedelta(minutes=1)


def test_a_session_from_before_is_found_when_it_is_used(ada):
    browser = Browser()
    browser.force_login(ada)
    UserSession.objects.all().delete()
    sessions._seen = sessions._Seen()
    assert len(listed(browser)) == 0
    assert len(listed(browser)) == 1


def test_a_token_beside_a_session_is_not_the_sessions_user(ada):
    browser = Browser()
    browser.force_login(ada)
    UserSession.objects.all().delete()
    sessions._seen = sessions._Seen()
    other = Caller(make_user("other"))
    assert browser.get("/api/v1/me/", headers=other.headers).json()["username"] == other.user.username
    assert not UserSession.objects.filter(user=other.user).exists()


def test_a_session_that_was_logged_out_is_not_listed(ada):
    here, elsewhere = enter(ada), enter(ada)
    elsewhere.post("/logout/")
    assert [each.is_current for each in listed(here)] == [True]


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/126.0 Safari/537.36 Edg/126.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) Version/17.5 Safari/605.1.15", "Safari on macOS"),
        ("curl/8.5.0", "curl"),
        ("", "An unknown device"),
    ],
)
def test_a_device_is_named_in_words(user_agent, name):
    assert device_name(user_agent) == name


def test_sessions_that_are_over_are_forgotten_with_their_addresses(ada):
    here, over, ended = enter(ada), enter(ada), enter(ada)
    now = timezone.now()
    Session.objects.filter(session_key=over.session.session_key).update(expire_date=now - timedelta(seconds=1))
    Session.objects.filter(session_key=ended.session.session_key).delete()
    UserSession.objects.update(last_seen_at=now - timedelta(hours=2))
    assert sessions.forget_sessions(now=now) == 1
    assert [row.session_key for row in UserSession.objects.all()] == [here.session.session_key]
    assert Session.objects.count() == 1
    assert here.is_in


def test_a_session_of_just_now_is_kept_in_mind(ada):
    browser = enter(ada)
    Session.objects.all().delete()
    sessions.forget_sessions(now=timezone.now())
    assert UserSession.objects.filter(user=ada).count() == 1
    assert not browser.is_in
