"""Whether the parts do their work, and which one must be started again because it does not."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Final

# Long enough for a checkpoint, a suspended laptop, a slow query or a broker's restart; whoever has not worked for
# that long does not recover by itself.
PATIENCE_S: Final = 60.0
REQUEST_TIMEOUT_S: Final = 10.0

# What each must have to be able to work: without that it is not to blame.
_NEEDS: Final = {
    "bridge": ("database", "broker"),
    # It works when beat sends it something.
    "worker": ("database", "redis", "beat"),
    "beat": ("database", "redis"),
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """An answer of /readyz. ready: whether all parts are fit. age_s: of the last ticks of parts that tick."""

    ready: bool
    fit: dict[str, bool]
    age_s: dict[str, float] = field(default_factory=dict)

    def ready_since(self, uptime_s: float) -> bool:
        """Return whether all parts are fit, by ticks that are younger than `uptime_s`.

        Right after a restart the ticks of the processes before are still young enough to be taken for fit.
        """
        return self.ready and all(age_s <= uptime_s for age_s in self.age_s.values())

    def unfit(self) -> list[str]:
        """Return the names of the parts that are not fit."""
        return [name for name, fit in self.fit.items() if not fit]


def fetch_readiness(host: str, port: int, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Readiness | None:
    """Return what /readyz says, None when there is no such answer."""
    answer = _get(host, port, "/readyz", timeout_s)
    if answer is None:
        return None
    status, body = answer
    try:
        parts = json.loads(body)["parts"]
        ages = {name: float(part["age_s"]) for name, part in parts.items() if part.get("age_s") is not None}
        return Readiness(status == 200, {name: bool(part["fit"]) for name, part in parts.items()}, ages)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def is_alive(host: str, port: int, *, timeout_s: float = REQUEST_TIMEOUT_S) -> bool:
    """Return whether the web process answers /healthz."""
    return _get(host, port, "/healthz", timeout_s) is not None


def _get(host: str, port: int, path: str, timeout_s: float) -> tuple[int, bytes] | None:
    connection = http.client.HTTPConnection(host.strip("[]"), port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@dataclass(slots=True)
class Patience:
    """Counts for how long a part has been at fault without a break."""

    limit_s: float
    _since_s: dict[str, float] = field(default_factory=dict)

    def ends(self, name: str, *, at_fault: bool, now_s: float) -> bool:
        """Return whether `name` has been at fault for the whole limit; then its count starts anew.

        now_s: of a monotonic clock. Every look at which it was not at fault starts the count anew.
        """
        if not at_fault:
            self._since_s.pop(name, None)
            return False
        if now_s - self._since_s.setdefault(name, now_s) < self.limit_s:
            return False
        del self._since_s[name]
        return True


def at_fault(readiness: Readiness | None) -> set[str]:
    """Return the services that do not work although they could.

    Without an answer nobody is: the web process is judged by itself.
    """
    if readiness is None:
        return set()
    return {
        name
        for name, needs in _NEEDS.items()
        if readiness.fit.get(name) is False and all(readiness.fit.get(need, True) for need in needs)
    }
