"""The thread that empties the backlog of one process into Redis."""

import atexit
import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sensors.live.backlog import ITEM_KINDS, ITEMS_PER_FRAME, Backlog, Batch, frame_of
from sensors.live.message import Frame, Message, channel_of, encode_message

logger = logging.getLogger(__name__)

# After a flush the thread rests so long per event that it carried: a lone event goes out at once, a stream is
# gathered into 50 messages a second for each network. A message costs its sender 78 µs, each listening process 54 µs,
# and each socket that follows it a write.
REST_PER_EVENT_S: Final = 0.005
REST_STEADY_S: Final = 0.02
# Beyond 2,500 events/s the rest grows until a flood is gathered into 10 messages a second.
REST_PER_FLOODING_EVENT_S: Final = 0.000_4
REST_MOST_S: Final = 0.1
# Entries that are encoded, on the average and at once. A flood has more: a sensor's newest few of each flush then
# stand for all. At 1 to 3 µs each this is 1 to 3 % of a processor, and more than any reader takes.
ITEMS_PER_S: Final = 10_000
ITEMS_AT_ONCE: Final = 10_000
# Where more sensors lost something in one flush, the whole network is said to have.
DROPPED_NAMES: Final = 200
# Each web process receives a copy of every message of the networks it watches.
MESSAGE_BYTES: Final = 512 * 1024
# A hung Redis answers nothing; a healthy one takes milliseconds.
SEND_TIMEOUT_S: Final = 2.0
RETRY_AFTER_S: Final = 0.5
# A lost last message shows only by the number of the next: so long after the last one, an empty one follows.
CLOSING_AFTER_S: Final = 2.0
EXIT_FLUSH_S: Final = 1.0


