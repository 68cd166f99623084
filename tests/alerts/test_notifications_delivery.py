"""How a notification leaves: to which addresses, within which time, and what is never said of it."""

import logging
import socket
import threading
import time

import pytest
import requests
from django.db import connection

from alerts.delivery import keys, urls
from alerts.delivery.guard import ForbiddenAddress, Guard
from alerts.delivery.hosts import is_allowed
from alerts.delivery.message import Message, compose_test
from alerts.delivery.send import SendError, send
from alerts.models import NotificationTarget
from alerts.services import update_target
from sensors.errors import Invalid
from tests.alerts.making import at, deliver, feed, make_target, make_threshold
from tests.alerts.receiver import receiving

MESSAGE = Message("Plant: 1 firing", "FIRING (critical): Hot & <wet>, boiler-1", "critical")
SLACK = "slack://T0FLEET00/B0FLEET00/aBcDeFgHiJkLmNoPqRsTuVwX/"


# --- Addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1", "::10.0.0.1",
        "2002:7f00:1::1", "localhost", "", "127.1", "0x7f000001",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address):
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed(address):
    assert is_allowed(address)


def test_what_the_setting_names_is_allowed_and_its_neighbours_are_not(settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["10.1.0.0/16", "192.168.1.7", "fd00::/8"]
    allowed = ["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd00::1", "8.8.8.8"]
    refused = ["10.2.0.1", "192.168.1.8", "fe80::1", "127.0.0.1"]
    assert [is_allowed(address) for address in (*allowed, *refused)] == [True] * 5 + [False] * 4


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/x", "json://localhost/x", "jsons://[::1]:8443/x", "json://10.0.0.1", "form://192.168.0.1/",
        "json://169.254.169.254/latest/meta-data", "gotify://127.0.0.1/AbCdEfGhIjKlMnO", "ntfy://127.0.0.1/topic",
        "mailto://u:p@127.0.0.1?from=a@example.org&to=b@example.org",
        "mailto://u:p@gmail.com?smtp=127.0.0.1&from=a@example.org&to=b@example.org",
        "json://2130706433/x", "json://0x7f.1/x", "json://[::ffff:10.0.0.1]/x",
    ],
)  # fmt: skip
def test_an_address_whose_host_is_not_public_is_refused_when_it_is_saved(url):
    with pytest.raises(Invalid) as caught:
        urls.check_url(url)
    assert caught.value.field == "url"
    assert not any(character.isdigit() for character in caught.value.detail)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "begins with"),
        ("https://hooks.slack.com/services/T0FLEET00/B0FLEET00/aBcDeFgHiJkLmNoPqRsTuVwX", "begins with"),
        ("file:///etc/passwd", "begins with"),
        ("syslog://", "begins with"),
        ("dbus://", "begins with"),
        ("mqtt://127.0.0.1/topic", "begins with"),
        ("slack://", "complete"),
        ("json://", "complete"),
        (SLACK + "?template=/etc/passwd", "template"),
        (SLACK + "?Template=file:///etc/passwd", "template"),
        ("mailto://u:p@example.org?pgp=encrypt&pgppub=/etc/passwd", "pgp"),
        ("json://no-such-host.invalid/hook-SECRET", "host"),
        ("json://example.org/" + "x" * 2_000, "2000"),
        ("json://example.org/\x00", "NUL"),
    ],
)
def test_what_is_no_address_of_an_allowed_kind_is_refused_without_repeating_it(url, says):
    with pytest.raises(Invalid, match=says) as caught:
        urls.check_url(url)
    assert caught.value.field == "url"
    assert "SECRET" not in caught.value.detail


def test_a_service_with_a_host_of_its_own_is_taken_without_a_look_up():
    assert urls.check_url(SLACK) == "slack"
    assert urls.check_url("tgram://123456789:AbCdEfGhIjKlMnOpQrStUvWxYz012345678/12345") == "tgram"


