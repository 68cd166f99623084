"""Structured logs of every process: one line an event on stderr, JSON in production."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

Event = MutableMapping[str, Any]

# Keys whose values never reach a log line, wherever they come from.
SECRET_KEYS = frozenset({"password", "token", "authorization", "cookie", "secret", "secret_key", "x-api-key"})


# Whoever has the rest of these paths may do what the link is for; numbers are those of the API.
_SECRET_PATH: Final = re.compile(r"(/invitations/(?!\d+/)|/password/new/(?!done/))[^/\s]+")


def without_secrets(text: str) -> str:
    """Return a path, or a text with addresses in it, without the secrets of links."""
    return _SECRET_PATH.sub(r"\1…", text)


def hide_links(record: logging.LogRecord) -> bool:
    """Let the record pass, without the secrets of links among its arguments."""
    if isinstance(record.args, tuple):
        record.args = tuple(without_secrets(each) if isinstance(each, str) else each for each in record.args)
    return True


def leave_out_traceback(record: logging.LogRecord) -> bool:
    """Let the record pass, as one line."""
    record.exc_info = None
    return True


def hide_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Return the event with the values of secret keys replaced."""
    for key in event:
        if key.lower() in SECRET_KEYS:
            event[key] = "hidden"
    return event


# Asked every second by supervisors and monitors; what they are told is in the answer.
PROBES: Final = ("GET /healthz", "GET /readyz", "GET /metrics")


def leave_out_probes(_logger: Any, _method: str, event: Event) -> Event:
    """Drop the request log's lines about probes."""
    if str(event.get("request", "")).startswith(PROBES):
        raise structlog.DropEvent
    return event


def configure(options: dict[str, Any]) -> None:
    """Send the standard library's and structlog's events through one formatter.

    options: `level` (a name of the logging module) and `json` (False: one readable line for a console).
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    final: Any = structlog.dev.ConsoleRenderer(
        # Without the values of variables, among which are passwords and tokens.
        colors=False,
        exception_formatter=structlog.dev.plain_traceback,
    )
    if options["json"]:
        shared.append(structlog.processors.format_exc_info)
        final = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            leave_out_probes,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, final],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(options["level"])
    # The request log tells of every answer, and of a defect with its traceback.
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    # Anybody can ask for another host; the line says which, and where ALLOWED_HOSTS lacks one it is worth having.
    logging.getLogger("django.security.DisallowedHost").addFilter(leave_out_traceback)
    # It names the paths of forms that were refused; the reason is worth a line.
    logging.getLogger("django.security.csrf").addFilter(hide_links)
    # Their own lines repeat what the request log says, or tell of every task of every second.
    for name in (
        "daphne.http_protocol",
        "django.channels.server",
        "celery.worker.strategy",
        "celery.app.trace",
        "celery.beat",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
