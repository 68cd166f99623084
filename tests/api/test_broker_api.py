"""Brokers that ask over HTTP, in the exact words of each: questions as their documentation has them, and the answers.

No such broker is installed here: these requests are what was tried (docs/brokers.md says so).
"""

import base64
import http.client
import json
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from sensors.broker import logins
from sensors.broker.rules import may_connect, may_read, may_subscribe, may_write
from sensors.models import CredentialState, SensorCredential
from sensors.services import delete_sensor, issue_credential, revoke_credential
from sensors.services.credentials import settle_credentials
from tests.api.asking import (
    ALL,
    ALLOWED,
    BROKER,
    DENIED,
    EMQX_LOGIN,
    EMQX_USE,
    GO_AUTH,
    MQTT,
    NOT_ALLOWED,
    NOW,
    OK,
    SECRET,
    VERNEMQ,
    WHICH,
    admits,
    ask_vernemq,
    emqx_login,
    vernemq_login,
)
from tests.api.callers import API, Caller
from tests.live.web import WebProcess

pytestmark = pytest.mark.usefixtures("asking")


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
    assert admits(broker, which, "fleet-bridge", "Sldkfj2398-Sldkfj2398", "fleet-publisher-0-of-1")
    assert not admits(broker, which, "fleet-bridge", "wrong", "fleet-publisher-0-of-1")
    assert not admits(broker, which, "fleet-bridge", "", "fleet-bridge-0-of-1")


def test_only_the_services_own_login_is_a_superuser(broker, login, name):
    answer = broker.post(EMQX_LOGIN, emqx_login("fleet-bridge", "Sldkfj2398-Sldkfj2398", "fleet-bridge-0-of-1"))
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


def test_while_the_database_is_away_nobody_is_admitted(tmp_path, name):
    """EMQX passes over every answer but 200; the other two take 5xx for an error, and refuse."""
    web = WebProcess(
        log=tmp_path / "web.log",
        DATABASE_URL="postgres://nobody@127.0.0.1:1/none",
        DATABASE_POOL_SIZE="0",
        MQTT_ACCOUNTS="http",
        MQTT_URL=MQTT,
        BROKER_AUTH_SECRET=SECRET,
    ).start()

    def asked(path, question, **headers):
        connection = http.client.HTTPConnection(web.host, timeout=30)
        headers = {**BROKER, "Content-Type": "application/json", **headers}
        connection.request("POST", API + path, json.dumps(question), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    try:
        assert asked(EMQX_LOGIN, emqx_login(name, "x", name)) == (200, DENIED)
        use = {"username": name, "topic": f"measurements/{name}", "action": "publish"}
        status, answer = asked(EMQX_USE, use)
        assert (status, answer["result"]) == (200, "deny")
        hook = {"vernemq-hook": "auth_on_register"}
        assert asked(VERNEMQ, vernemq_login(name, "x", name), **hook)[0] == 503
        assert asked(f"{GO_AUTH}user/", {"username": name, "password": "x", "clientid": name})[0] == 503
        question = {"username": name, "clientid": name, "topic": f"measurements/{name}", "acc": 2}
        assert asked(f"{GO_AUTH}acl/", question)[0] == 503
    finally:
        web.stop()


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


def test_the_service_login_is_that_of_mqtt_url():
    assert logins.is_service_login(str(urlsplit(MQTT).username))
    assert not logins.is_service_login("")
