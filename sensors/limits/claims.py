"""Wrong claim codes: counted by address, so that guessing is slow; right ones cost nothing of it."""

import time
from typing import Any

from rest_framework.request import Request

from sensors.addresses import client_address, origin
from sensors.limits.counters import count_anyway
from sensors.limits.requests import WindowThrottle


class ClaimThrottle(WindowThrottle):
    """Wrong codes from one address within a window; beyond CLAIM_THROTTLE nothing from it is looked at.

    Only wrong ones are counted: a hall of sensors behind one address asks for its logins all the time.
    """

    scope = "claim"

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return whether this address may try a code."""
        return self._count(request, by=0) < self.rate.most

    def note_wrong(self, request: Request) -> None:
        """Count a wrong code."""
        self._count(request, by=1)

    def _count(self, request: Request, *, by: int) -> int:
        now_s = time.time()
        self.wait_s = self.rate.left_s(now_s=now_s)
        key = self.rate.key(f"{self.scope}:address:{origin(client_address(request))}", now_s=now_s)
        return count_anyway(key, window_s=self.rate.window_s, by=by)
