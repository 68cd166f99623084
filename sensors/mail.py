"""Mail to people, and links to pages of the service."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest

logger = logging.getLogger(__name__)

# One at a time: mail is rare, and a server that hangs holds one thread.
_sender: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")
# What may wait for a mail server that hangs, ten seconds each: who asked for more has long given up.
MOST_WAITING: Final = 100
_room: Final = threading.BoundedSemaphore(MOST_WAITING)


def is_configured() -> bool:
    """Return whether there is a mail server at all."""
    return bool(settings.MAIL_IS_CONFIGURED)


def link(path: str, request: HttpRequest | None = None) -> str:
    """Return the address of a page: at PUBLIC_URL, else at the host that was asked for, else without one."""
    if settings.PUBLIC_URL:
        return f"{settings.PUBLIC_URL}{path}"
    return path if request is None else request.build_absolute_uri(path)


def send_soon(message: EmailMessage) -> None:
    """Send it in the background, so that nobody waits for a mail server; what fails is logged without its text."""
    if not _room.acquire(blocking=False):
        logger.error("mail %r was not sent: %d wait for the mail server", message.subject, MOST_WAITING)
        return
    _sender.submit(_send, message).add_done_callback(_make_room)


def send_text(to: str, *, subject: str, text: str) -> None:
    """Send a text soon to one address; a line break in `subject`, which people may have written, becomes a space."""
    send_soon(EmailMessage(subject=" ".join(subject.split()), body=text, to=[to]))


def _send(message: EmailMessage) -> None:
    try:
        message.send()
    except Exception as error:  # noqa: BLE001 - whatever a mail server does, the service goes on
        logger.error("mail %r was not sent: %s", message.subject, type(error).__name__)


def _make_room(_: Future[None]) -> None:
    _room.release()