# --- The guard at the connection -----------------------------------------------------------------------


def test_a_server_that_redirects_elsewhere_leads_nowhere(receiver):
    with receiving("127.0.0.2") as secret:
        receiver.status, receiver.location = 307, f"http://127.0.0.2:{secret.port}/internal"
        # A client that follows, inside the guard: ended where it would connect.
        with Guard(time_s=5) as guard, pytest.raises(requests.ConnectionError):
            requests.post(f"http://127.0.0.1:{receiver.port}/", json={}, timeout=5)
        assert guard.refused == "127.0.0.2"
        # The delivery itself does not follow at all, so that no redirect passes for a success.
        with pytest.raises(SendError, match="status 307"):
            send(receiver.url(), MESSAGE)
        with pytest.raises(SendError, match="status 307"):
            send(receiver.url() + "?redirect=yes", MESSAGE)
        assert secret.paths == []
    assert len(receiver.paths) == 3


def test_a_name_that_leads_elsewhere_by_now_is_refused_at_the_connection(receiver, settings, monkeypatch):
    settings.NOTIFICATION_PRIVATE_TARGETS = []
    real = socket.getaddrinfo

    # What a name server with a short memory does: public when it is asked first, this machine afterwards.
    def rebound(host, *arguments, **options):
        return real("127.0.0.1" if host == "hook.example.org" else host, *arguments, **options)

    monkeypatch.setattr(urls, "addresses_of", lambda host: ["93.184.216.34"])
    url = f"json://hook.example.org:{receiver.port}/"
    assert urls.check_url(url) == "json"
    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    with pytest.raises(SendError, match="the host is not public"):
        send(url, MESSAGE)
    assert receiver.messages == []
    # Control: with this machine allowed the same message arrives.
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.0/8"]
    send(url, MESSAGE)
    assert len(receiver.messages) == 1


def test_mail_is_guarded_as_well(settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SendError, match="not public"):
            send(f"mailto://u:p@127.0.0.1:{port}?from=a@example.org&to=b@example.org", MESSAGE)


def test_the_guard_minds_nothing_outside_its_block_and_its_thread():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with Guard(time_s=5) as guard:
            with pytest.raises(ForbiddenAddress):
                socket.create_connection(address, timeout=2)
            outcome: list[str] = []

            def connect() -> None:
                socket.create_connection(address, timeout=2).close()
                outcome.append("connected")

            thread = threading.Thread(target=connect)
            thread.start()
            thread.join(5)
            assert (outcome, guard.refused) == (["connected"], "127.0.0.1")
        socket.create_connection(address, timeout=2).close()


def test_names_local_sockets_and_datagrams_are_refused_too(tmp_path):
    with Guard(time_s=5):
        for family, kind, call in [
            (socket.AF_INET, socket.SOCK_STREAM, lambda sock: sock.connect(("localhost", 9))),
            (socket.AF_INET, socket.SOCK_STREAM, lambda sock: sock.connect_ex(("127.0.0.1", 9))),
            (socket.AF_INET6, socket.SOCK_STREAM, lambda sock: sock.connect(("::1", 9))),
            (socket.AF_UNIX, socket.SOCK_STREAM, lambda sock: sock.connect(str(tmp_path / "socket"))),
            (socket.AF_INET, socket.SOCK_DGRAM, lambda sock: sock.sendto(b"x", ("127.0.0.1", 9))),
            (socket.AF_INET, socket.SOCK_DGRAM, lambda sock: sock.sendmsg([b"x"], [], 0, ("127.0.0.1", 9))),
        ]:
            with socket.socket(family, kind) as sock, pytest.raises(ForbiddenAddress):
                call(sock)


def test_a_server_that_never_answers_is_left_within_the_time_limit(receiver):
    receiver.gate.clear()
    started = time.monotonic()
    with pytest.raises(SendError, match=r"not sent within 0\.5 s"):
        send(receiver.url(), MESSAGE, time_s=0.5)
    assert time.monotonic() - started < 5
    receiver.gate.set()


