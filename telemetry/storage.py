"""Rows into the three tables of entries: COPY into a temporary table, then INSERT … ON CONFLICT DO NOTHING.

Measured faster than any other way that also drops duplicates (docs/performance.md). Every function takes a cursor
inside the caller's transaction and returns which rows were new.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from telemetry.payloads import Heartbeat, LogMessage, Measurement

# (sensor_id, digest): the digest covers the time, so within one batch it names a row.
Key = tuple[int, int]


class Row(msgspec.Struct, frozen=True, gc=False):
    """One entry of a known sensor, with the bridge's time in microseconds since 1970."""

    sensor_id: int
    received_us: int
    entry: Any


_CREATE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_{name}
    (sensor_id bigint, measured_us bigint, digest bigint, received_us bigint, revision integer, {typed_columns})
    ON COMMIT DELETE ROWS
"""
# Equal rows of one batch: the first one is kept, as between batches.
_INSERT: Final = """
INSERT INTO telemetry_{name} (sensor_id, measured_at, digest, received_at, revision, {columns})
SELECT sensor_id, 'epoch'::timestamptz + measured_us * interval '1 microsecond', digest,
       'epoch'::timestamptz + received_us * interval '1 microsecond', revision, {columns}
FROM incoming_{name}
ON CONFLICT DO NOTHING
RETURNING sensor_id, digest
"""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def store_measurements(cursor: Any, rows: Sequence[Row]) -> set[Key]:
    """Insert what is new of `rows`; return the keys of the inserted ones. Needs their months' partitions."""
    lines = []
    for row in rows:
        entry: Measurement = row.entry
        # JSON text has no raw tab or newline; only its backslashes mean something to COPY.
        text = entry.encoded.replace(b"\\", b"\\\\") if b"\\" in entry.encoded else entry.encoded
        lines.append(b"%s%s\n" % (_head(row), text))
    return _insert_new(cursor, "measurement", "value jsonb", "value", lines)


def store_heartbeats(cursor: Any, rows: Sequence[Row]) -> set[Key]:
    """Insert what is new of `rows`; return the keys of the inserted ones."""
    lines = []
    for row in rows:
        entry: Heartbeat = row.entry
        lines.append(b"%s%s\n" % (_head(row), b"t" if entry.success else b"f"))
    return _insert_new(cursor, "heartbeat", "success boolean", "success", lines)


def store_log_messages(cursor: Any, rows: Sequence[Row]) -> set[Key]:
    """Insert what is new of `rows`; return the keys of the inserted ones."""
    lines = []
    for row in rows:
        entry: LogMessage = row.entry
        details = "\\N" if entry.details is None else entry.details.translate(_ESCAPES)
        text = f"{entry.severity}\t{entry.subject.translate(_ESCAPES)}\t{details}\n"
        lines.append(_head(row) + text.encode())
    return _insert_new(
        cursor, "logmessage", "severity text, subject text, details text", "severity, subject, details", lines
    )


def _head(row: Row) -> bytes:
    entry = row.entry
    return b"%d\t%d\t%d\t%d\t%d\t" % (
        row.sensor_id,
        entry.measured_us,
        entry.digest,
        row.received_us,
        entry.revision,
    )


def _insert_new(cursor: Any, name: str, typed_columns: str, columns: str, lines: list[bytes]) -> set[Key]:
    if not lines:
        return set()
    cursor.execute(_CREATE.format(name=name, typed_columns=typed_columns))
    # A savepoint that was rolled back leaves nothing here, but a part of the same transaction that went well does.
    cursor.execute(f"TRUNCATE incoming_{name}")
    with cursor.copy(f"COPY incoming_{name} FROM STDIN") as copy:
        copy.write(b"".join(lines))
    cursor.execute(_INSERT.format(name=name, columns=columns))
    return {(sensor_id, digest) for sensor_id, digest in cursor.fetchall()}
