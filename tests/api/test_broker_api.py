"""Brokers that ask over HTTP, in the exact words of each: questions as their documentation has them, and the answers.

No such broker is installed here: these requests are what was tried (docs/brokers.md says so).
"""

import base64
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from sensors.broker import logins
from sensors.broker.refusals import LINE_EVERY_S, RefusalLog
from sensors.broker.rules import may_connect, may_read, may_subscribe, may_write
from sensors.models import CredentialState, Sensor, SensorCredential
from sensors.services import create_sensor, delete_sensor, issue_credential, revoke_credential
from sensors.services.credentials import Login, settle_credentials
from tests.api.callers import Caller

SECRET = "b7Qk2-a secret of the broker's own, Zx91"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MQTT = "mqtt://fleet-bridge:Sldkfj2398-bridge@broker.example.org"
BROKER = {"Authorization": f"Bearer {SECRET}"}

EMQX_LOGIN = "broker/emqx/authentication/"
EMQX_USE = "broker/emqx/authorization/"
VERNEMQ = "broker/vernemq/"
GO_AUTH = "broker/mosquitto-go-auth/"
ALL = (EMQX_LOGIN, EMQX_USE, VERNEMQ, f"{GO_AUTH}user/", f"{GO_AUTH}superuser/", f"{GO_AUTH}acl/")

ALLOWED = {"result": "allow", "is_superuser": False}
DENIED = {"result": "deny", "is_superuser": False}
OK = {"result": "ok"}
NOT_ALLOWED = {"result": {"error": "not_allowed"}}


@pytest.fixture(autouse=True)
def _asked(settings):
    settings.MQTT_ACCOUNTS = "http"
    settings.BROKER_AUTH_SECRET = SECRET
    settings.MQTT_URL = MQTT


@pytest.fixture
def name(unique) -> str:
    """An identifier that no other test guesses passwords of."""
    return f"s-{unique}"


@pytest.fixture
def sensor(world, name) -> Sensor:
    return create_sensor(world.network, identifier=name)


@pytest.fixture
def login(sensor) -> Login:
    return issue_credential(sensor, author=None, now=NOW)


@pytest.fixture
def broker(db) -> Caller:
    return Caller(**BROKER)


def emqx_login(username, password, client_id, address="198.51.100.7"):
    return {"username": username, "password": password, "clientid": client_id, "peerhost": address}


def vernemq_login(username, password, client_id):
    return {
        "peer_addr": "198.51.100.7", "peer_port": 8888, "username": username, "password": password, "mountpoint": "",
        "client_id": client_id, "clean_session": False,
    }  # fmt: skip


def ask_vernemq(broker, hook, question):
    return broker.send("POST", VERNEMQ, question, headers={"vernemq-hook": hook})


def admits(broker, which, username, password, client_id) -> bool:
    """Return what one of the three is told of a login; every answer has the form of a yes or of a no."""
    if which == "emqx":
        answer = broker.post(EMQX_LOGIN, emqx_login(username, password, client_id))
        assert answer.status_code == 200
        assert answer.json()["result"] in ("allow", "deny")
        return answer.json()["result"] == "allow"
    if which.startswith("auth_on_register"):
        answer = ask_vernemq(broker, which, vernemq_login(username, password, client_id))
        assert answer.json() in (OK, NOT_ALLOWED)
        return answer.json() == OK
    question = {"username": username, "password": password, "clientid": client_id}
    answer = broker.post(f"{GO_AUTH}user/", question)
    assert (answer.status_code, answer.json()["ok"]) in ((200, True), (403, False))
    return answer.status_code == 200


WHICH = ("emqx", "auth_on_register", "auth_on_register_m5", "go-auth")


@pytest.mark.parametrize("which", WHICH)
def test_a_sensor_comes_in_with_its_own_password_and_client_id_alone(broker, login, name, which):
    assert admits(broker, which, name, login.password, name)
    for username, password, client_id in [
        (name, "wrong", name),
        (name, "", name),
        (name, None, name),
        (name, login.password, "fleet-bridge-0-of-1"),
        (name, login.password, ""),
        (f"{name}-x", login.password, f"{name}-x"),
        ("", "", ""),
        (None, None, "x"),
        (name.upper(), login.password, name),
    ]:
        assert not admits(broker, which, username, password, client_id), (username, password, client_id)


