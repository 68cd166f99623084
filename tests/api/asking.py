"""Brokers that ask over HTTP: their questions, word by word, and what we answer."""

from datetime import UTC, datetime

SECRET = "b7Qk2-a secret of the broker's own, Zx91"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MQTT = "mqtt://fleet-bridge:Sldkfj2398-Sldkfj2398@broker.example.org"
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
