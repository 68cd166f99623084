"""Logging in and out, sessions, limits of attempts."""

import ipaddress
import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sensors import services
from sensors.addresses import origin
from sensors.models import AccessToken
from tests.accounts.people import fresh_address
from tests.api.callers import Caller, make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _fast_passwords(settings):
    """Hashes that cost nothing: not their strength is tested here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def address():
    """An address that nobody else uses: attempts to log in are counted by it."""
    return fresh_address()


@pytest.fixture
def user():
    return make_user("ada", password=PASSWORD)


def log_in(address, username, password=PASSWORD, **options):
    body = {"username": username, "password": password}
    return Caller().post("auth/token/", body, REMOTE_ADDR=address, **options)


def test_a_login_gives_a_token_that_works_until_it_expires(user, address, settings):
    answer = log_in(address, user.username)
    assert answer.status_code == 200
    assert set(answer.json()) == {"token", "expires_at"}
    left = parse_datetime(answer.json()["expires_at"]) - timezone.now()
    assert timedelta(days=settings.TOKEN_DAYS - 1) < left <= timedelta(days=settings.TOKEN_DAYS)
    caller = Caller(Authorization=f"Bearer {answer.json()['token']}")
    assert caller.get("me/").json()["username"] == user.username
    assert Caller(Authorization=f"bearer {answer.json()['token']}").get("me/").status_code == 200
    AccessToken.objects.update(expiry=timezone.now())
    assert caller.get("me/").status_code == 401


def test_only_the_hash_of_a_token_is_stored(user):
    row, secret = services.create_token(user, days=None)
    assert len(secret) == 64
    stored = str(AccessToken.objects.filter(pk=row.pk).values().get())
    assert secret not in stored


def test_a_wrong_login_does_not_say_what_was_wrong(user, address):
    wrong_password = log_in(address, user.username, "wrong")
    wrong_name = log_in(address, "nobody-of-that-name")
    user.is_active = False
    user.save()
    inactive = log_in(address, user.username)
    assert wrong_password.status_code == wrong_name.status_code == inactive.status_code == 401
    assert wrong_password.json() == wrong_name.json() == inactive.json()
    assert wrong_password["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"username", "password"}),
        ({"username": "ada", "password": ""}, {"password"}),
        ({"username": "ada", "password": "x" * 5000}, {"password"}),
        ({"username": "nul\x00", "password": "x"}, {"username"}),
        ({"username": "ada", "password": "x", "next": "/"}, {"next"}),
        ({"username": ["ada"], "password": {"x": 1}}, {"username", "password"}),
    ],
)
def test_what_is_wrong_about_a_login_is_named(body, fields, address):
    answer = Caller().post("auth/token/", body, REMOTE_ADDR=address)
    assert answer.status_code == 400
    assert set(answer.json()) == fields


def test_a_password_is_taken_with_its_blanks(address):
    user = make_user(password="  blanks count  ")
    assert log_in(address, user.username, "  blanks count  ").status_code == 200
    assert log_in(address, user.username, "blanks count").status_code == 401


def test_logging_out_ends_this_token_alone(user):
    one, other = Caller(user), Caller(user)
    assert one.post("auth/logout/").status_code == 204
    assert one.get("me/").status_code == 401
    assert other.get("me/").status_code == 200


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer a b", "Bearer wrong", "Bearer " + "0" * 64, "Bearer \xff\xfe", "Bearer a\x00b"],
)
def test_a_bad_token_is_401(header):
    answer = Caller(Authorization=header).get("me/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert list(answer.json()) == ["detail"]


@pytest.mark.parametrize("header", ["Token x", "Basic YTpi"])
def test_other_schemes_count_as_no_login(header):
    assert Caller(Authorization=header).get("me/").status_code == 401


def test_a_token_of_an_inactive_user_is_worth_nothing(user):
    caller = Caller(user)
    user.is_active = False
    user.save()
    assert caller.get("me/").status_code == 401


def test_a_request_with_a_token_costs_one_query_for_it(user, django_assert_num_queries):
    caller = Caller(user)
    for _ in range(5):
        services.create_token(user, days=1)
    with django_assert_num_queries(2):
        assert caller.get("me/").status_code == 200


def test_me_tells_the_roles_by_network(world):
    assert world.operator.get("me/").json() == {
        "username": world.operator.user.username,
        "is_staff": False,
        "memberships": [{"network": world.network.slug, "role": "operator"}],
        "token": {
            "name": "test",
            "scope": "admin",
            "expires_at": AccessToken.objects.get(user=world.operator.user).expiry.isoformat().replace("+00:00", "Z"),
        },
    }
    assert world.staff.get("me/").json()["is_staff"] is True


class TestSession:
    """A browser's session: reads are free, writes need the CSRF token."""

    @pytest.fixture
    def browser(self, world):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(world.operator.user)
        return browser

    def test_reads_need_no_csrf_token(self, browser):
        assert browser.get("/api/v1/me/").status_code == 200

    def test_a_write_without_a_csrf_token_is_403(self, browser, world):
        body = json.dumps({"identifier": "csrf", "network": world.network.slug})
        answer = browser.post("/api/v1/sensors/", body, content_type="application/json")
        assert answer.status_code == 403
        assert "CSRF" in answer.json()["detail"]

    def test_a_write_with_it_succeeds(self, browser, world):
        browser.get("/login/")
        token = "x" * 32
        browser.cookies["csrftoken"] = token
        body = json.dumps({"identifier": "csrf", "network": world.network.slug})
        answer = browser.post("/api/v1/sensors/", body, content_type="application/json", headers={"X-CSRFToken": token})
        assert answer.status_code == 201

    def test_logging_out_ends_the_session(self, browser):
        browser.cookies["csrftoken"] = "x" * 32
        headers = {"X-CSRFToken": "x" * 32}
        answer = browser.post("/api/v1/auth/logout/", content_type="application/json", headers=headers)
        assert answer.status_code == 204
        assert browser.get("/api/v1/me/").status_code == 401

    def test_a_login_needs_no_csrf_token_even_with_a_session(self, browser, address):
        user = make_user(password=PASSWORD)
        body = json.dumps({"username": user.username, "password": PASSWORD})
        answer = browser.post("/api/v1/auth/token/", body, content_type="application/json", REMOTE_ADDR=address)
        assert answer.status_code == 200


