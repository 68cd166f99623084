"""People and programs that use the API in tests."""

import functools
import itertools
import json
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from django.utils import timezone

from sensors import services
from sensors.models import AccessToken, Membership, Network, Role, User

_numbers = itertools.count(1)
API = "/api/v1/"


@functools.cache
def handler() -> ClientHandler:
    """Return what all callers talk to: a middleware looks for all static files whenever it is made."""
    made = ClientHandler(enforce_csrf_checks=True)
    made.load_middleware()
    return made


class Caller:
    """A client with a user's token. Paths are relative to /api/v1/; bodies are sent and read as JSON."""

    def __init__(self, user: User | None = None, **headers: str) -> None:
        self.user = user
        self.client = Client()
        self.client.handler = handler()
        self.headers = dict(headers)
        if user is not None:
            token, self.token = services.create_token(user, name="test", days=1)
            # Its first use would write its row: tests count what their own requests cost.
            AccessToken.objects.filter(pk=token.pk).update(last_used_at=timezone.now())
            self.headers["Authorization"] = f"Bearer {self.token}"

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> HttpResponse:
        """Return the response; `body` is JSON unless it is bytes or text already."""
        address = path if path.startswith(("/", "http")) else API + path
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        headers = {**self.headers, **options.pop("headers", {})}
        options.setdefault("content_type", "application/json")
        return self.client.generic(method, address, body or "", headers=headers, **options)

    def get(self, path: str, **options: Any) -> HttpResponse:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self.send("POST", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> HttpResponse:
        return self.send("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> HttpResponse:
        return self.send("DELETE", path, **options)


def listed(caller: Caller, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return the results on the first page of a list."""
    answer = caller.get(f"{path}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def make_user(name: str = "user", *, password: str | None = None, **fields: Any) -> User:
    """Return a user with a name of its own."""
    return User.objects.create_user(f"{name}-{next(_numbers)}", password=password, **fields)


def make_network(slug: str = "net", **members: Role) -> tuple[Network, dict[str, User]]:
    """Return a network and its members: `make_network(ada=Role.OWNER)`."""
    network = services.create_network(slug=f"{slug}-{next(_numbers)}", owner=None)
    users = {}
    for name, role in members.items():
        users[name] = make_user(name)
        Membership.objects.create(network=network, user=users[name], role=role)
    return network, users
