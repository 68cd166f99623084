"""The WebSocket `/ws/live/`: docs/websocket.md is its surface.

An ASGI application of its own rather than a subclass of Channels' consumer: that one ends with the channel
layer's first error, while a socket here outlives an outage of Redis (`fleet.live.hub`), and what many follow is
made ready for the wire once for all of them (`fleet.live.burst`).
"""

import asyncio
import contextlib
import logging
import random
import re
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from prometheus_client import Counter, Gauge

from fleet.live.access import NOT_ALLOWED, NOT_LOGGED_IN, Caller, Refusal, admit, still_logged_in
from fleet.live.burst import Burst, text_frame
from fleet.live.hub import current_hub
from fleet.live.limits import MAX_HANDSHAKES, Places
from fleet.live.outbox import Outbox
from fleet.live.requests import MAX_READ_BYTES, Echo, MessageError, Subscribe, Unsubscribe, parse
from fleet.live.snapshot import Subjects, resolve, snapshot, taken_away
from fleet.live.wire import direct_writer, limit_messages, unread
from sensors.models import User
from sensors.wire import SLUG_PATTERN, is_identifier

logger = logging.getLogger(__name__)

# Close codes, after the HTTP statuses of the same meaning; the server's library lets an application send 1000 and
# 3000 to 4999 only.
TOO_MANY_MESSAGES: Final = 4429
TOO_MANY_SOCKETS: Final = 4430
FAILED: Final = 4500
TRY_LATER: Final = 4503
# Sensors and networks of one socket; a network counts once, however many sensors it has.
MAX_SUBSCRIPTIONS: Final = 1000
# The server does not push back on senders either: so many messages may wait for their answers.
MAX_WAITING: Final = 100
# How often a held frame is looked at again while no echo wakes the writer.
STEP_S: Final = 0.2
# While the database cannot say whether a caller still may, a socket lives for so many intervals.
UNCHECKED_INTERVALS: Final = 2

_open_sockets: Final = Gauge("fleet_live_sockets", "Open WebSockets of this process.")
_refused_sockets: Final = Counter("fleet_live_refused", "WebSockets that were not let in.")

_handshakes: Final = Places()
_places: Final = Places()

# Snapshots have threads of their own, so that they neither wait for page requests nor hold them up; each
# uses one of the pool's connections while it asks.
_threads: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live-database")


