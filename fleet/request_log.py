"""One line a request: who, what, how it ended, how long it took; never a query string, a body or a header."""

import time
from typing import Any, Final

import structlog
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django_structlog import signals
from django_structlog.middlewares import RequestMiddleware

from fleet.logs import without_secrets

# Probes come every few seconds and say the same; a failed one is logged.
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# A broker asks with every message; refused logins have a line of their own (sensors/broker/refusals.py).
_BROKERS: Final = "/api/v1/broker/"


class RequestLogMiddleware(RequestMiddleware):
    """Logs each request once, when it ends, and names it in `X-Request-ID` for whoever asks about it.

    Query strings may hold what somebody pasted, so only the path is logged.
    """

    def prepare(self, request: HttpRequest) -> None:
        """Note when the request began, under an id of its own."""
        request._started_s = time.perf_counter()  # type: ignore[attr-defined]
        super().prepare(request)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """Log how the request ended."""
        response.headers["X-Request-ID"] = structlog.contextvars.get_contextvars().get("request_id", "")
        is_quiet = request.path in _QUIET and response.status_code < 400
        if is_quiet or (request.path.startswith(_BROKERS) and response.status_code in (200, 403)):
            structlog.contextvars.clear_contextvars()
            return
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Return method and path, without the secrets of links."""
        return f"{request.method} {without_secrets(request.path)}"


@receiver([signals.bind_extra_request_finished_metadata, signals.bind_extra_request_failed_metadata])
def add_duration(*, request: HttpRequest, log_kwargs: dict[str, Any], **_: Any) -> None:
    """Add how long the request took until its answer began."""
    started_s = getattr(request, "_started_s", None)
    if started_s is not None:
        log_kwargs["ms"] = round((time.perf_counter() - started_s) * 1000, 1)
