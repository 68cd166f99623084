"""The sending side of live views: events go out without ever holding up who sends them.

    transaction.on_commit(lambda: live.send_status("hall", "s-1", status="up", last_seen_at=now))

`send_event` appends to a bounded backlog and returns; a daemon thread with an event loop of its own coalesces
the backlog and hands it to the channel layer, one message per network and flush. When Redis is slow, hung or
away the backlog stays bounded, what does not fit is dropped and counted, and receivers are told by number how
many events they missed. Nothing here raises to its caller, blocks it, or is needed for correctness.

The message, as `fleet.live.hub` receives it::

    {"type": "live.frames", "network": slug, "sender": id of this process, "upto": events numbered so far,
     "events": how many are inside, "frames": [[sensor or "", kind, count, json text], …],
     "dropped": {sensor or "": count}}

`upto` counts what was sent, dropped, or lost on the way; a receiver whose own count is behind it missed
something.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from channels.layers import BaseChannelLayer, channel_layers
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

# Kinds whose events are entries of a list; their frames carry `items` and grow while they wait.
ITEM_KINDS: Final = frozenset({"measurements", "heartbeats", "log_messages"})

# After a flush the thread rests so long per event that it carried: a lone event goes out at once, a stream of
# 50 events/s waits 5 ms, and a flood is gathered into 20 messages a second for each network.
REST_PER_EVENT_S: Final = 0.005
REST_MOST_S: Final = 0.05
# More entries of one kind from one sensor in one flush are a backlog being drained; pages refill over HTTP.
ITEMS_PER_FRAME: Final = 200
# What may wait while Redis is away: about a minute of 500 measurements a second.
BACKLOG_BYTES: Final = 8 * 1024 * 1024
# Each web process receives a copy of every message of the networks it watches.
MESSAGE_BYTES: Final = 512 * 1024
# A hung Redis answers nothing; a healthy one takes milliseconds.
SEND_TIMEOUT_S: Final = 2.0
RETRY_AFTER_S: Final = 0.5
# A lost last message shows only by the number of the next: so long after the last one, an empty one follows.
CLOSING_AFTER_S: Final = 2.0
EXIT_FLUSH_S: Final = 1.0

_encoder = msgspec.json.Encoder(enc_hook=str)


def network_group(slug: str) -> str:
    """Return the name of the channels group that hears of the network `slug`."""
    return f"network.{slug}"


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
            _sender.put_items(network, sensor or "", kind, [_encoder.encode(item) for item in body["items"]], dropped)
        else:
            about = {"type": kind} if sensor is None else {"type": kind, "sensor": sensor}
            _sender.put_state(network, sensor or "", kind, _identity(body), _encoder.encode({**about, **body}))
    except Exception:
        # Whatever is wrong with one event, its sender has committed and must go on.
        logger.exception("live event of kind %s was not sent", kind)


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
    _sender.close(timeout_s)


def _identity(body: Mapping[str, Any]) -> object:
    """Return what a state frame is about besides its sensor."""
    return body.get("id", body.get("revision"))


@dataclass(slots=True)
class _Frame:
    """One frame in the making: the encoded items, or the one encoded state."""

    parts: deque[bytes] = field(default_factory=deque)
    size: int = 0


@dataclass(slots=True)
class _Batch:
    """What one network waits for."""

    frames: OrderedDict[tuple[str, str, object], _Frame] = field(default_factory=OrderedDict)
    dropped: dict[str, int] = field(default_factory=dict)


class _OwnLoop(asyncio.SelectorEventLoop):
    """A loop that resolves names itself: executors refuse work when the last flush runs, at exit."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)


