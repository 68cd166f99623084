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


class Drained(msgspec.Struct, frozen=True):
    """The proof that the broker had nothing older for this shard; recorded with the batch."""

    shard: str
    until: datetime


def ingest_batch(messages: Sequence[InboundMessage], *, now: datetime, drained: Drained | None = None) -> BatchResult:
    """Store `messages` and return what they changed; once it has returned they may be acknowledged.

    Safe to repeat with the same messages. Raises django.db.DatabaseError when the database is away or unable;
    then nothing, or only whole pieces, were stored, and the same call may be made again.
    """
    result = store([parse_message(message) for message in messages], now=now)
    if drained is not None:
        # After the data: a crash in between only makes the mark older than it could be.
        record_watermark(drained.shard, drained_until=drained.until)
    return result


def store(parts: list[Part], *, now: datetime) -> BatchResult:
    """Store parsed messages like `ingest_batch`."""
    for _ in range(MISSING_PARTITION_TRIES):
        partitions.ensure_months(_months(parts))
        try:
            with transaction.atomic():
                return store_parts(parts, now=now)
        except DatabaseError as error:
            if partitions.is_missing_partition(error):
                # Retention dropped a month that was still known here.
                partitions.forget_months()
                continue
            if not sqlstate(error).startswith(DATA_ERRORS):
                raise
            pieces = _halves(parts, error)
        result = BatchResult()
        for piece in pieces:
            result.add(store(piece, now=now))
        return result
    raise OperationalError("the partitions of this batch are dropped as fast as they are made")


def sqlstate(error: DatabaseError) -> str:
    """Return the five-character SQLSTATE behind `error`, or "" when the server said nothing."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def _months(parts: Iterable[Part]) -> set[date]:
    # Times are grouped by day first, because a batch usually holds thousands of entries of one day.
    days = {entry.measured_us // 86_400_000_000 for part in parts for entry in part.entries}
    return partitions.months_of(entry_time(day * 86_400_000_000) for day in days)


def _halves(parts: list[Part], error: DatabaseError) -> list[list[Part]]:
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
