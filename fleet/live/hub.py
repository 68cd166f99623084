"""The one listener of a web process: hears its networks' channels in Redis and hands the events to its sockets.

One connection a process rather than one a socket: an event crosses Redis once for each process, a socket that
stops reading fills nothing there, and an outage of Redis is dealt with in one place. Sockets never notice it
but by a `gap`.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import msgspec
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fleet.live.burst import Burst
from sensors.live import Frame, Message, channel_of, channel_prefix, decode_message

logger = logging.getLogger(__name__)

_AWAY: Final = (OSError, TimeoutError, RedisError)

# A hung Redis answers nothing; a healthy one takes milliseconds.
JOIN_TIMEOUT_S: Final = 2.0
RETRY_FIRST_S: Final = 0.2
RETRY_MOST_S: Final = 2.0
# An idle connection says nothing, a dead one neither: it is asked so often, and has so long to answer.
PING_EVERY_S: Final = 5.0
PING_TIMEOUT_S: Final = 2.0
# Senders whose count is remembered for each network: every process that sent to it.
SENDERS: Final = 256


class Subscriber(Protocol):
    """A socket as the hub sees it. Its methods are called on the event loop and must not wait."""

    def hear(self, network: str, everything: Burst, by_sensor: Mapping[str, Burst]) -> None:
        """Take the frames of one message: all of them in order, and the same by sensor ("" for none)."""

    def miss(self, network: str, dropped: dict[str, int] | None) -> None:
        """Learn what is missing: events by sensor ("" for the whole network); None when nobody knows."""


class Hub:
    """The networks that this process listens to, and who listens."""

    def __init__(self) -> None:
        self._subscribers: dict[str, set[Subscriber]] = {}
        # The networks that Redis has confirmed on this connection.
        self._joined: set[str] = set()
        # The networks of which something may have been missed before they are confirmed.
        self._unsure: set[str] = set()
        # The networks that were asked for on this connection, and how many confirmations are on their way.
        self._asked: set[str] = set()
        self._unconfirmed: dict[str, int] = {}
        # By network and sender, the most recently heard last: how many events it has numbered.
        self._upto: dict[str, OrderedDict[str, int]] = {}
        self._away = False
        self._wanted = asyncio.Event()
        self._confirmed = asyncio.Condition()
        self._replies = 0
        self._task: asyncio.Task[None] | None = None

    async def join(self, networks: Iterable[str], subscriber: Subscriber) -> None:
        """Let `subscriber` hear of `networks` from now on.

        Returns when Redis has confirmed it, or after JOIN_TIMEOUT_S when it does not answer; then the hub
        goes on trying, and the subscriber is told of a gap as soon as it can hear.
        """
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        networks = set(networks)
        for network in networks:
            self._subscribers.setdefault(network, set()).add(subscriber)
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_TIMEOUT_S), self._confirmed:
                await self._confirmed.wait_for(lambda: self._away or networks <= self._joined)
        missing = networks - self._joined
        if missing:
            self._unsure |= missing
            logger.warning("cannot listen to %d networks yet", len(missing))

    def leave(self, networks: Iterable[str], subscriber: Subscriber) -> None:
        """End what `join` began; does nothing for who never joined."""
        for network in networks:
            listeners = self._subscribers.get(network)
            if listeners is None:
                continue
            listeners.discard(subscriber)
            if not listeners:
                # Nobody hears what still comes, and so nobody counts it.
                del self._subscribers[network]
                self._unsure.discard(network)
                self._upto.pop(network, None)
                self._wanted.set()

    # --- The connection -------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Hold a connection; after an outage join again and tell everybody that something may be missing."""
        pause_s = 0.0
        while True:
            try:
                await self._listen()
            except* Exception as errors:
                # Whatever it is, the sockets of this process depend on this loop.
                _, unknown = errors.split(_AWAY)
                if unknown is not None or not self._away:
                    logger.warning("Redis is away: %r", errors.exceptions[0], exc_info=unknown)
                if not self._away:
                    pause_s = 0.0
            self._joined.clear()
            self._unsure.update(self._subscribers)
            self._away = True
            async with self._confirmed:
                self._confirmed.notify_all()
            pause_s = min(RETRY_MOST_S, max(RETRY_FIRST_S, pause_s * 2))
            await asyncio.sleep(pause_s)

    async def _listen(self) -> None:
        """Hear what comes over one connection, until it ends or nothing answers any more."""
        # Redis' own listener would connect again in silence, and nobody would know that something was missed.
        pool: Any = redis.asyncio.ConnectionPool.from_url(
            settings.REDIS_URL,
            socket_connect_timeout=JOIN_TIMEOUT_S,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        connection = pool.make_connection()
        self._asked.clear()
        self._unconfirmed.clear()
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await connection.connect()
            if self._away:
                logger.warning("Redis is back")
            self._away = False
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(connection))
                tasks.create_task(self._ask(connection))
                tasks.create_task(self._ping(connection))
        finally:
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)

    async def _read(self, connection: Any) -> None:
        prefix = len(channel_prefix())
        while True:
            reply = await connection.read_response()
            self._replies += 1
            if not isinstance(reply, list):
                # The answer to a ping while nothing is subscribed.
                continue
            if reply[0] == b"message":
                self._take(reply[1].decode()[prefix:], reply[2])
            elif reply[0] == b"subscribe":
                await self._confirm(reply[1].decode()[prefix:])

    async def _ask(self, connection: Any) -> None:
        """Subscribe to what is wanted, and end what nobody wants any more."""
        while True:
            self._wanted.clear()
            wanted = self._subscribers.keys()
            if gone := self._asked - wanted:
                self._asked -= gone
                # Not by `leave`: for who joins between the two nothing is asked, and so nothing confirmed.
                self._joined -= gone
                await connection.send_command("UNSUBSCRIBE", *map(channel_of, gone))
            if new := wanted - self._asked:
                self._asked |= new
                for network in new:
                    self._unconfirmed[network] = self._unconfirmed.get(network, 0) + 1
                await connection.send_command("SUBSCRIBE", *map(channel_of, new))
            await self._wanted.wait()

    async def _ping(self, connection: Any) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            before = self._replies
            await connection.send_command("PING")
            await asyncio.sleep(PING_TIMEOUT_S)
            if self._replies == before:
                raise TimeoutError("Redis does not answer")

    async def _confirm(self, network: str) -> None:
        """Note that Redis sends `network`; whoever may have missed something before is told of a gap."""
        left = self._unconfirmed.get(network, 0) - 1
        if left > 0:
            # It was ended and begun again meanwhile: only the last confirmation counts.
            self._unconfirmed[network] = left
            return
        self._unconfirmed.pop(network, None)
        if network not in self._asked:
            return
        self._joined.add(network)
        if network in self._unsure:
            self._unsure.discard(network)
            for subscriber in list(self._subscribers.get(network, ())):
                subscriber.miss(network, None)
        async with self._confirmed:
            self._confirmed.notify_all()

    # --- What comes -----------------------------------------------------------------------------------

    def _take(self, network: str, data: bytes) -> None:
        listeners = self._subscribers.get(network)
        if not listeners:
            return
        try:
            message = decode_message(data)
        except msgspec.MsgspecError as error:
            # Of another release of this service, perhaps.
            logger.warning("a live message of network %s is not understood: %s", network, error)
            for subscriber in list(listeners):
                subscriber.miss(network, None)
            return
        self._hand_on(message, listeners)

    def _hand_on(self, message: Message, listeners: Iterable[Subscriber]) -> None:
        network, dropped = message.network, message.dropped
        lost = self._lost(network, message.sender, message.upto, message.events + sum(dropped.values()))
        if lost is None:
            return
        if lost:
            dropped = {**dropped, "": dropped.get("", 0) + lost}
        by_sensor: dict[str, list[Frame]] = {}
        for frame in message.frames:
            by_sensor.setdefault(frame.sensor, []).append(frame)
        everything = Burst(message.frames)
        bursts = {sensor: Burst(frames) for sensor, frames in by_sensor.items()}
        for subscriber in list(listeners):
            if dropped:
                subscriber.miss(network, dropped)
            if bursts:
                subscriber.hear(network, everything, bursts)

    def _lost(self, network: str, sender: str, upto: int, inside: int) -> int | None:
        """Return how many of the sender's events never came; None for a message that came before."""
        senders = self._upto.setdefault(network, OrderedDict())
        known = senders.get(sender)
        if known is not None and inside and upto <= known:
            # One that the sender had given up, and Redis had not.
            return None
        senders[sender] = max(upto, known or 0)
        senders.move_to_end(sender)
        if len(senders) > SENDERS:
            senders.popitem(last=False)
        return 0 if known is None else max(0, upto - known - inside)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current_hub() -> Hub:
    """Return the hub of the running event loop; a server has one loop, and so one hub."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]
