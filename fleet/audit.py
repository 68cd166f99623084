"""Who is behind a change: hands the request's user to the audit log."""

from collections.abc import Callable

from auditlog.context import set_actor
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject


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
        actor = SimpleLazyObject(lambda: request.user)
        with set_actor(actor=actor, remote_addr=request.META.get("REMOTE_ADDR") or None):
            return self.get_response(request)