@pytest.fixture
def strict(settings):
    rates = {"caller": "12000/min", "login": "3/h"}
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}


def test_guessing_passwords_is_stopped_for_that_name_and_address(strict, user, address):
    assert [log_in(address, user.username, "wrong").status_code for _ in range(3)] == [401] * 3
    answer = log_in(address, user.username)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 3600
    assert log_in(fresh_address(), user.username).status_code == 200
    assert log_in(address, make_user(password=PASSWORD).username).status_code == 200


def test_who_guesses_is_named_in_the_log_and_the_password_is_not(strict, user, address, caplog):
    for _ in range(4):
        log_in(address, user.username, "tell-nobody-1234")
    log_in(fresh_address(), "nobody\nroot", "tell-nobody-1234")
    lines = [record for record in caplog.records if record.name == "fleet.login"]
    assert {record.levelname for record in lines} == {"WARNING"}
    told = [(record.msg["event"].rpartition(": ")[2], record.msg["username"]) for record in lines]
    wrong = "the name or the password is wrong, or the user inactive"
    assert told == [
        *[(wrong, user.username)] * 3,
        ("too many attempts to log in", user.username),
        (wrong, "nobody\nroot"),
    ]
    assert [record.msg["address"] for record in lines[:4]] == [address] * 4
    assert "tell-nobody" not in caplog.text


def test_a_login_that_succeeds_is_no_warning(user, address, caplog):
    assert log_in(address, user.username).status_code == 200
    assert not [record for record in caplog.records if record.name == "fleet.login"]


def test_upper_case_does_not_buy_more_attempts(strict, address):
    names = ["ada", "ADA", " ada", "Ada"]
    assert [log_in(address, name, "wrong").status_code for name in names] == [401, 401, 401, 429]


def test_many_names_from_one_address_are_stopped_too(strict, address):
    statuses = [log_in(address, f"name-{number}", "wrong").status_code for number in range(31)]
    assert statuses == [401] * 30 + [429]


def test_another_ipv6_address_of_the_same_host_buys_no_more_attempts(strict, user, address):
    place = ipaddress.ip_network((int(ipaddress.ip_address(address)), 64), strict=False)
    assert [log_in(str(place[number]), user.username, "wrong").status_code for number in range(4)] == [401] * 3 + [429]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("no address", "no address"),
        (None, ""),
    ],
)
def test_what_an_address_is_counted_as(address, counted):
    assert origin(address) == counted


def test_the_login_page_shares_the_limit(strict, user, address):
    for _ in range(3):
        log_in(address, user.username, "wrong")
    browser = Client()
    answer = browser.post("/login/", {"username": user.username, "password": PASSWORD}, REMOTE_ADDR=address)
    assert answer.status_code == 200
    assert "Too many attempts" in answer.content.decode()
    answer = browser.post("/admin/login/", {"username": user.username, "password": PASSWORD}, REMOTE_ADDR=address)
    assert answer["Location"] == "/login/?next=%2Fadmin%2F"


class TestCreateToken:
    """`manage.py create_token`."""

    def run(self, *arguments):
        out = StringIO()
        call_command("create_token", *arguments, stdout=out)
        return out.getvalue()

    def test_it_prints_a_token_that_works(self, user):
        token = self.run("--user", user.username).strip()
        assert Caller(Authorization=f"Bearer {token}").get("me/").status_code == 200
        assert AccessToken.objects.get().expiry is None

    def test_it_prints_json(self, user):
        body = json.loads(self.run("--user", user.username, "--name", "ci", "--days", "3", "--json"))
        assert set(body) == {"token", "expires_at"}
        assert body["expires_at"].endswith("Z")
        assert AccessToken.objects.get().name == "ci"

    @pytest.mark.parametrize("days", ["0", "-1", "99999999999"])
    def test_it_refuses_senseless_days(self, user, days):
        with pytest.raises(CommandError, match="days"):
            self.run("--user", user.username, "--days", days)

    def test_it_refuses_unknown_and_inactive_users(self, user):
        with pytest.raises(CommandError, match="no user"):
            self.run("--user", "missing")
        user.is_active = False
        user.save()
        with pytest.raises(CommandError, match="inactive"):
            self.run("--user", user.username)
        assert AccessToken.objects.count() == 0
