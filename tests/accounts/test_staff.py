"""What staff do for people in the admin: a first password, a lost phone."""

import re

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.urls import reverse

from fleet.accounts import second_factor
from sensors.models import User
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, Browser, enter, link_in, mailed, set_by, switch_on
from tests.api.callers import make_user

pytestmark = pytest.mark.django_db
USERS = "/admin/sensors/user/"


@pytest.fixture
def office():
    """Return a browser of a superuser."""
    browser = Browser()
    browser.force_login(User.objects.create_superuser("root"))
    return browser


@pytest.fixture
def clerk():
    """Return a browser of staff who may change users and are no superuser."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    browser = Browser()
    browser.force_login(user)
    return browser


def act(browser, action, *users, **answer):
    body = {"action": action, "_selected_action": [user.pk for user in users], **answer}
    return browser.post(USERS, body, follow=True).content.decode()


def test_a_new_user_needs_no_password_thought_up(office, django_capture_on_commit_callbacks):
    assert 'value="false" ' in office.get(f"{USERS}add/").content.decode()
    body = {"username": "grace", "email": "grace@example.org", "usable_password": "false"}
    with django_capture_on_commit_callbacks(execute=True):
        page = office.post(f"{USERS}add/", body, follow=True).content.decode()
        assert mailed() == []
    (message,) = mailed()
    path = link_in(message.body)
    assert message.to == ["grace@example.org"]
    assert path in page
    assert path not in office.get(USERS).content.decode()
    assert set_by(path)["Location"] == "/password/new/done/"
    assert Browser().log_in("grace", OTHER_PASSWORD).status_code == 302


def test_a_link_is_made_for_who_is_there_already(office, ada):
    page = act(office, "send_password_link", ada)
    found = re.search(r"/password/new/[^/\s<]+/", page)
    assert found is not None
    assert set_by(found[0])["Location"] == "/password/new/done/"
    assert Browser().log_in(ada.username, OTHER_PASSWORD).status_code == 302


def test_an_inactive_user_gets_no_link(office, ada):
    ada.is_active = False
    ada.save()
    page = act(office, "send_password_link", ada)
    assert "is inactive" in page
    assert "/password/new/" not in page


def test_a_second_factor_is_ended_with_the_sessions(office, ada):
    browser = enter(ada)
    switch_on(browser)
    assert "logs in with the password alone now" in act(office, "end_second_factor", ada, confirmed="yes")
    assert not second_factor.is_on(ada)
    assert not browser.is_in
    assert "had no second factor" in act(office, "end_second_factor", ada, confirmed="yes")


def test_a_second_factor_is_ended_after_a_question(office, ada):
    browser = enter(ada)
    switch_on(browser)
    page = act(office, "end_second_factor", ada)
    assert "Switch off the second factor of these users?" in page
    assert f"<li>{ada.username}</li>" in page
    sent = dict(re.findall(r'<input type="hidden" name="(action|confirmed|_selected_action)" value="([^"]+)"', page))
    assert sent == {"action": "end_second_factor", "_selected_action": str(ada.pk), "confirmed": "yes"}
    assert second_factor.is_on(ada)
    assert browser.is_in


@pytest.mark.parametrize("action", ["send_password_link", "end_second_factor"])
def test_who_is_no_superuser_does_it_for_ordinary_users_only(clerk, ada, action):
    boss = make_user("boss", is_superuser=True, is_staff=True, password=PASSWORD)
    colleague = make_user("colleague", is_staff=True, password=PASSWORD)
    for user in (boss, colleague):
        switch_on(enter(user))
    page = act(clerk, action, boss, colleague, ada, confirmed="yes")
    for user in (boss, colleague):
        assert f"Only a superuser may do this with {user.username}" in page
        assert second_factor.is_on(user)
    assert page.count("/password/new/") == (1 if action == "send_password_link" else 0)


def test_the_admin_shows_who_has_one_and_no_secrets(office, ada):
    phone, codes = switch_on(enter(ada))
    assert office.get(USERS).context["cl"].result_list.get(pk=ada.pk).has_two_factor
    of_users = (USERS, f"{USERS}{ada.pk}/change/", f"{USERS}{ada.pk}/history/")
    for path in (*of_users, "/admin/sensors/auditentry/", "/api/v1/audit-log/"):
        answer = office.get(path)
        assert (answer.status_code, ada.username in answer.content.decode()) == (200, True), path
        assert not [each for each in (phone.secret, *codes) if each in answer.content.decode()], path
    for name in ("mfa/authenticator", "account/emailaddress", "usersessions/usersession"):
        assert office.get(f"/admin/{name}/").status_code == 404


def test_the_page_of_users_costs_the_same_for_many(office, ada, django_assert_max_num_queries):
    office.get(reverse("admin:sensors_user_changelist"))
    for _ in range(10):
        make_user("more")
    with django_assert_max_num_queries(12):
        office.get(reverse("admin:sensors_user_changelist"))


class TestCommand:
    """`manage.py password_link`."""

    def test_it_prints_a_link_that_works(self, ada, capsys, settings):
        settings.PUBLIC_URL = "https://fleet.example.org"
        call_command("password_link", ada.username)
        assert set_by(link_in(capsys.readouterr().out))["Location"] == "/password/new/done/"

    def test_it_refuses_who_is_not_there_or_inactive(self, ada):
        with pytest.raises(CommandError, match="no user"):
            call_command("password_link", "nobody-of-that-name")
        ada.is_active = False
        ada.save()
        with pytest.raises(CommandError, match="inactive"):
            call_command("password_link", ada.username)
