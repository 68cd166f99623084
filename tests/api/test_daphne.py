"""What only the real server shows: bodies in chunks, threads, async views."""

import http.client
import json
import secrets
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from sensors import services
from sensors.models import User
from tests.live.web import WebProcess


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any) -> Iterator[SimpleNamespace]:
    """Return a daphne with two pooled connections, and the token of somebody."""
    with django_db_blocker.unblock():
        user = User.objects.create_user(f"caller-{secrets.token_hex(5)}")
        _, token = services.create_token(user, name="test", days=1)
        web = WebProcess(log=tmp_path_factory.mktemp("web") / "log", DATABASE_POOL_SIZE="2").start()
        yield SimpleNamespace(web=web, token=token, user=user)
        web.stop()
        connection.close()


def send(server: SimpleNamespace, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    """Return status and body of the answer to one request on a connection of its own."""
    caller = http.client.HTTPConnection("127.0.0.1", server.web.port, timeout=20)
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    caller.request(method, f"/api/v1/{path}", body, headers, **options)
    answer = caller.getresponse()
    text = answer.read()
    caller.close()
    return answer.status, json.loads(text)


def test_a_body_may_come_in_chunks_of_unknown_number(server: SimpleNamespace) -> None:
    slug = f"n-{secrets.token_hex(5)}"
    parts = iter([b'{"slug": ', json.dumps(slug).encode(), b', "name": "In pieces"}'])

    status, body = send(server, "POST", "networks/", parts, encode_chunked=True)

    assert (status, body["slug"], body["name"]) == (201, slug, "In pieces")


def test_a_body_in_chunks_has_the_same_limit_as_any(server: SimpleNamespace) -> None:
    parts = (b" " * 65_536 for _ in range(40))

    status, body = send(server, "POST", "networks/", parts, encode_chunked=True)

    assert status == 413
    assert "2097152" in body["detail"]


def test_an_empty_body_in_chunks_is_empty(server: SimpleNamespace) -> None:
    status, body = send(server, "POST", "networks/", iter([]), encode_chunked=True)

    assert (status, list(body)) == (400, ["slug"])


def test_more_callers_than_database_connections_are_all_served(server: SimpleNamespace) -> None:
    answers: list[tuple[int, Any]] = []
    callers = [
        threading.Thread(target=lambda: answers.extend(send(server, "GET", "me/") for _ in range(5))) for _ in range(12)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert [(status, body.get("username")) for status, body in answers] == [(200, server.user.username)] * 60


def test_views_of_the_event_loop_are_served_as_well(server: SimpleNamespace) -> None:
    status, body = server.web.get("/healthz")
    assert status == 200
    # No bridge, worker or beat runs here.
    status, body = server.web.get("/readyz")
    assert (status, "bridge" in body) == (503, True)
