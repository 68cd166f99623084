"""Keeps what came in and could not be stored, with its reason, and counts what is too much to keep.

A sensor (and all unknown ones together) has so many new rows a UTC hour; what comes beyond them is counted in one
row for its reason and hour. So a sensor that sends nothing but garbage costs the rows of its first messages.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import connection, transaction

from sensors.wire import Reason

# Enough to see what a sensor sends wrongly, and to take it in again once the cause is mended.
KEPT_BYTES: Final = 64 * 1024
KEPT_TOPIC_CHARACTERS: Final = 512
KEPT_DETAIL_CHARACTERS: Final = 1_000
# The sensor's id that stands for all unknown sensors and topics; real ones begin at 1.
UNKNOWN: Final = 0
# A transaction of some 50 ms, so that ingest never waits long for its locks.
_ROWS_PER_BATCH: Final = 5_000


class Rejected(msgspec.Struct, frozen=True):
    """One refused message (`whole`), or one refused entry of a message."""

    topic: str
    payload: bytes
    reason: Reason
    detail: str
    at: datetime
    sensor_id: int | None = None
    whole: bool = True


# Topic, and digest of the payload.
_Key = tuple[str, bytes]


class _Row(msgspec.Struct):
    """What one row is made of or gains."""

    newest: Rejected
    count: int
    first_at: datetime
    last_at: datetime
    kept: bool = True

    def add(self, other: "_Row") -> None:
        self.newest = other.newest
        self.count += other.count
        self.first_at = min(self.first_at, other.first_at)
        self.last_at = max(self.last_at, other.last_at)


_collected: ContextVar[list[Rejected] | None] = ContextVar("collected", default=None)


@contextmanager
def collecting_rejected() -> Iterator[list[Rejected]]:
    """Hand what is refused in this block, in this thread, to the caller instead of writing it.

    A piece of work that is tried twice may be in the list twice.
    """
    collected: list[Rejected] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


def record_rejected(cursor: Any, rejected: Sequence[Rejected]) -> None:
    """Keep `rejected`, the same bytes on the same topic as one row with a count, in the caller's transaction.

    cursor: the driver's own (`sensors.database.driver_cursor`).
    What is new beyond settings.REJECTED_PER_SENSOR_AND_HOUR is only counted. Two bridges together never keep more
    than that; they keep one less when both bring the same new bytes at the same moment. They wait for each other at
    the rows of the same sensor, so let this be the last thing before the commit.
    """
    collected = _collected.get()
    if collected is None:
        keep_rejected(cursor, rejected, limit=settings.REJECTED_PER_SENSOR_AND_HOUR)
    else:
        collected.extend(rejected)


def keep_rejected(cursor: Any, rejected: Sequence[Rejected], *, limit: int | None) -> None:
    """Do the work of `record_rejected`; limit: new rows a sensor and hour, None for no limit and no counting of it."""
    rows: dict[_Key, _Row] = {}
    for item in rejected:
        _add(rows, key_of(item.topic, item.payload), _Row(item, 1, item.at, item.at))
    if limit is not None:
        _limit(cursor, rows, limit)
    _upsert(cursor, rows)


def key_of(topic: str, payload: bytes) -> _Key:
    """Return what is unique to a row: the topic as it is stored, and the digest of the whole payload."""
    return storable_text(topic)[:KEPT_TOPIC_CHARACTERS], hashlib.blake2b(payload, digest_size=16).digest()


def storable_text(text: str) -> str:
    """Return `text` with what PostgreSQL cannot store (NUL, lone surrogates) replaced."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def prune_rejected(*, before: datetime, dry_run: bool = False) -> int:
    """Delete rejected messages that were last seen before `before`; return how many.

    Safe to repeat or to interrupt. dry_run: counts the same and deletes nothing.
    """
    with connection.cursor() as cursor:
        if dry_run:
            cursor.execute("SELECT count(*) FROM telemetry_rejectedmessage WHERE last_at < %s", [before])
            return int(cursor.fetchone()[0])
        cursor.execute("DELETE FROM telemetry_rejectedhour WHERE hour < %s", [before])
        deleted = 0
        while True:
            with transaction.atomic():
                # The time again, because a message that was seen once more in between is a younger row at that place.
                cursor.execute(
                    "DELETE FROM telemetry_rejectedmessage WHERE last_at < %s AND ctid = ANY(ARRAY("
                    "SELECT ctid FROM telemetry_rejectedmessage WHERE last_at < %s LIMIT %s))",
                    [before, before, _ROWS_PER_BATCH],
                )
                rows = cursor.rowcount
            deleted += rows
            if rows < _ROWS_PER_BATCH:
                return deleted


