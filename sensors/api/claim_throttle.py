"""Wrong claim codes: counted by address, so that guessing is slow; right ones cost nothing of it."""

import time
from typing import Any

from rest_framework.request import Request

from sensors.api.addresses import client_address, origin
from sensors.api.counters import counters
from sensors.api.throttles import WindowThrottle, local_counts


class ClaimThrottle(WindowThrottle):
    """Wrong codes from one address within a window; beyond CLAIM_THROTTLE nothing from it is looked at.

    Only wrong ones are counted: a hall of sensors behind one address asks for its logins all the time. While Redis is
    away each process counts for itself.
    """

    scope = "claim"

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return whether this address may try a code."""
        return self._within(request, by=0, at_most=self.requests - 1)

    def note_wrong(self, request: Request) -> None:
        """Count a wrong code."""
        self._within(request, by=1, at_most=self.requests)

    def _within(self, request: Request, *, by: int, at_most: int) -> bool:
        now_s = time.time()
        key = self.key(f"address:{origin(client_address(request))}", now_s)
        number = counters().count(key, window_s=self.window_s, by=by)
        if number is None:
            number = local_counts.count(key, by)
        self.wait_s = self.window_s - now_s % self.window_s
        return number <= at_most
