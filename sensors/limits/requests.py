"""How many requests a caller may make; beyond that the answer is 429 with Retry-After."""

import threading
import time
from collections import OrderedDict
from typing import Any, ClassVar, Final

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from sensors.addresses import client_address, origin
from sensors.limits.counters import LOCAL_KEYS, counters
from sensors.limits.rates import parse_rate

# A process asks Redis for so many parts of a limit at a time: of 12,000 a minute for 60. What it does not use of its
# last part is lost to the other processes until the window ends, half a percent each.
_PARTS: Final = 200


class WindowThrottle(BaseThrottle):
    """A limit of Django REST framework's, of the rate that the settings have for `scope`."""

    scope = ""

    def __init__(self) -> None:
        self.rate = parse_rate(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][self.scope])
        self.wait_s: float | None = None

    def wait(self) -> float | None:
        """Return the seconds until the window ends, for Retry-After."""
        return self.wait_s


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
            while len(self._left) > LOCAL_KEYS:
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
        return self.take(self.caller(request), at_most=self.rate.most, now_s=time.time())

    def take(self, key: str, *, at_most: int, now_s: float) -> bool:
        """Count one request for `key`; return whether it is within `at_most`. Redis away: it is."""
        name = self.rate.key(f"{self.scope}:{key}", now_s=now_s)
        if self.parts.take(name):
            return True
        size = max(1, at_most // _PARTS)
        number = counters().count(name, window_s=self.rate.window_s, by=size)
        if number is None:
            return True
        within = min(size, at_most - (number - size))
        if within < 1:
            self.wait_s = self.rate.left_s(now_s=now_s)
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
