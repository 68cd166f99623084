"""The last minutes of a bridge's work, kept by the bridge itself: who looks at them first sees them at once."""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

# Thirty samples of ten seconds: five minutes, in about 2 KB of the tick.
STEP_S: Final = 10.0
KEPT: Final = 30
# What the page shows as "now": long enough for quantiles to be steady, short enough to follow.
WINDOW_STEPS: Final = 6

# The fields of a sample, in its order: seconds since 1970 of its end, rates per second, messages, seconds.
FIELDS: Final = ("at", "received", "stored", "queue", "lag_p50", "lag_p99", "commit_p50", "commit_p99")


class Mark(NamedTuple):
    """Cumulative counts at one moment; at: seconds since 1970."""

    at: float
    received: int
    stored: int
    duplicates: int
    rejected: int
    lag_counts: tuple[int, ...]
    commit_counts: tuple[int, ...]


class Recent:
    """Samples of the last minutes and the figures of the last one. Written and read by the writer's thread."""

    def __init__(self, *, lag_bounds: Sequence[float], commit_bounds: Sequence[float]) -> None:
        self._lag_bounds = lag_bounds
        self._commit_bounds = commit_bounds
        self._marks: deque[Mark] = deque(maxlen=WINDOW_STEPS + 1)
        self._samples: deque[list[float | None]] = deque(maxlen=KEPT)
        self._queue = 0

    def queued(self, waiting: int) -> None:
        """Note how many messages wait."""
        self._queue = max(self._queue, waiting)

    def detail(self, mark: Mark) -> dict[str, Any]:
        """Return samples and figures up to `mark`; its sample is still growing until it is STEP_S long."""
        if not self._marks:
            self._marks.append(mark)
        last = self._marks[-1]
        growing = self._sample(last, mark)
        samples = [*self._samples, growing]
        if mark.at - last.at >= STEP_S:
            self._samples.append(growing)
            self._marks.append(mark)
            self._queue = 0
        return {"samples": samples, "window": self._window(self._marks[0], mark)}

    def _sample(self, old: Mark, new: Mark) -> list[float | None]:
        lags = difference(old.lag_counts, new.lag_counts)
        commits = difference(old.commit_counts, new.commit_counts)
        return [
            round(new.at, 1),
            per_second(old.at, new.at, new.received - old.received),
            per_second(old.at, new.at, new.stored - old.stored),
            self._queue,
            quantile(self._lag_bounds, lags, 0.5),
            quantile(self._lag_bounds, lags, 0.99),
            quantile(self._commit_bounds, commits, 0.5),
            quantile(self._commit_bounds, commits, 0.99),
        ]

    def _window(self, old: Mark, new: Mark) -> dict[str, float | None]:
        lags = difference(old.lag_counts, new.lag_counts)
        commits = difference(old.commit_counts, new.commit_counts)
        return {
            "seconds": round(new.at - old.at, 1),
            "received": per_second(old.at, new.at, new.received - old.received),
            "stored": per_second(old.at, new.at, new.stored - old.stored),
            "duplicates": per_second(old.at, new.at, new.duplicates - old.duplicates),
            "rejected": per_second(old.at, new.at, new.rejected - old.rejected),
            "lag_p50": quantile(self._lag_bounds, lags, 0.5),
            "lag_p99": quantile(self._lag_bounds, lags, 0.99),
            "commit_p50": quantile(self._commit_bounds, commits, 0.5),
            "commit_p99": quantile(self._commit_bounds, commits, 0.99),
        }


def difference(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Return what was counted between two readings of the same buckets."""
    return [later - earlier for earlier, later in zip(old, new, strict=True)]


def per_second(began: float, ended: float, count: int) -> float | None:
    """Return the rate; None for no time at all."""
    return round(count / (ended - began), 2) if ended > began else None


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float | None:
    """Return the value below which `share` of what was counted lies, interpolated within its bucket.

    As Prometheus' histogram_quantile: what lies beyond the last bound counts as that bound. None without a count.
    """
    reached = list(accumulate(counts))
    if not reached or not reached[-1]:
        return None
    rank = share * reached[-1]
    edges = pairwise((0.0, *bounds))
    for (low, high), before, upto in zip(edges, (0, *reached), reached, strict=False):
        if upto >= rank:
            return float(f"{low + (high - low) * (rank - before) / (upto - before):.4g}")
    return float(bounds[-1])
