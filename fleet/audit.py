"""Who is behind a change: hands the request's user, token and address to the audit log."""

from collections.abc import Callable

from auditlog.context import set_extra_data
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from sensors.addresses import client_address
from sensors.models import User


class ActorMiddleware:
    """Names the request's user as the actor of every audited change made while it is served.

    The user is looked up when a change is recorded, not before: REST callers are known only after their
    token was read, which happens inside the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return self.get_response(request)
        # Looked up when they are needed, hence functions of the request and not its values.
        behind = {
            "actor": SimpleLazyObject(lambda: request.user),
            "actor_name": lambda: _username(request),
            "token_name": lambda: _token_name(request),
            "remote_addr": client_address(request) or None,
        }
        with set_extra_data(behind):
            return self.get_response(request)


def _username(request: HttpRequest) -> str:
    return request.user.get_username()


def _token_name(request: HttpRequest) -> str:
    user = request.user
    limits = user.limits if isinstance(user, User) else None
    return "" if limits is None else limits.name