@pytest.mark.parametrize("which", WHICH)
def test_the_services_own_login_comes_in_as_who_may_everything(broker, which):
    assert admits(broker, which, "fleet-bridge", "Sldkfj2398-bridge", "fleet-publisher-0-of-1")
    assert not admits(broker, which, "fleet-bridge", "wrong", "fleet-publisher-0-of-1")
    assert not admits(broker, which, "fleet-bridge", "", "fleet-bridge-0-of-1")


def test_only_the_services_own_login_is_a_superuser(broker, login, name):
    answer = broker.post(EMQX_LOGIN, emqx_login("fleet-bridge", "Sldkfj2398-bridge", "fleet-bridge-0-of-1"))
    assert answer.json() == {"result": "allow", "is_superuser": True}
    assert broker.post(EMQX_LOGIN, emqx_login(name, login.password, name)).json() == ALLOWED
    superuser = f"{GO_AUTH}superuser/"
    assert broker.post(superuser, {"username": "fleet-bridge"}).json() == {"ok": True, "error": ""}
    answer = broker.post(superuser, {"username": name})
    assert (answer.status_code, answer.json()["ok"]) == (403, False)


@pytest.mark.parametrize("which", WHICH)
def test_a_rotated_or_revoked_credential_lets_nobody_in_from_that_moment(broker, sensor, login, name, which):
    second = issue_credential(sensor, author=None, now=NOW)
    assert not admits(broker, which, name, login.password, name)
    assert admits(broker, which, name, second.password, name)
    revoke_credential(sensor, author=None, now=NOW)
    assert not admits(broker, which, name, second.password, name)


def test_who_was_revoked_may_use_no_topic_though_the_connection_is_open(broker, sensor, login, name):
    question = {"username": name, "topic": f"measurements/{name}", "action": "publish"}
    assert broker.post(EMQX_USE, question).json() == {"result": "allow"}
    revoke_credential(sensor, author=None, now=NOW)
    assert broker.post(EMQX_USE, question).json() == {"result": "deny"}


def test_nothing_waits_for_a_broker_that_asks(world, sensor, name):
    path = f"sensors/{name}/credential/"
    assert world.operator.post(path, {}).json()["state"] == "active"
    assert SensorCredential.objects.get().sealed_secret == ""
    assert world.operator.delete(path).status_code == 204
    assert world.operator.get(path).json()["state"] == "revoked"
    delete_sensor(sensor)
    assert settle_credentials(now=NOW) == 1
    assert not SensorCredential.objects.exists()


def test_what_was_on_its_way_to_another_broker_is_settled(settings, sensor, broker, name):
    settings.MQTT_ACCOUNTS = "dynamic-security"
    login = issue_credential(sensor, author=None, now=NOW)
    settings.MQTT_ACCOUNTS = "http"
    assert settle_credentials(now=NOW) == 1
    stored = SensorCredential.objects.get()
    assert (stored.state, stored.sealed_secret) == (CredentialState.ACTIVE, "")
    assert admits(broker, "emqx", name, login.password, name)


# Topic or filter, and whether the sensor "s" may write to it, be delivered it, subscribe to it.
TOPICS = [
    ("measurements/s", True, False, False),
    ("heartbeats/s", True, False, False),
    ("log-messages/s", True, False, False),
    ("configurations/s", False, True, True),
    ("$share/group/configurations/s", False, False, True),
    ("$queue/configurations/s", False, False, True),
    ("measurements/t", False, False, False),
    ("measurements/s/x", False, False, False),
    ("measurements", False, False, False),
    ("measurements/", False, False, False),
    ("Measurements/s", False, False, False),
    ("/measurements/s", False, False, False),
    ("configurations/t", False, False, False),
    ("configurations/+", False, False, False),
    ("configurations/s/#", False, False, False),
    ("configurations/#", False, False, False),
    ("+/s", False, False, False),
    ("#", False, False, False),
    ("$SYS/#", False, False, False),
    ("$CONTROL/dynamic-security/v1", False, False, False),
    ("fleet/watermark/0-of-1", False, False, False),
    ("$share/group/#", False, False, False),
    ("$share/group/configurations/t", False, False, False),
    ("$share/configurations/s", False, False, False),
    ("$share//configurations/s", False, False, False),
    ("$share/+/configurations/s", False, False, False),
    ("$share/a/$share/b/configurations/s", False, False, False),
    ("$delayed/1/measurements/s", False, False, False),
    ("", False, False, False),
]


@pytest.mark.parametrize(("topic", "writes", "reads", "subscribes"), TOPICS)
def test_a_sensor_reaches_its_own_topics_only(topic, writes, reads, subscribes):
    assert (may_write("s", topic), may_read("s", topic), may_subscribe("s", topic)) == (writes, reads, subscribes)


