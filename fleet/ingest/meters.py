"""What one bridge counts of its work: for its tick, and from there for `/metrics` and the page "Ingest".

Everything is cumulative since the process started, as Prometheus wants its counters and histograms. Nothing is locked:
each number has one thread that writes it, and a reader may see it one batch late.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from config.models import RevisionState
from config.services import RevisionChange
from fleet.ingest.recent import Mark, Recent
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import Family, InboundMessage

# Upper bounds of buckets, in seconds or messages. A change of one is a change of the metric: old and new do not add up.
BATCH_MESSAGES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
COMMIT_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_S: Final = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
# A sensor that sleeps answers when it wakes up.
ANSWER_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0)

# A scrape every 15 s, or even once a minute, must not miss a full queue.
HIGH_WATER_S: Final = 60.0

_received_at: Final = attrgetter("received_at")
_FAMILIES: Final = {family.value[0]: family.value for family in Family}
_NO_TIME: Final = timedelta(0)
_SECOND: Final = timedelta(seconds=1)


class Histogram:
    """Counts by bucket and their sum; `counts` are each bucket's own, the last one beyond the last of `bounds`."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count `value`; a bound belongs to its bucket."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def detail(self) -> dict[str, Any]:
        """Return counts and sum, for JSON."""
        return {"counts": self.counts.copy(), "sum": round(self.sum, 6)}


class Meters:
    """One bridge's counters. The receiver's thread adds to the first group, the writer calls the methods.

    A message costs about 0.15 µs in a batch of 500, where parsing and storing it cost some 50.
    """

    def __init__(self, *, started_at: datetime) -> None:
        self._started_at = started_at
        # Added to by the receiver's thread, for every message: taken in, their payloads, and other shards' messages.
        self.received = 0
        self.received_bytes = 0
        self.passed_over = 0
        # The writer's.
        self._messages = dict.fromkeys(_FAMILIES.values(), 0)
        self._stored = 0
        self._duplicates = 0
        self._rejected: Counter[str] = Counter()
        self._batch_messages = Histogram(BATCH_MESSAGES)
        self._commit_s = Histogram(COMMIT_S)
        self._lag_s = Histogram(LAG_S)
        self._answer_s = {True: Histogram(ANSWER_S), False: Histogram(ANSWER_S)}
        self._failures = 0
        self._failing_since: datetime | None = None
        self._high_water: deque[tuple[float, int]] = deque()  # (monotonic seconds, messages), falling in messages
        self._recent = Recent(lag_bounds=LAG_S, commit_bounds=COMMIT_S)

    def took(self, *, waiting: int, now_s: float) -> None:
        """Note how many messages waited when a batch was taken, with it; now_s: monotonic seconds."""
        self._recent.queued(waiting)
        marks = self._high_water
        while marks and marks[-1][1] <= waiting:
            marks.pop()
        marks.append((now_s, waiting))
        while marks[0][0] < now_s - HIGH_WATER_S:
            marks.popleft()

    def stored(
        self, result: BatchResult, messages: Sequence[InboundMessage], *, took_s: float, committed_at: datetime
    ) -> None:
        """Count one committed batch.

        messages: in arrival order, without the bridge's own markers; a batch of markers only counts as none.
        took_s: for the attempt that succeeded, from taking the messages up to the commit. committed_at: the
        bridge's clock, like the messages' `received_at`.
        """
        self._failing_since = None
        if not messages:
            return
        # The families differ in their first letters, and the subscriptions let no other topic in.
        letters = [message.topic[0] for message in messages]
        for letter, family in _FAMILIES.items():
            self._messages[family] += letters.count(letter)
        self._stored += result.stored
        self._duplicates += result.duplicates
        for reason, count in result.rejected.items():
            self._rejected[reason] += count
        self._batch_messages.observe(len(messages))
        self._commit_s.observe(took_s)
        self._observe_lags(messages, committed_at)

    def answered(self, changes: Iterable[RevisionChange]) -> None:
        """Count sensors' answers to their revisions, as `record_acknowledgements` returned them, after the commit."""
        for change in changes:
            if change.answer_s is not None:
                self._answer_s[change.state == RevisionState.ACKNOWLEDGED].observe(change.answer_s)

    def failed(self, *, now: datetime) -> None:
        """Note that the database refused a batch, which is tried again; `stored` ends it."""
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = now

    def detail(self, *, now: datetime, now_s: float) -> dict[str, Any]:
        """Return everything for the bridge's tick, JSON-able; now and now_s (monotonic) are the same moment."""
        marks = self._high_water
        while marks and marks[0][0] < now_s - HIGH_WATER_S:
            marks.popleft()
        return {
            "started_at": self._started_at.timestamp(),
            "received": self.received,
            "received_bytes": self.received_bytes,
            "passed_over": self.passed_over,
            "messages": self._messages.copy(),
            "stored": self._stored,
            "duplicates": self._duplicates,
            "rejected": dict(self._rejected),
            "batch_messages": self._batch_messages.detail(),
            "commit_s": self._commit_s.detail(),
            "lag_s": self._lag_s.detail(),
            "answer_s": {"success": self._answer_s[True].detail(), "failure": self._answer_s[False].detail()},
            "failures": self._failures,
            "failing_since": self._failing_since.timestamp() if self._failing_since else None,
            "queue_high_water": marks[0][1] if marks else 0,
            "recent": self._recent.detail(self._mark(now)),
        }

    def _mark(self, now: datetime) -> Mark:
        return Mark(
            at=now.timestamp(),
            received=self.received,
            stored=self._stored,
            duplicates=self._duplicates,
            rejected=self._rejected.total(),
            lag_counts=tuple(self._lag_s.counts),
            commit_counts=tuple(self._commit_s.counts),
        )

    def _observe_lags(self, messages: Sequence[InboundMessage], committed_at: datetime) -> None:
        """Count every message's lag. They came in order, so a bucket's share is found by bisection."""
        lags = self._lag_s
        oldest = messages[0].received_at
        spread = sum([message.received_at - oldest for message in messages], _NO_TIME)
        lags.sum += (len(messages) * (committed_at - oldest) - spread) / _SECOND
        end = len(messages)
        for bucket, bound in enumerate(_LAG_BOUNDS):
            # From here on they are no older than the bound.
            begin = bisect_left(messages, committed_at - bound, 0, end, key=_received_at)
            lags.counts[bucket] += end - begin
            end = begin
            if end == 0:
                return
        lags.counts[-1] += end


_LAG_BOUNDS: Final = tuple(timedelta(seconds=bound) for bound in LAG_S)