async def live_socket(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """Serve one WebSocket from its handshake to its end."""
    await receive()
    limit_messages(send, size=MAX_READ_BYTES)
    with unread(send), _handshakes.place(None, at_most=MAX_HANDSHAKES) as there_is_one:
        caller = await _admitted(scope) if there_is_one else Refusal(TRY_LATER, "too many handshakes wait")
    if isinstance(caller, Refusal):
        await _refuse(caller, send)
        return
    with _places.place(caller.user.pk, at_most=settings.LIVE_SOCKETS_PER_USER) as there_is_one:
        if not there_is_one:
            reason = f"{caller.user.get_username()} has {settings.LIVE_SOCKETS_PER_USER} open in this process"
            await _refuse(Refusal(TOO_MANY_SOCKETS, reason), send)
            return
        await send({"type": "websocket.accept"})
        query = parse_qs(scope.get("query_string", b"").decode("latin1"))
        first = Subscribe(sensors=query.get("sensor", []), networks=query.get("network", []))
        with _open_sockets.track_inprogress():
            await LiveSocket(caller, receive, send).serve(first)


async def _admitted(scope: dict[str, Any]) -> Caller | Refusal:
    try:
        admitted: Caller | Refusal = await _ask(admit, scope)
    except DatabaseError:
        logger.warning("a live socket was refused: the database does not answer")
        return Refusal(TRY_LATER, "the database does not answer")
    return admitted


async def _refuse(refusal: Refusal, send: Any) -> None:
    logger.info("a live socket was refused: %s", refusal.reason)
    _refused_sockets.inc()
    if refusal.code is not None:
        await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": refusal.code or NOT_ALLOWED})


async def refuse_socket(_scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """Refuse a WebSocket at a path where there is none, with HTTP 403."""
    await receive()
    await send({"type": "websocket.close"})


class _EndError(Exception):
    """The socket is at its end; `code` is for the client, None when it is gone already."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class LiveSocket:
    """One open socket: what it follows, what waits for it, and the four tasks that serve it.

    The reader takes what the client says, the answerer makes snapshots in the order in which they were asked
    for, the writer sends what the outbox lets go, and the guard asks again and again whether the caller may.
    """

    def __init__(self, caller: Caller, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self._caller = caller
        self._user: User = caller.user
        self._receive = receive
        self._send = send
        self._write_now = direct_writer(send)
        self._hub = current_hub()
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(now_s=self._loop.time())
        self._wake = asyncio.Event()
        self._requests: deque[Subscribe | Unsubscribe | MessageError] = deque()
        self._asked = asyncio.Event()
        self._networks: set[str] = set()
        # By network: the sensors of it that are followed by name.
        self._sensors: dict[str, set[str]] = {}

    async def serve(self, first: Subscribe) -> None:
        """Serve until the client goes, breaks a rule, or loses its rights."""
        code: int | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read())
                tasks.create_task(self._answer(first))
                tasks.create_task(self._write())
                tasks.create_task(self._guard())
        except* _EndError as ends:
            code = next((end.code for end in _leaves(ends) if isinstance(end, _EndError)), None)
        except* DatabaseError as errors:
            logger.warning("a live socket ends: the database does not answer: %r", errors.exceptions[0])
            code = TRY_LATER
        except* Exception as errors:
            logger.exception("a live socket ends: %r", errors.exceptions[0])
            code = FAILED
        finally:
            self._hub.leave(self._groups(), self)
        if code is not None:
            await self._send({"type": "websocket.close", "code": code})

    # --- What the hub tells --------------------------------------------------------------------------

    def hear(self, network: str, everything: Burst, by_sensor: Mapping[str, Burst]) -> None:
        """Send what is followed, or put it into the outbox; the cost is that of the smaller side."""
        if network in self._networks:
            self._pass_on(everything)
        else:
            for sensor in self._sensors.get(network, set()) & by_sensor.keys():
                self._pass_on(by_sensor[sensor])

    def _pass_on(self, burst: Burst) -> None:
        if self._write_now is not None:
            syncs = self._outbox.pass_by(frames=len(burst.frames), size=burst.size, now_s=self._loop.time())
            if syncs is not None:
                self._write_now(burst.wire)
                for text in syncs:
                    self._write_now(text_frame(text))
                return
        for frame in burst.frames:
            self._outbox.push(frame)
        self._wake.set()

    def miss(self, network: str, dropped: dict[str, int] | None) -> None:
        """Note what is missing of what is followed."""
        if dropped is None:
            self._outbox.note_gap(None)
        elif network in self._networks:
            self._outbox.note_gap(sum(dropped.values()))
        else:
            followed = self._sensors.get(network, set())
            self._outbox.note_gap(sum(n for sensor, n in dropped.items() if not sensor or sensor in followed))
        self._wake.set()

    # --- The four tasks ------------------------------------------------------------------------------

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                raise _EndError(None)
            request: Any
            try:
                request = parse(message.get("text") or message.get("bytes") or "")
            except MessageError as error:
                request = error
            if isinstance(request, Echo):
                self._outbox.echo(request.seq)
                self._wake.set()
                continue
            if len(self._requests) >= MAX_WAITING:
                raise _EndError(TOO_MANY_MESSAGES)
            self._requests.append(request)
            self._asked.set()

    async def _answer(self, first: Subscribe) -> None:
        await self._subscribe(first)
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._requests:
                # Who does not read its answers gets no more of them.
                while not self._outbox.writable(now_s=self._loop.time()):
                    await asyncio.sleep(STEP_S)
                request = self._requests.popleft()
                if isinstance(request, MessageError):
                    await self._reply_error(request.code, request.detail)
                elif isinstance(request, Subscribe):
                    await self._subscribe(request)
                else:
                    self._drop(networks=set(request.networks), sensors=set(request.sensors))

    async def _write(self) -> None:
        while True:
            await self._put_out(self._outbox.take(now_s=self._loop.time()))
            # Sending never waits, so this is where other sockets get their turn. Not `wait_for`: up to Python 3.11
            # that forgets a cancellation that comes together with the wake-up, and the socket would never end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STEP_S if self._outbox.waits() else None):
                    await self._wake.wait()
            self._wake.clear()

    async def _guard(self) -> None:
        """Close the socket of who is no longer logged in or has lost a network that it follows."""
        interval_s = settings.LIVE_RECHECK_S
        checked_at = self._loop.time()
        while True:
            # Spread, because many pages come back at the same moment after a restart.
            await asyncio.sleep(interval_s * random.uniform(0.8, 1))  # noqa: S311 - no secret
            try:
                async with asyncio.timeout(interval_s):
                    await self._check_rights()
            except (DatabaseError, TimeoutError) as error:
                if self._loop.time() - checked_at > UNCHECKED_INTERVALS * interval_s:
                    raise _EndError(TRY_LATER) from error
            else:
                checked_at = self._loop.time()

    # --- Subscriptions -------------------------------------------------------------------------------

    async def _subscribe(self, request: Subscribe) -> None:
        """Follow what is asked for: listen first, then show its state, then let pass what was heard since."""
        sensors, networks = set(request.sensors), set(request.networks)
        wanted = len(networks | self._networks) + len(sensors.union(*self._sensors.values()))
        if wanted > MAX_SUBSCRIPTIONS:
            await self._show(Subjects())
            await self._reply_error("too_many", f"At most {MAX_SUBSCRIPTIONS} subscriptions; nothing was added.")
            return
        found = await _ask(
            resolve,
            self._user,
            sensors=[name for name in sensors if is_identifier(name)],
            networks=[name for name in networks if re.fullmatch(SLUG_PATTERN, name)],
        )
        self._outbox.hold()
        try:
            self._networks |= found.networks
            for sensor, network in found.sensors.items():
                self._sensors.setdefault(network, set()).add(sensor)
            await self._hub.join(found.groups, self)
            await self._show(found)
        finally:
            self._outbox.release()
            self._wake.set()
        await self._tell_missing(sensors - found.sensors.keys(), networks - found.networks)

    async def _show(self, subjects: Subjects) -> None:
        await self._reply(await _ask(snapshot, self._user, subjects, now=_now()))

    def _drop(self, *, networks: Collection[str], sensors: Collection[str]) -> None:
        """Follow these no more; what is not followed is ignored."""
        before = self._groups()
        self._networks.difference_update(networks)
        for network in list(self._sensors):
            self._sensors[network].difference_update(sensors)
            if not self._sensors[network]:
                del self._sensors[network]
        self._hub.leave(before - self._groups(), self)

    async def _check_rights(self) -> None:
        user = await _ask(still_logged_in, self._caller, now=_now())
        if user is None:
            raise _EndError(NOT_LOGGED_IN)
        self._user = user
        if not (groups := self._groups()):
            return
        if await _ask(taken_away, user, networks=groups):
            raise _EndError(NOT_ALLOWED)
        networks = set(self._networks)
        before = {sensor: network for network, names in self._sensors.items() for sensor in names}
        found = await _ask(resolve, user, sensors=list(before), networks=networks)
        # Deleted, or made anew in another network.
        gone = {sensor for sensor, network in before.items() if found.sensors.get(sensor) != network}
        self._drop(networks=networks - found.networks, sensors=gone)
        await self._tell_missing(gone, networks - found.networks)

    def _groups(self) -> set[str]:
        return self._networks | self._sensors.keys()

    # --- Answers --------------------------------------------------------------------------------------

    async def _tell_missing(self, sensors: Collection[str], networks: Collection[str]) -> None:
        for kind, names in (("sensor", sensors), ("network", networks)):
            if names:
                # ASCII, and not all of them: they are the client's own words.
                listed = ", ".join(ascii(name[:70]) for name in sorted(names)[:10])
                more = f" and {len(names) - 10} more" if len(names) > 10 else ""
                await self._reply_error("not_found", f"There is no {kind} that you may see named {listed}{more}.")

    async def _reply_error(self, code: str, detail: str) -> None:
        await self._reply(msgspec.json.encode({"type": "error", "code": code, "detail": detail}).decode())

    async def _reply(self, text: str) -> None:
        await self._put_out(self._outbox.reply(text))

    async def _put_out(self, texts: list[str]) -> None:
        if self._write_now is not None:
            if texts:
                self._write_now(b"".join(map(text_frame, texts)))
            return
        for text in texts:
            await self._send({"type": "websocket.send", "text": text})


def _leaves(group: BaseExceptionGroup) -> list[BaseException]:
    """Return the errors of a group and of the groups in it."""
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


async def _ask(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what `function` answers in a thread that may wait for the database."""
    return await database_sync_to_async(function, thread_sensitive=False, executor=_threads)(*args, **kwargs)


def _now() -> datetime:
    return datetime.now(UTC)
