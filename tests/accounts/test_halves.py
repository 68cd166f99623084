"""What is changed about an account, its entry in the history and the end of its sessions: all of it or nothing."""

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command

from fleet.accounts import second_factor, views
from fleet.accounts.links import password_link
from sensors.models import AuditEntry, User
from tests.accounts.people import OTHER_PASSWORD, PASSWORD, Browser, Phone, enter, set_by, switch_on

pytestmark = pytest.mark.django_db


class FailureError(Exception):
    """The process is gone."""


def fail(*_args, **_options):
    raise FailureError


@pytest.fixture
def endless(monkeypatch):
    """No session can be ended."""
    monkeypatch.setattr(views, "end_sessions", fail)
    monkeypatch.setattr(second_factor, "end_sessions", fail)


@pytest.fixture
def confirmed(ada):
    """Return a browser of ada that has just shown who it is."""
    browser = enter(ada)
    browser.confirm(password=PASSWORD)
    return browser


@pytest.fixture
def armed(ada):
    """Return a browser of ada with a second factor that has just shown who it is, and the recovery codes."""
    browser = enter(ada)
    phone, codes = switch_on(browser)
    browser.confirm(code=phone.code(1))
    return browser, codes


def test_a_password_stays_where_sessions_do(ada, endless):
    browser = enter(ada)
    with pytest.raises(FailureError):
        browser.post("/password/", {"oldpassword": PASSWORD, "password1": OTHER_PASSWORD, "password2": OTHER_PASSWORD})
    assert User.objects.get(pk=ada.pk).check_password(PASSWORD)


def test_a_link_for_a_password_stays_good_where_sessions_stay(ada, endless):
    with pytest.raises(FailureError):
        set_by(password_link(ada))
    assert User.objects.get(pk=ada.pk).check_password(PASSWORD)


def test_a_second_factor_is_not_on_where_sessions_from_before_stay(ada, confirmed, endless):
    phone = Phone(confirmed.get("/account/two-factor/").context["form"].secret)
    with pytest.raises(FailureError):
        confirmed.post("/account/two-factor/", {"code": phone.code()})
    assert not second_factor.is_on(ada)
    assert not recorded(ada)


def test_a_second_factor_is_not_off_where_sessions_stay(ada, armed, monkeypatch):
    browser, _ = armed
    monkeypatch.setattr(views, "end_sessions", fail)
    with pytest.raises(FailureError):
        browser.post("/account/two-factor/off/")
    assert second_factor.is_on(ada)
    assert recorded(ada) == ["on"]


def test_a_reset_by_staff_can_be_repeated_when_sessions_stayed(ada, endless):
    Authenticator.objects.create(user=ada, type=Authenticator.Type.TOTP, data={"secret": "x"})
    with pytest.raises(FailureError):
        call_command("reset_second_factor", ada.username)
    assert second_factor.is_on(ada)
    assert not recorded(ada)


def test_recovery_codes_stay_where_the_history_does_not_tell_of_new_ones(ada, armed, monkeypatch):
    browser, codes = armed
    monkeypatch.setattr(second_factor, "audit", fail)
    with pytest.raises(FailureError):
        browser.post("/account/recovery-codes/new/")
    other = Browser()
    other.log_in(ada.username)
    assert other.post("/login/code/", {"code": codes[0]}).status_code == 302


def test_the_history_tells_of_no_address_that_was_not_stored(ada, confirmed, monkeypatch):
    monkeypatch.setattr(User, "_do_update", fail)
    before = AuditEntry.objects.count()
    with pytest.raises(FailureError):
        confirmed.post("/account/email/", {"email": "other@example.org"})
    assert AuditEntry.objects.count() == before


def recorded(user):
    """Return what the history tells of the second factor, oldest first."""
    changes = AuditEntry.objects.get_for_object(user).order_by("pk").values_list("changes", flat=True)
    return [each["second factor"][1] for each in changes if "second factor" in each]
