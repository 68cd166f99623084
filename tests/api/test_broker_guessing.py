"""Guessing the passwords of sensors at a broker that asks: slowed, told, and no way to keep a sensor out."""

import time

import pytest
from structlog.testing import capture_logs

from sensors.broker import logins
from sensors.broker.refusals import LINE_EVERY_S, RefusalLog
from tests.api.asking import ALLOWED, DENIED, EMQX_LOGIN, admits, emqx_login
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("asking")


def guess(broker, name, address, number, password="wrong") -> None:
    for _ in range(number):
        assert broker.post(EMQX_LOGIN, emqx_login(name, password, name, address)).json() == DENIED


@pytest.fixture
def addresses(unique):
    """Addresses of different places, that no other test guesses from."""
    return [f"2001:db8:{unique[:4]}:{unique[4:6]}{number:02x}::1" for number in range(40)]


@pytest.fixture
def _slow_window(settings):
    # A day, so that no window ends within a test but once a day.
    settings.BROKER_LOGIN_THROTTLE = "5/day"


@pytest.mark.usefixtures("_slow_window")
def test_after_some_wrong_passwords_nobody_looks_at_the_next(broker, login, name, addresses, monkeypatch):
    guess(broker, name, addresses[0], 5)
    looked = []
    monkeypatch.setattr(logins, "_secret_of", looked.append)
    guess(broker, name, addresses[0], 1, login.password)
    assert looked == []


@pytest.mark.usefixtures("_slow_window")
def test_another_address_of_the_same_host_is_no_other_place(broker, login, name, addresses):
    place = addresses[0].removesuffix("1")
    for number in range(5):
        guess(broker, name, f"{place}{number}", 1)
    guess(broker, name, f"{place}ffff:1", 1, login.password)


@pytest.mark.usefixtures("_slow_window")
def test_who_guesses_from_elsewhere_locks_no_sensor_out(broker, login, name, addresses):
    here, *elsewhere = addresses
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, here)).json() == ALLOWED
    for address in elsewhere:
        guess(broker, name, address, 4)
    # The name's own limit is passed: from an address that is new nobody comes in any more until the window ends.
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, addresses[-1])).json() == DENIED
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, here)).json() == ALLOWED


@pytest.mark.usefixtures("_slow_window")
def test_a_list_of_names_from_one_address_is_slowed_too(broker, login, name, addresses):
    for number in range(50):
        guess(broker, f"{name}-{number}", addresses[0], 1)
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, addresses[0])).json() == DENIED
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, addresses[1])).json() == ALLOWED


@pytest.mark.usefixtures("_slow_window")
def test_without_an_address_there_is_the_names_limit_alone(broker, login, name):
    for _ in range(50):
        assert not admits(broker, "go-auth", name, "wrong", name)
    assert not admits(broker, "go-auth", name, login.password, name)


@pytest.mark.usefixtures("_slow_window")
def test_nobody_keeps_the_service_itself_out(settings, broker, unique, addresses):
    bridge = f"bridge-{unique}"
    settings.MQTT_URL = f"mqtt://{bridge}:Sldkfj2398-bridge@broker.example.org"
    for _ in range(60):
        assert not admits(broker, "go-auth", bridge, "wrong", "x")
    assert admits(broker, "go-auth", bridge, "Sldkfj2398-bridge", "fleet-bridge-0-of-1")
    # Behind a proxy that hides addresses the guesses come from where the bridge is.
    guess(broker, bridge, addresses[0], 60)
    answer = broker.post(EMQX_LOGIN, emqx_login(bridge, "Sldkfj2398-bridge", "x", addresses[0]))
    assert answer.json() == {"result": "allow", "is_superuser": True}


def test_a_limit_ends_with_its_window(settings, login, name, addresses):
    settings.BROKER_LOGIN_THROTTLE = "3/min"
    now_s = 1_800_000_000.0

    def verdict(password, at_s):
        attempt = logins.LoginAttempt(name, password, name, addresses[0])
        return logins.judge_login(attempt, now_s=at_s)

    assert [verdict("wrong", now_s) for _ in range(4)] == ["refused", "refused", "refused", "throttled"]
    assert verdict(login.password, now_s) == "throttled"
    assert verdict(login.password, now_s + 60) == "sensor"


def test_right_passwords_are_never_limited(settings, login, name, broker, addresses):
    settings.BROKER_LOGIN_THROTTLE = "3/day"
    for _ in range(40):
        assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, addresses[0])).json() == ALLOWED


@pytest.mark.usefixtures("_slow_window")
def test_without_redis_nothing_is_limited_and_nothing_fails(settings, broker, login, name, addresses):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    guess(broker, name, addresses[0], 7)
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name, addresses[0])).json() == ALLOWED


def test_a_name_that_there_is_not_costs_a_hash_as_a_wrong_password_does(broker, login, name, monkeypatch):
    hashed = []
    real = logins.HashedSecret.matches
    monkeypatch.setattr(logins.HashedSecret, "matches", lambda self, secret: hashed.append(1) or real(self, secret))
    for username, client_id in ((name, name), (f"{name}-x", f"{name}-x"), ("fleet-bridge", "x"), (name, "other")):
        before = len(hashed)
        assert not admits(broker, "go-auth", username, "wrong", client_id)
        assert len(hashed) == before + 1, username


def test_refused_logins_are_warned_of_and_counted_without_the_password(broker, login, name, monkeypatch):
    monkeypatch.setattr(logins, "refusals", RefusalLog())
    before = logins.LOGINS.labels(outcome="refused")._value.get()
    with capture_logs() as lines:
        for _ in range(3):
            broker.post(EMQX_LOGIN, emqx_login(name, "wr0ng-passw0rd", name, "198.51.100.9"))
    assert logins.LOGINS.labels(outcome="refused")._value.get() == before + 3
    refused = [line for line in lines if "refused at the broker" in line["event"]]
    assert [(line["count"], line["some"]) for line in refused] == [
        (1, [{"username": name, "client_id": name, "address": "198.51.100.9", "why": "refused"}])
    ]
    assert "wr0ng" not in str(lines)


def test_a_flood_of_refusals_is_one_line_at_a_time():
    refusals = RefusalLog()
    with capture_logs() as lines:
        for number in range(1_000):
            refusals.note(now_s=number * LINE_EVERY_S / 1_000, username=f"x{number}" * 100)
        refusals.tell(now_s=LINE_EVERY_S)
    assert [line["count"] for line in lines] == [1, 999]
    assert len(lines[1]["some"]) == 5
    assert all(len(who["username"]) == 64 for line in lines for who in line["some"])
    assert refusals.total == 1_000


def test_what_was_refused_meanwhile_is_told_though_nobody_is_refused_afterwards(monkeypatch):
    monkeypatch.setattr("sensors.broker.refusals.LINE_EVERY_S", 0.2)
    refusals = RefusalLog(reminds_itself=True)
    with capture_logs() as lines:
        for number in range(3):
            refusals.note(now_s=time.monotonic(), username=f"x{number}")
        wait_until(lambda: sum(line["count"] for line in lines) == 3, 10, "the rest to be told")
    assert [line["count"] for line in lines] == [1, 2]
