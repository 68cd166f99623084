"""Entries into their three tables, by COPY in binary.

`insert_new` copies straight into the table and fails if anything in it is known already, which next to never happens;
`insert_unknown` goes through a temporary table and passes over what is known, at about twice the cost
(docs/decisions/0001-one-jsonb-row-per-measurement.md). Both take a psycopg cursor inside the caller's transaction.
"""

import enum
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec

from telemetry.payloads import Heartbeat, LogMessage, Measurement

# (sensor_id, digest): the digest covers the time, so within one batch it names a row.
Key = tuple[int, int]


class Arrival(msgspec.Struct, frozen=True):
    """Entries of one known sensor that came in together, at the bridge's time in microseconds since 1970."""

    sensor_id: int
    received_us: int
    entries: Sequence[Any]


# Large pieces, since each write waits for the socket.
ARRIVALS_PER_WRITE: Final = 100

# The format of COPY … (FORMAT BINARY), PostgreSQL's manual, "COPY": a header, rows of length-prefixed fields, and an
# end. Times are microseconds since 2000; jsonb is a 1 and its text.
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_EPOCH_US: Final = 946_684_800_000_000
_NULL: Final = b"\xff\xff\xff\xff"
# How many columns; then sensor_id, measured_at, digest, received_at, revision, each after its length.
_HEAD: Final = struct.Struct(">hiqiqiqiqii").pack
# The same with the length of a jsonb and the 1 before its text.
_HEAD_AND_JSON: Final = struct.Struct(">hiqiqiqiqiiib").pack
_LENGTH: Final = struct.Struct(">i").pack


def _measurements(arrival: Arrival) -> Iterator[bytes]:
    sensor_id, received = arrival.sensor_id, arrival.received_us - _EPOCH_US
    entry: Measurement
    for entry in arrival.entries:
        encoded = entry.encoded
        measured = entry.measured_us - _EPOCH_US
        yield _HEAD_AND_JSON(
            6, 8, sensor_id, 8, measured, 8, entry.digest, 8, received, 4, entry.revision, len(encoded) + 1, 1
        )
        yield encoded


def _heartbeats(arrival: Arrival) -> Iterator[bytes]:
    entry: Heartbeat
    for entry in arrival.entries:
        yield _head(6, arrival, entry)
        yield b"\0\0\0\1\1" if entry.success else b"\0\0\0\1\0"


def _log_messages(arrival: Arrival) -> Iterator[bytes]:
    entry: LogMessage
    for entry in arrival.entries:
        yield _head(8, arrival, entry)
        for text in (entry.severity, entry.subject, entry.details):
            if text is None:
                yield _NULL
            else:
                encoded = text.encode()
                yield _LENGTH(len(encoded))
                yield encoded


def _head(columns: int, arrival: Arrival, entry: Heartbeat | LogMessage) -> bytes:
    measured, received = entry.measured_us - _EPOCH_US, arrival.received_us - _EPOCH_US
    return _HEAD(columns, 8, arrival.sensor_id, 8, measured, 8, entry.digest, 8, received, 4, entry.revision)


@dataclass(frozen=True, slots=True)
class _Layout:
    name: str
    columns: str
    rows: Callable[[Arrival], Iterator[bytes]]

    @property
    def all_columns(self) -> str:
        """The columns in the order of `rows`."""
        return f"sensor_id, measured_at, digest, received_at, revision, {self.columns}"


class Table(enum.Enum):
    """The tables of entries."""

    MEASUREMENTS = _Layout("measurement", "value", _measurements)
    HEARTBEATS = _Layout("heartbeat", "success", _heartbeats)
    LOG_MESSAGES = _Layout("logmessage", "severity, subject, details", _log_messages)


def insert_new(cursor: Any, table: Table, arrivals: Sequence[Arrival]) -> None:
    """Insert all entries; raise psycopg's UniqueViolation, and spoil the transaction, if one is known already.

    Needs the months' partitions.
    """
    _copy(cursor, table, f"telemetry_{table.value.name}", arrivals)


_CREATE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_{name} ON COMMIT DELETE ROWS
AS SELECT {columns} FROM telemetry_{name} WITH NO DATA
"""
_INSERT: Final = """
INSERT INTO telemetry_{name} ({columns}) SELECT {columns} FROM incoming_{name}
ON CONFLICT DO NOTHING RETURNING sensor_id, digest
"""


def insert_unknown(cursor: Any, table: Table, arrivals: Sequence[Arrival]) -> set[Key]:
    """Insert what is not known yet, and of equal entries the first; return the keys of the inserted ones."""
    names = {"name": table.value.name, "columns": table.value.all_columns}
    cursor.execute(_CREATE.format(**names))
    # A savepoint that was rolled back leaves nothing here, but a part of the same transaction that went well does.
    cursor.execute("TRUNCATE incoming_{name}".format(**names))
    _copy(cursor, table, f"incoming_{table.value.name}", arrivals)
    cursor.execute(_INSERT.format(**names))
    return {(sensor_id, digest) for sensor_id, digest in cursor.fetchall()}


def _copy(cursor: Any, table: Table, into: str, arrivals: Sequence[Arrival]) -> None:
    layout = table.value
    with cursor.copy(f"COPY {into} ({layout.all_columns}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_HEADER)
        # In pieces, so that the server works on one while the next is made.
        for start in range(0, len(arrivals), ARRIVALS_PER_WRITE):
            rows = chain.from_iterable(map(layout.rows, arrivals[start : start + ARRIVALS_PER_WRITE]))
            copy.write(b"".join(rows))
        copy.write(_END)
