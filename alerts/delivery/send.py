"""Sends one message to one address, within a time limit, to allowed addresses only."""

import logging
import re
import threading
from typing import Final

import structlog
from apprise import Apprise, NotifyFormat, NotifyType

from alerts.delivery.guard import Guard
from alerts.delivery.message import Message
from alerts.delivery.urls import ASSET, service_of

log = structlog.get_logger(__name__)

# For connecting and for each answer. The services answer in less than one; a mail server may greet late.
NETWORK_TIMEOUT_S: Final = 10.0
# For everything, with names to look up and a server that answers a byte at a time.
DELIVERY_TIMEOUT_S: Final = 30.0

_TYPES: Final = {
    "critical": NotifyType.FAILURE,
    "warning": NotifyType.WARNING,
    "info": NotifyType.INFO,
    "resolved": NotifyType.SUCCESS,
}
# What libraries say may quote the address, so nothing of it is repeated: it is looked through for these, in order.
_REASONS: Final = (
    (re.compile(r"NameResolutionError|Name or service not known|name resolution|nodename nor servname"),
     "The host's name cannot be resolved."),
    (re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"), "The server's certificate is not valid."),
    (re.compile(r"SSLError|SSL:|ssl\."), "No TLS with the server."),
    (re.compile(r"Connection refused"), "The server refused the connection."),
    (re.compile(r"No route to host|Network is unreachable"), "There is no way to the server."),
    (re.compile(r"timed out|TimeoutError|Timeout"), f"The server did not answer within {NETWORK_TIMEOUT_S:g} s."),
    (re.compile(r"\(535,|Authentication|authentication"), "The server refused the login."),
    (re.compile(r"SMTP recipient .* was refused"), "The mail server refused a recipient."),
    (re.compile(r"Connection reset|Connection aborted|RemoteDisconnected|unexpectedly closed"),
     "The server ended the connection."),
)  # fmt: skip
_STATUS: Final = re.compile(r"error=(\d{3})\b")


class SendError(Exception):
    """The message was not taken; the text says why and holds nothing of the address."""


def send(url: str, message: Message, *, time_s: float = DELIVERY_TIMEOUT_S) -> None:
    """Send `message` to `url`; returns when the server has taken it. Raises SendError.

    In a thread of its own, which may be left behind: there is no other way to end a name's look-up. It can then
    connect to nothing any more, and what was connected is ended.
    """
    outcome: list[str] = []
    guard = Guard(time_s=time_s)

    def work() -> None:
        try:
            with guard:
                outcome.append(_attempt(url, message))
        except Exception as error:  # noqa: BLE001 - one service's defect is one target's failure
            outcome.append(f"It could not be sent: {type(error).__name__}.")

    thread = threading.Thread(target=work, name="notification", daemon=True)
    thread.start()
    thread.join(time_s)
    is_late = thread.is_alive()
    guard.end()
    # Also what was taken at the last moment was taken.
    if outcome and not outcome[0]:
        return
    if guard.refused:
        log.warning("a notification would have gone to a forbidden address", address=guard.refused)
        raise SendError("It was not sent: the host is not public.")
    # What a library says of a connection that was ended here is no reason.
    raise SendError(f"It was not sent within {time_s:g} s." if is_late or not outcome else outcome[0])


def _attempt(url: str, message: Message) -> str:
    """Return why `url` did not take the message, or ""."""
    service = service_of(url)
    if service is None:
        return "The address is not a complete one any more; set it again."
    service.socket_connect_timeout = service.socket_read_timeout = NETWORK_TIMEOUT_S
    caller = Apprise(asset=ASSET)
    caller.add(service)
    result = caller.notify(
        body=message.body,
        title=message.title,
        notify_type=_TYPES[message.level],
        body_format=NotifyFormat.TEXT,
        log_level=logging.DEBUG,
    )
    return "" if result else _reason("\n".join(entry.message for entry in result.logs()))


def _reason(said: str) -> str:
    """Return in words of its own what the libraries' lines mean."""
    status = _STATUS.search(said)
    if status:
        return f"The server answered with the status {status[1]}."
    return next((text for pattern, text in _REASONS if pattern.search(said)), "The server did not take the message.")
