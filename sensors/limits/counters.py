"""Counters of throttles in Redis, shared by all web processes; a Redis that is away costs no request."""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

# A count takes a tenth of a millisecond on loopback; what takes longer than this is not there.
TIMEOUT_S: Final = 0.4
# How long nobody asks a Redis that did not answer. Then one request tries, the others still do not wait.
PAUSE_S: Final = 5.0
# Names kept in memory; a flood of them forgets the oldest instead of filling it.
LOCAL_KEYS: Final = 10_000


class Counters:
    """Counts events in windows of time. One instance a process; safe to use from many threads."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, pause_s: float = PAUSE_S) -> None:
        # One retry, and only of a connection that Redis closed in the meantime: never of a timeout.
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._pause_s = pause_s
        self._paused_until = 0.0
        self._lock = threading.Lock()

    def count(self, key: str, *, window_s: int, by: int = 1) -> int | None:
        """Return how many events `key` has had, these `by` included, within the last `window_s` at most.

        None if Redis did not answer: within a timeout the first time, at once for the next seconds.
        One round trip.
        """
        if not self._may_ask():
            return None
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.incrby(key, by)
                pipeline.expire(key, window_s)
                number = int(pipeline.execute()[0])
        except RedisError:
            self._paused_until = time.monotonic() + self._pause_s
            return None
        self._paused_until = 0.0
        return number

    def read(self, keys: Sequence[str]) -> list[int] | None:
        """Return how many events each of the keys has, 0 for one without; None if Redis did not answer."""
        if not self._may_ask():
            return None
        try:
            found = self._redis.mget(keys)
        except RedisError:
            self._paused_until = time.monotonic() + self._pause_s
            return None
        self._paused_until = 0.0
        return [int(number or 0) for number in found]

    def _may_ask(self) -> bool:
        """Return whether Redis is there as far as known, or this thread is the one that finds out."""
        if not self._paused_until:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._paused_until:
                return False
            # Should this thread's question hang, the others do not hang with it.
            self._paused_until = now + self._pause_s
            return True

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class LocalCounts:
    """Counts of this process, for as long as Redis is away. The keys name their window, so none must expire."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: str, by: int = 1) -> int:
        """Return how many events `key` has had, these `by` included."""
        with self._lock:
            self._counts[key] = number = self._counts.pop(key, 0) + by
            while len(self._counts) > LOCAL_KEYS:
                self._counts.popitem(last=False)
        return number


_lock = threading.Lock()
_local = LocalCounts()
_by_url: dict[str, Counters] = {}


def counters() -> Counters:
    """Return this process' counters at settings.REDIS_URL."""
    url = settings.REDIS_URL
    found = _by_url.get(url)
    if found is None:
        with _lock:
            found = _by_url.setdefault(url, Counters(url))
    return found


def count_anyway(key: str, *, window_s: int, by: int = 1) -> int:
    """Return how many events `key` has had, these `by` included; while Redis is away, those of this process."""
    number = counters().count(key, window_s=window_s, by=by)
    return _local.count(key, by) if number is None else number