# --- Sending --------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_is(receiver):
    send(receiver.url(), MESSAGE)
    (message,) = receiver.messages
    assert (message["title"], message["message"], message["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


def test_what_an_address_asks_for_changes_neither_attempts_nor_what_counts_as_a_failure(receiver):
    receiver.status = 500
    with pytest.raises(SendError, match="status 500"):
        send(receiver.url() + "?retry=5&wait=0.01&optional=yes", MESSAGE)
    assert len(receiver.messages) == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("json://user:PASSWORD@127.0.0.1:1/hook-SECRET", "The server refused the connection."),
        ("json://user:PASSWORD@no-such-host.invalid/hook-SECRET", "The host's name cannot be resolved."),
        ("slack://SECRET", "The address is not a complete one any more; set it again."),
    ],
)
def test_an_error_says_what_happened_and_nothing_of_the_address(url, says, settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    with pytest.raises(SendError) as caught:
        send(url, MESSAGE)
    assert str(caught.value) == says


# --- Keys and secrets -----------------------------------------------------------------------------------


def test_keys_are_rotated_without_losing_an_address(settings):
    first = keys.encrypt("slack://old")
    settings.NOTIFICATION_KEYS = ["a" * 40]
    second = keys.encrypt("slack://new")
    assert keys.decrypt(first) == "slack://old"
    settings.NOTIFICATION_KEYS = ["b" * 40, "a" * 40]
    assert (keys.decrypt(first), keys.decrypt(second)) == ("slack://old", "slack://new")
    third = keys.rotate(second)
    settings.NOTIFICATION_KEYS = ["b" * 40]
    assert keys.decrypt(third) == "slack://new"
    with pytest.raises(keys.Unreadable):
        keys.decrypt(second)
    settings.SECRET_KEY = "another one" * 10
    with pytest.raises(keys.Unreadable):
        keys.decrypt(first)


@pytest.mark.django_db
def test_the_address_is_encrypted_at_rest(network, receiver):
    target = make_target(network, receiver.url())
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(target)::text, encrypted_url FROM alerts_notificationtarget AS target")
        row, stored = cursor.fetchone()
    assert not any(secret in row for secret in ("PASSWORD", "hook-SECRET", "127.0.0.1"))
    assert keys.decrypt(stored) == receiver.url()
    update_target(target, url=receiver.url("other"), now=at(5))
    target.refresh_from_db()
    assert (keys.decrypt(target.encrypted_url), target.url_changed_at) == (receiver.url("other"), at(5))
    assert target.address == "json://…"
    assert NotificationTarget.objects.count() == 1


@pytest.fixture
def every_line():
    """Return what the service's log would hold at its lowest level; pytest's own fixture also reads what is muted."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, keep = logging.getLogger(), Keep(level=1)
    level = root.level
    root.addHandler(keep)
    root.setLevel(1)
    yield lines
    root.removeHandler(keep)
    root.setLevel(level)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [204, 503])
def test_no_log_line_of_any_level_holds_the_address(sensor, receiver, every_line, capfd, status):
    receiver.status = status
    make_target(sensor.network, receiver.url())
    make_threshold(sensor.network)
    feed(sensor, [(1, 51.0)], now_s=1)
    deliver(11)
    with pytest.raises(Invalid):
        urls.check_url("json://user:PASSWORD@127.0.0.2/hook-SECRET")
    assert len(receiver.messages) == 1
    assert any("were not taken" in line for line in every_line) is (status == 503)
    said = "\n".join([*every_line, *capfd.readouterr()])
    assert not any(secret in said for secret in ("PASSWORD", "hook-SECRET"))


def test_the_test_message_says_what_it_is():
    message = compose_test("Duty", network="Plant\nhall")
    assert (message.title, message.body) == ("Plant hall: a test", "This is how alerts will reach “Duty”.")
