"""One batch of messages, all of it stored or nothing, whatever is wrong with single entries.

What the database refuses (a value that only it finds wrong) costs just the entry that carries it: the batch is
halved until that entry stands alone and is kept as rejected. Any other database error is the caller's to retry.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final

import msgspec
import structlog
from django.db import DatabaseError, OperationalError, transaction
from psycopg.errors import UniqueViolation

from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage, Part, parse_message
from fleet.ingest.transaction import entry_time, store_parts
from sensors.activity import record_watermark
from sensors.wire import Reason
from telemetry import partitions
from telemetry.payloads import RefusedEntry

log = structlog.get_logger(__name__)

# SQLSTATE classes of what is wrong with the data itself: data exception, integrity violation, limit exceeded.
# Everything else (connection, space, read-only, locks) passes when its cause does, and must not cost data.
DATA_ERRORS: Final = ("22", "23", "54")
# Retention runs once a day; meeting it twice in a row is somebody's loop, and better retried more slowly.
MISSING_PARTITION_TRIES: Final = 3
DAY_US: Final = 86_400_000_000


class Drained(msgspec.Struct, frozen=True):
    """The proof that the broker had nothing older for this shard; recorded with the batch."""

    shard: str
    until: datetime


def ingest_batch(messages: Sequence[InboundMessage], *, now: datetime, drained: Drained | None = None) -> BatchResult:
    """Parse `messages` and store them like `store_batch`."""
    return store_batch([parse_message(message) for message in messages], now=now, drained=drained)


def store_batch(parts: Sequence[Part], *, now: datetime, drained: Drained | None = None) -> BatchResult:
    """Store parsed messages and return what they changed; once it has returned they may be acknowledged.

    Safe to repeat with the same messages. Raises django.db.DatabaseError when the database is away or unable;
    then nothing, or only whole pieces, were stored, and the same call may be made again.
    """
    careful = any(part.message.redelivered for part in parts)
    result = store(parts, now=now, careful=careful)
    if drained is not None:
        # After the data: a crash in between only makes the mark older than it could be.
        record_watermark(drained.shard, drained_until=drained.until)
    return result


def store(parts: Sequence[Part], *, now: datetime, careful: bool = False) -> BatchResult:
    """Store parsed messages; careful: expect that some are stored already."""
    careful = careful or _repeats.expected()
    tries = 0
    while tries < MISSING_PARTITION_TRIES:
        partitions.ensure_months(_months(parts))
        try:
            with transaction.atomic():
                result = store_parts(parts, now=now, careful=careful)
            _repeats.note(result.duplicates > 0)
            return result
        except DatabaseError as error:
            if not careful and isinstance(error.__cause__, UniqueViolation):
                careful = True
                continue
            tries += 1
            if partitions.is_missing_partition(error):
                # Retention dropped a month that was still known here.
                partitions.forget_months()
                continue
            if not sqlstate(error).startswith(DATA_ERRORS):
                raise
            pieces = _halves(parts, error)
        result = BatchResult()
        for piece in pieces:
            result.add(store(piece, now=now, careful=careful))
        return result
    raise OperationalError("the partitions of this batch are dropped as fast as they are made")


def sqlstate(error: DatabaseError) -> str:
    """Return the five-character SQLSTATE behind `error`, or "" when the server said nothing."""
    return getattr(error.__cause__, "sqlstate", None) or ""


class _Repeats:
    """Whether to expect entries that are stored already, by the last batches: who repeats one repeats many."""

    # A batch that meets one unexpectedly is written twice, which is then lost in the others.
    AFTER: Final = 50

    def __init__(self) -> None:
        self._left = 0

    def expected(self) -> bool:
        return self._left > 0

    def note(self, seen: bool) -> None:
        self._left = self.AFTER if seen else max(0, self._left - 1)


_repeats: Final = _Repeats()


def _months(parts: Iterable[Part]) -> set[date]:
    # By day first, because next to all of a batch is of one day; of a message, only one of many days is gone through.
    days: set[int] = set()
    for part in parts:
        if part.entries:
            first, last = part.oldest_us // DAY_US, part.newest_us // DAY_US
            days |= {first} if first == last else {entry.measured_us // DAY_US for entry in part.entries}
    return partitions.months_of(entry_time(day * DAY_US) for day in days)


def _halves(parts: Sequence[Part], error: DatabaseError) -> list[Sequence[Part]]:
    """Return two smaller batches, or the one whose only entry is refused."""
    if len(parts) > 1:
        middle = len(parts) // 2
        return [parts[:middle], parts[middle:]]
    (part,) = parts
    if len(part.entries) > 1:
        middle = len(part.entries) // 2
        return [
            [msgspec.structs.replace(part, entries=part.entries[:middle])],
            # Its refusals went with the first half.
            [msgspec.structs.replace(part, entries=part.entries[middle:], refused=())],
        ]
    if not part.entries:
        raise error
    why = str(error).splitlines()[0]
    log.warning("entry refused by the database", topic=part.message.topic, error=why[:200])
    (entry,) = part.entries
    refusal = RefusedEntry(Reason.REFUSED_BY_DATABASE, why, entry.as_json())
    return [[msgspec.structs.replace(part, entries=(), refused=(*part.refused, refusal))]]
