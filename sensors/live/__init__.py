"""The sending side of live views: events go out without ever holding up who sends them.

    transaction.on_commit(lambda: live.send_status("hall", "s-1", status="up", last_seen_at=now))

What is sent is appended to a bounded backlog (`backlog`); a daemon thread (`sender`) coalesces the backlog and
publishes it in Redis, one message (`message`) for each network and flush, if anybody listens. When Redis is slow,
hung or away the backlog stays bounded, what does not fit is dropped and counted, and listeners are told by number
how many events they missed. Nothing here raises to its caller, blocks it, or is needed for correctness.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from sensors.live.backlog import ITEM_KINDS, ITEMS_PER_FRAME, Bulk, Items, State
from sensors.live.message import Frame, Message, channel_of, channel_prefix, decode_message
from sensors.live.sender import EXIT_FLUSH_S, MESSAGE_BYTES, current_sender

__all__ = [
    "EXIT_FLUSH_S",
    "ITEMS_PER_FRAME",
    "ITEM_KINDS",
    "MESSAGE_BYTES",
    "Bulk",
    "Frame",
    "Items",
    "Message",
    "channel_of",
    "channel_prefix",
    "close",
    "decode_message",
    "send_alert",
    "send_bulk",
    "send_configuration",
    "send_event",
    "send_heartbeats",
    "send_log_messages",
    "send_measurements",
    "send_status",
]

logger = logging.getLogger(__name__)

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


def send_event(*, network: str, sensor: str | None, kind: str, body: Mapping[str, Any], dropped: int = 0) -> None:
    """Tell live views of one event; never blocks on a server, never raises.

    network: slug. sensor: identifier, or None for what concerns a gateway or the whole network. kind: a frame
    type of docs/websocket.md. body: the frame's other fields, JSON or datetimes; it is encoded before this
    returns, so the caller may change it afterwards. Events of ITEM_KINDS are merged per sensor, other kinds
    replace a waiting frame about the same thing (an alert's id, a revision's number, else the sensor).
    dropped: how many items the caller left out itself; receivers are told like of those dropped here.
    Call it in `transaction.on_commit`: before, others would hear of what may never be.
    """
    try:
        if kind in ITEM_KINDS:
            entries = [_encode(item) for item in body["items"]]
            if entries or dropped:
                size = sum(map(len, entries))
                items = Items(network, sensor or "", kind, entries, _as_they_are, size, dropped)
                current_sender().put(lambda backlog: backlog.put_items(items))
        else:
            about = {"type": kind} if sensor is None else {"type": kind, "sensor": sensor}
            state = State(network, sensor or "", kind, _identity(body), _encode({**about, **body}))
            current_sender().put(lambda backlog: backlog.put_state(state))
    except Exception:
        # Whatever is wrong with one event, its sender has committed and must go on.
        logger.exception("live event of kind %s was not sent", kind)


def send_bulk(bulk: Bulk) -> None:
    """Tell live views of many entries at once; they are encoded only if somebody listens.

    What `bulk` refers to must not change afterwards. Otherwise like `send_event`.
    """
    try:
        current_sender().put(lambda backlog: backlog.put_bulk(bulk))
    except Exception:
        logger.exception("live events were not sent")


def send_measurements(network: str, sensor: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Tell of stored measurements: items of measured_at, received_at, revision, value; oldest first."""
    send_event(network=network, sensor=sensor, kind="measurements", body={"items": items})


def send_heartbeats(network: str, sensor: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Tell of stored heartbeats: items of measured_at, received_at, revision, success; oldest first."""
    send_event(network=network, sensor=sensor, kind="heartbeats", body={"items": items})


def send_log_messages(network: str, sensor: str, items: Iterable[Mapping[str, Any]]) -> None:
    """Tell of stored log messages: items of measured_at, …, severity, subject, details; oldest first."""
    send_event(network=network, sensor=sensor, kind="log_messages", body={"items": items})


def send_configuration(network: str, sensor: str, *, revision: int, state: str) -> None:
    """Tell that a sensor's revision is new or has another state."""
    body = {"revision": revision, "state": state}
    send_event(network=network, sensor=sensor, kind="configuration", body=body)


def send_status(network: str, sensor: str, *, status: str, last_seen_at: datetime | None) -> None:
    """Tell that a sensor's status (new, up, late, down) has changed."""
    body = {"status": status, "last_seen_at": last_seen_at}
    send_event(network=network, sensor=sensor, kind="status", body=body)


def send_alert(network: str, *, alert: Mapping[str, Any]) -> None:
    """Tell that an alert was opened or has changed; `alert` is what the REST API shows of it."""
    sensor = alert.get("sensor")
    send_event(network=network, sensor=sensor, kind="alert", body=alert)


def close(timeout_s: float = EXIT_FLUSH_S) -> None:
    """Send what waits and end the thread, or give up after `timeout_s`. Runs by itself at interpreter exit.

    Needed only where a process leaves by os._exit. A later `send_event` starts a thread again.
    """
    current_sender().close(timeout_s)


def _identity(body: Mapping[str, Any]) -> object:
    """Return what a state frame is about besides its sensor."""
    return body.get("id", body.get("revision"))


def _as_they_are(entries: Iterable[bytes]) -> Iterable[bytes]:
    return entries
