"""How many requests a caller may make; beyond that the answer is 429 with Retry-After."""

import hashlib
import threading
import time
from collections import OrderedDict
from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from sensors.api.addresses import client_address, origin
from sensors.api.counters import counters

_PERIODS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Attempts from one address with any names: a household or office shares one, a password list needs far more.
_ADDRESS_SHARE: Final = 10
# Anybody may make a network and name any address, and the service shall not send their advertisements.
MAX_MAILED_AN_HOUR: Final = 50
# Names kept in memory; a flood of them forgets the oldest instead of filling it.
_LOCAL_KEYS: Final = 10_000
# A process asks Redis for so many parts of a limit at a time: of 12,000 a minute for 60. What it does not use of its
# last part is lost to the other processes until the window ends, half a percent each.
_PARTS: Final = 200


def parse_rate(rate: str) -> tuple[int, int]:
    """Return (requests, window_s) of a rate such as "12000/min" or "10/s".

    Raises ValueError for anything else, so that a mistyped setting does not start.
    """
    number, _, period = rate.partition("/")
    if period.strip()[:1] not in _PERIODS_S or not number.strip().isdigit() or int(number) < 1:
        raise ValueError(f'a throttle rate is like "100/s" or "12000/min", not {rate!r}')
    return int(number), _PERIODS_S[period.strip()[0]]


class WindowThrottle(BaseThrottle):
    """Counts requests in windows that start at multiples of their length; one round trip to Redis each."""

    scope = ""

    def __init__(self) -> None:
        self.requests, self.window_s = parse_rate(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][self.scope])
        self.wait_s: float | None = None

    def wait(self) -> float | None:
        """Return the seconds until the window ends, for Retry-After."""
        return self.wait_s

    def take(self, key: str, *, at_most: int, now_s: float) -> bool:
        """Count one request for `key`; return whether it is within `at_most`. Redis away: it is."""
        number = self.count(self.key(key, now_s), now_s)
        if number is None or number <= at_most:
            return True
        self.wait_s = self.window_s - now_s % self.window_s
        return False

    def key(self, key: str, now_s: float) -> str:
        """Return the counter's name in the window of `now_s`."""
        return f"fleet:throttle:{self.scope}:{key}:{int(now_s // self.window_s)}"

    def count(self, key: str, now_s: float) -> int | None:
        """Return the number of requests counted under `key`, or None if nobody knows."""
        return counters().count(key, window_s=self.window_s)