def _add(rows: dict[_Key, _Row], key: _Key, row: _Row) -> None:
    known = rows.get(key)
    if known is None:
        rows[key] = row
    else:
        known.add(row)


# --- The limit -----------------------------------------------------------------------------------

_KNOWN: Final = """
SELECT known.topic, known.digest FROM telemetry_rejectedmessage AS known
JOIN unnest(%b::text[], %b::bytea[]) AS sent (topic, digest) USING (topic, digest)
"""
# In the order of their key here and below, so that two bridges never wait for each other in a circle.
_COUNT: Final = """
INSERT INTO telemetry_rejectedhour AS known (hour, sensor_id, number)
SELECT * FROM unnest(%b::timestamptz[], %b::bigint[], %b::bigint[])
ON CONFLICT (hour, sensor_id) DO UPDATE SET number = known.number + excluded.number
RETURNING hour, sensor_id, number
"""


def _limit(cursor: Any, rows: dict[_Key, _Row], limit: int) -> None:
    """Replace what is new in `rows` and beyond the limit of its sensor and hour by rows that only count it."""
    cursor.execute(_KNOWN, [[topic for topic, _ in rows], [digest for _, digest in rows]], prepare=True)
    known = {(topic, bytes(digest)) for topic, digest in cursor.fetchall()}
    new: dict[tuple[datetime, int], list[_Key]] = {}
    for key, row in rows.items():
        if key not in known:
            hour = row.first_at.replace(minute=0, second=0, microsecond=0)
            new.setdefault((hour, row.newest.sensor_id or UNKNOWN), []).append(key)
    if not new:
        return
    hours = sorted(new)
    cursor.execute(
        _COUNT,
        [[hour for hour, _ in hours], [sensor_id for _, sensor_id in hours], [len(new[each]) for each in hours]],
        prepare=True,
    )
    numbers = {(hour, sensor_id): number for hour, sensor_id, number in cursor.fetchall()}
    for (hour, sensor_id), keys in new.items():
        before = numbers[hour, sensor_id] - len(keys)
        for key in keys[max(0, limit - before) :]:
            row = rows.pop(key)
            row.kept = False
            _add(rows, _key_of_counted(row.newest, hour), row)


def _key_of_counted(rejected: Rejected, hour: datetime) -> _Key:
    """Return the key of the row that counts what is like `rejected`; its topic is a filter, which no message has."""
    name = f"{rejected.sensor_id} {rejected.reason} {hour:%Y-%m-%dT%H}"
    topic = "#" if rejected.sensor_id is None else f"+/{rejected.topic.partition('/')[2]}"
    return key_of(topic, name.encode())


# --- The rows ------------------------------------------------------------------------------------

_UPSERT: Final = """
INSERT INTO telemetry_rejectedmessage AS known
    (topic, digest, sensor_id, reason, detail, count, first_at, last_at, payload, payload_bytes, whole, kept)
SELECT
    topic, digest, NULLIF(sensor_id, 0), reason, detail, count, first_at, last_at, payload, payload_bytes, whole, kept
FROM unnest(
    %b::text[], %b::bytea[], %b::bigint[], %b::text[], %b::text[], %b::bigint[], %b::timestamptz[], %b::timestamptz[],
    %b::bytea[], %b::int[], %b::bool[], %b::bool[]
) AS new (topic, digest, sensor_id, reason, detail, count, first_at, last_at, payload, payload_bytes, whole, kept)
ON CONFLICT (topic, digest) DO UPDATE SET
    count = known.count + excluded.count,
    last_at = GREATEST(known.last_at, excluded.last_at),
    -- An unknown sensor may have become a known one, and the cause another one.
    sensor_id = excluded.sensor_id, reason = excluded.reason, detail = excluded.detail, whole = excluded.whole
"""


def _upsert(cursor: Any, rows: dict[_Key, _Row]) -> None:
    if rows:
        columns = zip(*(_values(key, rows[key]) for key in sorted(rows)), strict=True)
        cursor.execute(_UPSERT, [list(column) for column in columns], prepare=True)


def _values(key: _Key, row: _Row) -> tuple[Any, ...]:
    newest = row.newest
    detail = newest.detail
    if not row.kept:
        detail = f"too many in this hour: counted, not kept; the last one: {detail}"
    return (
        *key,
        newest.sensor_id or UNKNOWN,
        newest.reason.value,
        storable_text(detail)[:KEPT_DETAIL_CHARACTERS],
        row.count,
        row.first_at,
        row.last_at,
        newest.payload[:KEPT_BYTES] if row.kept else b"",
        len(newest.payload) if row.kept else 0,
        newest.whole if row.kept else True,
        row.kept,
    )