def test_a_client_id_is_the_identifier_and_an_identifier_is_of_its_form():
    assert may_connect("s", "s")
    assert not may_connect("s", "S")
    assert not may_connect("", "")
    assert not may_connect("a/#", "a/#")


def test_the_three_are_told_the_same_of_every_topic(broker, login, name):
    for pattern, writes, reads, subscribes in TOPICS:
        topic = pattern.replace("/s", f"/{name}").replace(f"$/{name}", "$s")
        if not topic:
            continue
        # `$share` has an s after its slash, too.
        topic = topic.replace(f"${name}hare", "$share")
        for action, allowed in (("publish", writes), ("subscribe", subscribes)):
            answer = broker.post(EMQX_USE, {"username": name, "clientid": name, "topic": topic, "action": action})
            assert answer.json() == {"result": "allow" if allowed else "deny"}, (topic, action)
        for acc, allowed in ((1, reads), (2, writes), (3, reads and writes), (4, subscribes)):
            answer = broker.post(f"{GO_AUTH}acl/", {"username": name, "clientid": name, "topic": topic, "acc": acc})
            assert answer.status_code == (200 if allowed else 403), (topic, acc)
        for suffix in ("", "_m5"):
            question = {
                "username": name, "client_id": name, "mountpoint": "", "qos": 1, "topic": topic,
                "payload": "aGVsbG8=", "retain": False,
            }  # fmt: skip
            answer = ask_vernemq(broker, f"auth_on_publish{suffix}", question).json()
            assert answer == (OK if writes else NOT_ALLOWED), topic
            question = {
                "client_id": name, "mountpoint": "", "username": name, "topics": [{"topic": topic, "qos": 1}],
            }  # fmt: skip
            answer = ask_vernemq(broker, f"auth_on_subscribe{suffix}", question).json()
            assert answer == (OK if subscribes else NOT_ALLOWED), topic


def test_the_service_may_use_every_topic(broker):
    for topic in ("#", "$SYS/#", "configurations/x"):
        question = {"username": "fleet-bridge", "topic": topic, "action": "subscribe"}
        assert broker.post(EMQX_USE, question).json() == {"result": "allow"}
        answer = broker.post(f"{GO_AUTH}acl/", {"username": "fleet-bridge", "topic": topic, "acc": 4})
        assert answer.status_code == 200


def test_of_several_filters_vernemq_is_told_which_are_refused(broker, login, name):
    own = f"configurations/{name}"
    topics = [{"topic": own, "qos": 1}, {"topic": "#", "qos": 1}]
    question = {"client_id": name, "mountpoint": "", "username": name, "topics": topics}
    assert ask_vernemq(broker, "auth_on_subscribe", question).json() == {
        "result": "ok", "topics": [{"topic": own, "qos": 1}, {"topic": "#", "qos": 128}]
    }  # fmt: skip
    assert ask_vernemq(broker, "auth_on_subscribe_m5", {**question, "properties": {}}).json() == {
        "result": "ok", "modifiers": {"topics": [{"topic": own, "qos": 1}, {"topic": "#", "qos": 135}]}
    }  # fmt: skip


def test_a_hook_that_asks_nothing_is_no_question(broker, login, name):
    for hook in ("on_publish", "", "auth_on_register_m5_m5", "auth_on_register_m6"):
        answer = ask_vernemq(broker, hook, vernemq_login(name, login.password, name))
        assert answer.status_code == 400
        assert list(answer.json()) == ["vernemq-hook"]


# --- The broker itself -------------------------------------------------------------------------------


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("path", ALL)
def test_only_who_has_the_secret_may_ask(broker, world, path):
    for header in (
        None, "Bearer", "Bearer wrong", f"Bearer {SECRET}x", f"Bearer {SECRET[:-1]}", f"Token {SECRET}", "Bearer ä",
        basic(f"{SECRET}:"), basic("x:wrong"), basic(SECRET), "Basic ???", world.staff.headers["Authorization"],
    ):  # fmt: skip
        answer = Caller(**({"Authorization": header} if header else {})).post(path, {})
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer"), header
        assert SECRET not in answer.content.decode()
    # As the address of an endpoint, for brokers that can send no header of their own.
    assert Caller(Authorization=basic(f"fleet:{SECRET}")).post(path, {}).status_code not in (401, 404)