class Parts:
    """What this process has left of the parts that it took. The keys name their window, so none must expire."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> bool:
        """Use up one request; False if nothing is left."""
        with self._lock:
            left = self._left.get(key, 0)
            if left > 1:
                self._left[key] = left - 1
            else:
                self._left.pop(key, None)
            return left > 0

    def put(self, key: str, number: int) -> None:
        """Add what is left of a new part."""
        if number < 1:
            return
        with self._lock:
            self._left[key] = self._left.pop(key, 0) + number
            while len(self._left) > _LOCAL_KEYS:
                self._left.popitem(last=False)


class CallerThrottle(WindowThrottle):
    """The limit of one caller: one token, else one user, else one address. API_THROTTLE sets it.

    A large limit is taken in parts, so that most requests ask nobody; the limit itself is never passed.
    """

    scope = "caller"
    # Shared by all requests of the process.
    parts: ClassVar = Parts()

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return whether this request is within the caller's limit."""
        return self.take(self.caller(request), at_most=self.requests, now_s=time.time())

    def take(self, key: str, *, at_most: int, now_s: float) -> bool:
        """Count one request for `key`; return whether it is within `at_most`. Redis away: it is."""
        name = self.key(key, now_s)
        if self.parts.take(name):
            return True
        size = max(1, at_most // _PARTS)
        number = counters().count(name, window_s=self.window_s, by=size)
        if number is None:
            return True
        within = min(size, at_most - (number - size))
        if within < 1:
            self.wait_s = self.window_s - now_s % self.window_s
            return False
        self.parts.put(name, within - 1)
        return True

    def caller(self, request: Request) -> str:
        """Return the name under which the request counts; a token's is its hash."""
        digest = getattr(request.auth, "digest", None)
        if digest:
            return f"token:{digest[:32]}"
        if request.user and request.user.is_authenticated:
            return f"user:{request.user.pk}"
        return f"address:{origin(client_address(request))}"


class AttemptThrottle(WindowThrottle):
    """Attempts with one name from one address, and from one address at all; LOGIN_THROTTLE sets how many.

    While Redis is away each process counts for itself: guessing is never free.
    """

    scope = "login"
    # Whether the last attempt was the first of its window that was refused.
    is_first_refusal = False

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one attempt; return whether it is within the limits."""
        address = origin(address)
        by_address = self.take(f"address:{address}", at_most=self.requests * _ADDRESS_SHARE, now_s=now_s)
        return self.take(f"{address}:{_digest(name)}", at_most=self.requests, now_s=now_s) and by_address

    def take(self, key: str, *, at_most: int, now_s: float) -> bool:
        """Count one request for `key`; return whether it is within `at_most`."""
        number = self.count(self.key(key, now_s), now_s) or 1
        if number <= at_most:
            return True
        self.is_first_refusal = self.is_first_refusal or number == at_most + 1
        self.wait_s = self.window_s - now_s % self.window_s
        return False

    def count(self, key: str, now_s: float) -> int | None:
        """Return the shared count, or this process' own while Redis is away."""
        number = super().count(key, now_s)
        return local_counts.count(key) if number is None else number


class LoginThrottle(AttemptThrottle):
    """Attempts to log in with a password."""


class RegistrationThrottle(AttemptThrottle):
    """Users that are made without anybody's doing."""

    def key(self, key: str, now_s: float) -> str:
        """Return the counter's name, which is not that of logging in."""
        return super().key(f"registration:{key}", now_s)


class ResetThrottle(AttemptThrottle):
    """Requests for a link to a mail address; together so many in an hour, so that nobody's mail is filled."""

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one request; return whether it is within the limits."""
        if not super().attempt(address, name, now_s=now_s):
            return False
        self.window_s = 3600
        return self.take(f"name:{_digest(name)}", at_most=self.requests, now_s=now_s)

    def key(self, key: str, now_s: float) -> str:
        """Return the counter's name, which is not that of logging in."""
        return super().key(f"reset:{key}", now_s)


class CodeThrottle(AttemptThrottle):
    """Codes of one user, from whatever address: who has the password would otherwise try all of a million."""

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one attempt; return whether it is within the limit of a quarter of an hour."""
        self.window_s = max(self.window_s, 900)
        return self.take(f"code:{_digest(name)}", at_most=self.requests, now_s=now_s)


class MailThrottle(AttemptThrottle):
    """Mails to addresses that one user names, so many in an hour, whatever becomes of what they were sent for."""

    def attempt(self, address: str, name: str, *, now_s: float) -> bool:
        """Count one mail of the user `name`; return whether it is within the limit."""
        self.window_s = 3600
        return self.take(f"mail:{_digest(name)}", at_most=MAX_MAILED_AN_HOUR, now_s=now_s)


def _digest(name: str) -> str:
    return hashlib.sha256(name.strip().lower().encode(errors="replace")).hexdigest()[:32]


class LocalCounts:
    """Counts of this process, for as long as Redis is away. The keys name their window, so none must expire."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: str, by: int = 1) -> int:
        """Return how many events `key` has had, these `by` included."""
        with self._lock:
            self._counts[key] = number = self._counts.pop(key, 0) + by
            while len(self._counts) > _LOCAL_KEYS:
                self._counts.popitem(last=False)
        return number


local_counts = LocalCounts()