class _Sender:
    """The backlog of one process and the thread that empties it."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._batches: OrderedDict[str, _Batch] = OrderedDict()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._loop: _OwnLoop | None = None
        self._wake: asyncio.Event | None = None
        self._awake = False
        self._closing = False
        # By network: how many events were numbered, and when its closing message is due.
        self._upto: dict[str, int] = {}
        self._closing_due: dict[str, float] = {}

    # --- The caller's side: under the lock, without input or output --------------------------------

    def put_items(self, network: str, sensor: str, kind: str, items: list[bytes], dropped: int = 0) -> None:
        if not items and not dropped:
            return
        with self._lock:
            frame, batch = self._frame(network, (sensor, kind, None))
            if dropped:
                batch.dropped[sensor] = batch.dropped.get(sensor, 0) + dropped
            for item in items:
                frame.parts.append(item)
                self._grow(frame, len(item))
            # The oldest go: what a page shows first is the newest value.
            while len(frame.parts) > ITEMS_PER_FRAME:
                self._grow(frame, -len(frame.parts.popleft()))
                batch.dropped[sensor] = batch.dropped.get(sensor, 0) + 1
            self._shrink()
            self._start_or_wake()

    def put_state(self, network: str, sensor: str, kind: str, identity: object, text: bytes) -> None:
        with self._lock:
            frame, batch = self._frame(network, (sensor, kind, identity))
            if frame.parts:
                # The older state was never seen by anybody; this one takes a place at the end.
                self._grow(frame, -len(frame.parts.popleft()))
                batch.frames.move_to_end((sensor, kind, identity))
            frame.parts.append(text)
            self._grow(frame, len(text))
            self._shrink()
            self._start_or_wake()

    def _frame(self, network: str, key: tuple[str, str, object]) -> tuple[_Frame, _Batch]:
        batch = self._batches.get(network)
        if batch is None:
            batch = self._batches[network] = _Batch()
        frame = batch.frames.get(key)
        if frame is None:
            frame = batch.frames[key] = _Frame()
        return frame, batch

    def _grow(self, frame: _Frame, size: int) -> None:
        frame.size += size
        self._bytes += size

    def _shrink(self) -> None:
        """Drop the oldest frames, network by network, until the backlog fits."""
        while self._bytes > BACKLOG_BYTES:
            batch = next(batch for batch in self._batches.values() if batch.frames)
            (sensor, _, _), frame = batch.frames.popitem(last=False)
            batch.dropped[sensor] = batch.dropped.get(sensor, 0) + len(frame.parts)
            self._bytes -= frame.size

    def _start_or_wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._closing = False
            self._awake = True
            self._loop = _OwnLoop()
            self._wake = asyncio.Event()
            self._wake.set()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="live", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # At the very end of the interpreter no thread starts any more.
                self._loop.close()
        elif not self._awake:
            self._awake = True
            assert self._loop is not None
            assert self._wake is not None
            self._loop.call_soon_threadsafe(self._wake.set)

    def close(self, timeout_s: float) -> None:
        with self._lock:
            thread = self._thread
            if thread is None or not thread.is_alive() or self._loop is None or self._wake is None:
                return
            self._closing = True
            self._loop.call_soon_threadsafe(self._wake.set)
        thread.join(timeout_s)

    # --- The thread's side ---------------------------------------------------------------------------

    def _run(self, loop: _OwnLoop) -> None:
        try:
            loop.run_until_complete(self._serve(loop))
        except Exception:
            # The next event starts a new thread.
            logger.exception("the sender of live events ended")
        finally:
            with contextlib.suppress(Exception):
                loop.close()

    async def _serve(self, loop: _OwnLoop) -> None:
        """Flush whenever something waits, rest as the load demands, end after the one that `close` wants."""
        assert self._wake is not None
        # An own instance: the process' shared one belongs to whichever loop used it first.
        layer = channel_layers.make_backend("default")
        healthy = True
        while True:
            closing = self._closing
            batches = self._take()
            events = sum(len(frame.parts) for batch in batches.values() for frame in batch.frames.values())
            try:
                await self._flush(layer, batches)
                await self._send_closings(layer, now=float("inf") if closing else loop.time())
            except (OSError, TimeoutError, RedisError) as error:
                # At the end of the process the logs may be gone before this thread is.
                if healthy and not self._closing:
                    logger.warning("live views are not reached, events are dropped and counted: %r", error)
                healthy = False
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(layer.close_pools(), 1)
            else:
                if not healthy:
                    logger.warning("live views are reached again")
                healthy = True
            if closing:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(layer.close_pools(), 0.2)
                return
            await self._rest(min(REST_MOST_S, events * REST_PER_EVENT_S) if healthy else RETRY_AFTER_S)
            await self._sleep(until=min(self._closing_due.values(), default=None))

    def _take(self) -> OrderedDict[str, _Batch]:
        """Return the backlog and leave an empty one."""
        with self._lock:
            batches, self._batches = self._batches, OrderedDict()
            self._bytes = 0
            self._awake = False
            assert self._wake is not None
            if not self._closing:
                self._wake.clear()
        return batches

    async def _flush(self, layer: BaseChannelLayer, batches: OrderedDict[str, _Batch]) -> None:
        """Send every network's batch; on an error all that is left counts as lost."""
        assert self._loop is not None
        messages = [message for network, batch in batches.items() for message in self._messages(network, batch)]
        for network in batches:
            # Due at once, in case nothing more of the network is sent: it then tells of the loss.
            self._closing_due[network] = 0.0
        for message in messages:
            await asyncio.wait_for(layer.group_send(network_group(message["network"]), message), SEND_TIMEOUT_S)
            self._closing_due[message["network"]] = self._loop.time() + CLOSING_AFTER_S

    def _messages(self, network: str, batch: _Batch) -> list[dict[str, Any]]:
        """Return the messages that carry `batch`, numbered, none much larger than MESSAGE_BYTES."""
        messages: list[dict[str, Any]] = []
        message: dict[str, Any] = {}
        room = 0
        dropped = batch.dropped
        for (sensor, kind, _), frame in batch.frames.items():
            if not frame.parts:
                continue
            if not message or frame.size > room:
                message = {"frames": [], "events": 0, "dropped": dropped}
                messages.append(message)
                room, dropped = MESSAGE_BYTES, {}
            message["frames"].append([sensor, kind, len(frame.parts), _text(sensor, kind, frame)])
            message["events"] += len(frame.parts)
            room -= frame.size
        if dropped:
            messages.append({"frames": [], "events": 0, "dropped": dropped})
        for message in messages:
            self._upto[network] = self._upto.get(network, 0) + message["events"] + sum(message["dropped"].values())
            message |= {
                "type": "live.frames",
                "network": network,
                "sender": self._id,
                "upto": self._upto[network],
            }
        return messages

    async def _send_closings(self, layer: BaseChannelLayer, *, now: float) -> None:
        """Send the closing messages that are due: their number alone says whether something was lost."""
        for network in [network for network, due in self._closing_due.items() if due <= now]:
            message = {
                "type": "live.frames",
                "network": network,
                "sender": self._id,
                "upto": self._upto.get(network, 0),
                "events": 0,
                "frames": [],
                "dropped": {},
            }
            await asyncio.wait_for(layer.group_send(network_group(network), message), SEND_TIMEOUT_S)
            del self._closing_due[network]

    async def _rest(self, duration_s: float) -> None:
        """Sleep, but not when the process wants to end."""
        assert self._loop is not None
        until = self._loop.time() + duration_s
        while not self._closing and (left := until - self._loop.time()) > 0:
            # Short steps end a rest of an outage soon after `close`.
            await asyncio.sleep(min(left, REST_MOST_S))

    async def _sleep(self, *, until: float | None) -> None:
        """Return when something waits or `until` (the loop's time) has come."""
        assert self._loop is not None
        assert self._wake is not None
        timeout = None if until is None else max(0.0, until - self._loop.time())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)


def _text(sensor: str, kind: str, frame: _Frame) -> str:
    """Return a frame's JSON text: a state as it is, items joined into their list."""
    if kind not in ITEM_KINDS:
        return frame.parts[0].decode()
    head = b'{"type":"%b","sensor":%b,"items":[' % (kind.encode(), _encoder.encode(sensor))
    return (head + b",".join(frame.parts) + b"]}").decode()


def _forget_after_fork() -> None:
    """Give a forked child a sender of its own: the thread is not in it, and its lock may be held for ever."""
    global _sender  # noqa: PLW0603 - one sender a process, and this is another process
    _sender = _Sender()


_sender = _Sender()
os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(close)