@pytest.mark.parametrize("path", ALL)
def test_a_service_without_a_secret_answers_no_broker(settings, db, path):
    settings.BROKER_AUTH_SECRET = ""
    for header in (BROKER["Authorization"], "Bearer ", "Bearer", basic("x:")):
        assert Caller(Authorization=header).post(path, {}).status_code == 404


# --- What cannot be answered -------------------------------------------------------------------------


@pytest.fixture
def _no_database(db):
    def away(*_):
        raise OperationalError("the database is away")

    with connection.execute_wrapper(away):
        yield


@pytest.mark.usefixtures("_no_database")
def test_while_the_database_is_away_nobody_is_admitted(broker, name):
    """EMQX passes over every answer but 200; the other two take 5xx for an error, and refuse."""
    assert broker.post(EMQX_LOGIN, emqx_login(name, "x", name)).json() == DENIED
    question = {"username": name, "topic": f"measurements/{name}", "action": "publish"}
    answer = broker.post(EMQX_USE, question)
    assert (answer.status_code, answer.json()["result"]) == (200, "deny")
    assert ask_vernemq(broker, "auth_on_register", vernemq_login(name, "x", name)).status_code == 503
    assert broker.post(f"{GO_AUTH}user/", {"username": name, "password": "x", "clientid": name}).status_code == 503
    question = {"username": name, "clientid": name, "topic": f"measurements/{name}", "acc": 2}
    assert broker.post(f"{GO_AUTH}acl/", question).status_code == 503


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"username": ["s"]}', b'{"username": "s\\u0000"}', b'{"username": "\\ud800"}']
)
def test_a_question_that_makes_no_sense_is_refused_in_the_words_of_each(broker, body):
    for path in (EMQX_LOGIN, EMQX_USE):
        answer = broker.post(path, body)
        assert (answer.status_code, answer.json()["result"]) == (200, "deny"), path
    for path in (f"{GO_AUTH}user/", f"{GO_AUTH}acl/"):
        assert broker.post(path, body).status_code in (400, 403), path
    answer = broker.send("POST", VERNEMQ, body, headers={"vernemq-hook": "auth_on_register"})
    assert answer.status_code == 400 or answer.json() == NOT_ALLOWED


def test_a_wrong_template_is_named_in_the_log(broker):
    with capture_logs() as lines:
        broker.post(EMQX_USE, {"username": "s", "topic": "t"})
    assert ["action" in line["why"] for line in lines if "why" in line] == [True]


def requests_in_log(ask) -> list[str]:
    with capture_logs() as lines:
        ask()
    return [line["request"] for line in lines if line["event"] == "request_finished"]


def test_what_a_broker_asks_with_every_message_fills_no_log(broker, login, name):
    acl = {"username": name, "clientid": name, "topic": "measurements/other", "acc": 2}
    assert requests_in_log(lambda: broker.post(f"{GO_AUTH}acl/", acl)) == []
    assert requests_in_log(lambda: broker.post(EMQX_LOGIN, emqx_login(name, login.password, name))) == []
    # Whoever has not the secret is in the log, and so is a question that makes no sense.
    assert len(requests_in_log(lambda: Caller(Authorization="Bearer x").post(EMQX_LOGIN, {}))) == 1
    assert len(requests_in_log(lambda: broker.post(f"{GO_AUTH}acl/", {}))) == 1


# --- Guessing ----------------------------------------------------------------------------------------


def guess(broker, name, address, number, password="wrong") -> None:
    for _ in range(number):
        assert broker.post(EMQX_LOGIN, emqx_login(name, password, name, address)).json() == DENIED


@pytest.fixture
def addresses(unique):
    """Addresses that no other test guesses from."""
    return [f"2001:db8:{unique[:4]}:{unique[4:8]}::{number:x}" for number in range(40)]


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
    # From one address it can be guessed no faster than another.
    guess(broker, bridge, addresses[0], 5)
    answer = broker.post(EMQX_LOGIN, emqx_login(bridge, "Sldkfj2398-bridge", "x", addresses[0]))
    assert answer.json() == DENIED


def test_a_limit_ends_with_its_window(settings, login, name, addresses):
    settings.BROKER_LOGIN_THROTTLE = "3/min"
    now_s = 1_800_000_000.0

    def verdict(password, at_s):
        attempt = logins.Login(name, password, name, addresses[0])
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


def test_the_service_login_is_that_of_mqtt_url():
    assert logins.is_service_login(str(urlsplit(MQTT).username))
    assert not logins.is_service_login("")