class Sender:
    """The backlog of one process and the thread that empties it; the thread starts with the first event."""

    def __init__(self) -> None:
        self._id = uuid.uuid4().hex
        self._changed = threading.Condition(threading.Lock())
        self._ending = threading.Event()
        self._backlog = Backlog()
        self._thread: threading.Thread | None = None
        # Whether the thread knows that something waits.
        self._awake = False
        # By network: how many events were numbered, and when its closing message is due.
        self._upto: dict[str, int] = {}
        self._closing_due: dict[str, float] = {}
        # The networks whose last message somebody took.
        self._heard: set[str] = set()
        self._allowance = float(ITEMS_AT_ONCE)
        self._allowed_at = time.monotonic()

    # --- The caller's side: under the lock, without input or output --------------------------------

    def put(self, add: Callable[[Backlog], None]) -> None:
        """Let `add` append to the backlog, and wake the thread."""
        with self._changed:
            add(self._backlog)
            if self._thread is None or not self._thread.is_alive():
                self._start()
            elif not self._awake:
                self._awake = True
                self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Send what waits and end the thread, or give up after `timeout_s`."""
        with self._changed:
            thread = self._thread
            if thread is None or not thread.is_alive():
                return
            self._ending.set()
            self._changed.notify()
        thread.join(timeout_s)

    def _start(self) -> None:
        self._ending.clear()
        self._awake = True
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        # At the very end of the interpreter no thread starts any more.
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    # --- The thread's side ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except Exception:
            # The next event starts a new thread.
            logger.exception("the sender of live events ended")

    def _serve(self) -> None:
        """Flush whenever something waits, rest as the load demands, end after the flush that `close` wants."""
        redis = _client()
        healthy = True
        while True:
            ending = self._ending.is_set()
            with self._changed:
                backlog, self._backlog = self._backlog, Backlog()
                self._awake = False
            try:
                self._flush(redis, backlog)
                self._send_closings(redis, now=float("inf") if ending else time.monotonic())
            except (OSError, RedisError) as error:
                # At the end of the process the logs may be gone before this thread is.
                if healthy and not self._ending.is_set():
                    logger.warning("live views are not reached, events are dropped and counted: %r", error)
                healthy = False
                self._heard.clear()
                with contextlib.suppress(Exception):
                    redis.connection_pool.disconnect()
            else:
                if not healthy:
                    logger.warning("live views are reached again")
                healthy = True
            if ending:
                with contextlib.suppress(Exception):
                    redis.close()
                return
            self._ending.wait(_rest_s(sum(backlog.events.values())) if healthy else RETRY_AFTER_S)
            due = min(self._closing_due.values(), default=None)
            with self._changed:
                self._changed.wait_for(
                    lambda: self._awake or self._ending.is_set(),
                    None if due is None else max(0.0, due - time.monotonic()),
                )

    def _flush(self, redis: Redis, backlog: Backlog) -> None:
        """Send every network's batch; on an error all that is left counts as lost."""
        if not backlog.events:
            return
        for network in backlog.events:
            # Due at once, in case nothing more of the network is sent: it then tells of the loss.
            self._closing_due[network] = 0.0
        try:
            heard = self._listened_to(redis, backlog.events.keys())
        except BaseException:
            for network, events in backlog.events.items():
                self._number(network, events)
            raise
        backlog.sort(heard)
        for network, events in backlog.events.items():
            if network not in heard:
                # Nothing needs to be encoded, or told: who joins now begins to count with what comes next.
                self._number(network, events)
                self._closing_due[network] = time.monotonic() + CLOSING_AFTER_S
        batches = {network: backlog.batches[network] for network in backlog.batches if network in heard}
        self._thin_out(batches.values())
        messages = [message for network, batch in batches.items() for message in self._messages(network, batch)]
        self._publish(redis, messages)

    def _listened_to(self, redis: Redis, networks: Collection[str]) -> set[str]:
        """Return those of `networks` that somebody may listen to; one round trip, or none if all were heard before."""
        heard = self._heard.intersection(networks)
        unsure = [network for network in networks if network not in heard]
        if unsure:
            counts = redis.pubsub_numsub(*map(channel_of, unsure))
            heard.update(network for network, (_, count) in zip(unsure, counts, strict=True) if count)
        return heard

    def _thin_out(self, batches: Collection[Batch]) -> None:
        """Keep as many entries as may be encoded now: of each sensor the newest, of the sensors the last ones."""
        now = time.monotonic()
        earned = (now - self._allowed_at) * ITEMS_PER_S
        self._allowance = min(ITEMS_AT_ONCE, self._allowance + earned)
        self._allowed_at = now
        frames = [
            (batch, key, waiting) for batch in batches for key, waiting in batch.waiting.items() if key[1] in ITEM_KINDS
        ]
        left = sum(waiting.events for _, _, waiting in frames)
        if left > self._allowance:
            allowance = max(0, int(self._allowance))
            keep = max(1, min(ITEMS_PER_FRAME, allowance // len(frames)))
            left = 0
            for batch, key, waiting in reversed(frames):
                if left < allowance:
                    batch.trim(key[0], waiting, keep=keep)
                    left += waiting.events
                else:
                    batch.drop(key[0], waiting.events)
                    del batch.waiting[key]
            for batch in batches:
                if len(batch.dropped) > DROPPED_NAMES:
                    batch.dropped = {"": sum(batch.dropped.values())}
        self._allowance -= left

    def _messages(self, network: str, batch: Batch) -> list[Message]:
        """Return the messages that carry `batch`, numbered, none much larger than MESSAGE_BYTES."""
        parts: list[list[Frame]] = []
        room = 0
        for (sensor, kind, _), waiting in batch.waiting.items():
            try:
                frame = frame_of(sensor, kind, waiting)
            except Exception:
                logger.exception("live events of kind %s were not sent", kind)
                batch.drop(sensor, waiting.events)
                continue
            if not parts or frame.size > room:
                parts.append([])
                room = MESSAGE_BYTES
            parts[-1].append(frame)
            room -= frame.size
        if not parts and batch.dropped:
            parts.append([])
        messages: list[Message] = []
        for frames in parts:
            # The first one tells of all that was left out.
            dropped = {} if messages else batch.dropped
            events = sum(frame.events for frame in frames)
            upto = self._number(network, events + sum(dropped.values()))
            messages.append(Message(network, self._id, upto, events, frames, dropped))
        return messages

    def _number(self, network: str, events: int) -> int:
        upto = self._upto[network] = self._upto.get(network, 0) + events
        return upto

    def _send_closings(self, redis: Redis, *, now: float) -> None:
        """Send the closing messages that are due: their number alone says whether something was lost."""
        due = [network for network, at in self._closing_due.items() if at <= now]
        self._publish(redis, [Message(network, self._id, self._upto.get(network, 0)) for network in due])
        for network in due:
            del self._closing_due[network]

    def _publish(self, redis: Redis, messages: Iterable[Message]) -> None:
        """Send messages in their order; note when closing ones are due, and who was heard."""
        for message in messages:
            count = redis.publish(channel_of(message.network), encode_message(message))
            self._closing_due[message.network] = time.monotonic() + CLOSING_AFTER_S
            if count:
                self._heard.add(message.network)
            else:
                self._heard.discard(message.network)


def _rest_s(events: int) -> float:
    steady_s = min(REST_STEADY_S, events * REST_PER_EVENT_S)
    return min(REST_MOST_S, max(steady_s, events * REST_PER_FLOODING_EVENT_S))


def _client() -> Any:
    """Return a client of Redis that fails at once, and after SEND_TIMEOUT_S when nothing answers."""
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=SEND_TIMEOUT_S,
        socket_connect_timeout=SEND_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


def current_sender() -> Sender:
    """Return the sender of this process."""
    return _sender


def _close_at_exit() -> None:
    _sender.close(EXIT_FLUSH_S)


def _forget_after_fork() -> None:
    """Give a forked child a sender of its own: the thread is not in it, and its lock may be held for ever."""
    global _sender  # noqa: PLW0603 - one sender a process, and this is another process
    _sender = Sender()


_sender = Sender()
os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(_close_at_exit)
