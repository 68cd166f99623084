"""The one receiver of a web process: joins networks at the channel layer and hands their events to its sockets.

One channel a process rather than one a socket: an event crosses Redis once for each process, a socket that
stops reading fills nothing there, and an outage of Redis is dealt with in one place. Sockets never notice it
but by a `gap`.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from channels.layers import channel_layers
from redis.exceptions import RedisError

from fleet.live.outbox import Frame
from sensors.live import network_group

logger = logging.getLogger(__name__)

_AWAY: Final = (OSError, TimeoutError, RedisError)

# Below the layer's socket_timeout (5 s), else an idle wait would look like a hung server.
WAIT_S: Final = 2
# A hung Redis answers nothing; a healthy one takes milliseconds.
JOIN_TIMEOUT_S: Final = 2.0
RETRY_FIRST_S: Final = 0.2
RETRY_MOST_S: Final = 2.0
# Membership ends after the layer's group_expiry (60 s), so that a dead process is not written to for long.
REFRESH_S: Final = 10.0
# A pause longer than this (a stopped process, a sleeping machine) may have cost the membership.
PAUSE_S: Final = 45.0
# Senders whose count is remembered for each network: every process that sent to it.
SENDERS: Final = 256


class Subscriber(Protocol):
    """A socket as the hub sees it. Its methods are called on the event loop and must not wait."""

    def hear(self, network: str, frames: list[Frame], by_sensor: dict[str, list[Frame]]) -> None:
        """Take the frames of one message: all of them in order, and the same by sensor ("" for none)."""

    def miss(self, network: str, dropped: dict[str, int] | None) -> None:
        """Learn what is missing: events by sensor ("" for the whole network); None when nobody knows."""


class Hub:
    """The networks that this process listens to, and who listens."""

    def __init__(self) -> None:
        # An own instance: a layer's connections belong to one event loop.
        self._layer = channel_layers.make_backend("default")
        self._layer.brpop_timeout = WAIT_S
        self._channel = f"live.{uuid.uuid4().hex}"
        self._subscribers: dict[str, set[Subscriber]] = {}
        # The networks whose membership the channel layer has confirmed since the last outage.
        self._joined: set[str] = set()
        # By network and sender, the most recently heard last: how many events it has numbered.
        self._upto: dict[str, OrderedDict[str, int]] = {}
        self._joining = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, networks: Iterable[str], subscriber: Subscriber) -> None:
        """Let `subscriber` hear of `networks` from now on.

        Returns when the channel layer knows, or after JOIN_TIMEOUT_S when it does not answer; then the hub
        goes on trying, and the subscriber is told of a gap as soon as it can hear.
        """
        self._run()
        networks = list(networks)
        for network in networks:
            self._subscribers.setdefault(network, set()).add(subscriber)
        # Under the lock, because whoever joined one of them first may still be at it.
        async with self._joining:
            missing = [network for network in networks if network not in self._joined]
            try:
                async with asyncio.timeout(JOIN_TIMEOUT_S):
                    for network in missing:
                        await self._add(network)
                        self._joined.add(network)
            except _AWAY as error:
                logger.warning("cannot listen to %d networks yet: %r", len(missing), error)

    def leave(self, networks: Iterable[str], subscriber: Subscriber) -> None:
        """End what `join` began; does nothing for who never joined."""
        for network in networks:
            listeners = self._subscribers.get(network)
            if listeners is None:
                continue
            listeners.discard(subscriber)
            if not listeners:
                # The channel layer forgets the membership by itself (group_expiry); nobody hears what still
                # comes, and so nobody counts it.
                del self._subscribers[network]
                self._joined.discard(network)
                self._upto.pop(network, None)

    # --- Inside ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        if not self._tasks or any(task.done() for task in self._tasks):
            for task in self._tasks:
                task.cancel()
            self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._refresh())]

    async def _add(self, network: str) -> None:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            await self._layer.group_add(network_group(network), self._channel)

    async def _receive(self) -> None:
        """Hand on what comes; after an outage join again and tell everybody that something may be missing."""
        pause_s = 0.0
        while True:
            try:
                if pause_s:
                    await asyncio.sleep(pause_s)
                    await self._renew()
                    logger.warning("the channel layer is back")
                    pause_s = 0.0
                message = await self._layer.receive(self._channel)
                self._hand_on(message)
            except Exception as error:
                # Whatever it is, the sockets of this process depend on this loop.
                self._joined.clear()
                if not pause_s:
                    logger.warning("the channel layer is away: %r", error, exc_info=not isinstance(error, _AWAY))
                pause_s = min(RETRY_MOST_S, max(RETRY_FIRST_S, pause_s * 2))
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(self._layer.close_pools(), 1)

    async def _refresh(self) -> None:
        """Renew the memberships, which end by themselves, and try again what `join` could not do."""
        renewed_at = time.monotonic()
        while True:
            await asyncio.sleep(REFRESH_S if self._joined >= self._subscribers.keys() else RETRY_MOST_S)
            if time.monotonic() - renewed_at > PAUSE_S:
                self._joined.clear()
            # The receiving task meets the same outage and says so.
            with contextlib.suppress(*_AWAY):
                await self._renew()
                renewed_at = time.monotonic()

    async def _renew(self) -> None:
        """Confirm every membership; whoever had lost it is told of a gap of unknown size."""
        for network in list(self._subscribers):
            await self._add(network)
            if network in self._joined:
                continue
            self._joined.add(network)
            for subscriber in list(self._subscribers.get(network, ())):
                subscriber.miss(network, None)

    def _hand_on(self, message: dict[str, Any]) -> None:
        network = message["network"]
        listeners = self._subscribers.get(network)
        if not listeners:
            return
        dropped: dict[str, int] = message["dropped"]
        lost = self._lost(network, message["sender"], message["upto"], message["events"] + sum(dropped.values()))
        if lost is None:
            return
        if lost:
            dropped = {**dropped, "": dropped.get("", 0) + lost}
        frames = [Frame(*parts) for parts in message["frames"]]
        by_sensor: dict[str, list[Frame]] = {}
        for frame in frames:
            by_sensor.setdefault(frame.sensor, []).append(frame)
        for subscriber in list(listeners):
            if dropped:
                subscriber.miss(network, dropped)
            if frames:
                subscriber.hear(network, frames, by_sensor)

    def _lost(self, network: str, sender: str, upto: int, inside: int) -> int | None:
        """Return how many of the sender's events never came; None for a message that came before."""
        senders = self._upto.setdefault(network, OrderedDict())
        known = senders.get(sender)
        if known is not None and inside and upto <= known:
            # The layer sends again what it is not sure to have sent.
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
