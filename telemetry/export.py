"""Measurements as a stream of CSV or NDJSON, in constant memory however long the range is.

A stream has a database connection of its own, because it may last for minutes, and reads through a server-side
cursor in one snapshot. Closing the generator closes the connection.
"""

import asyncio
import enum
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

import msgspec
from django.db import connection
from psycopg import AsyncConnection, IsolationLevel

from sensors.spreadsheets import csv_cell, csv_lines, guarded

# About 64 KiB and 4 ms of formatting, during which the event loop serves nobody else.
ROWS_PER_CHUNK: Final = 500
# Each takes a connection and up to half a core; the rest wait their turn.
MAX_AT_ONCE: Final = 4
# Ends what a reader who stopped reading keeps open: a snapshot holds back cleaning up in the whole database.
_IDLE_TIMEOUT: Final = "5min"

_ATTRIBUTES: Final = """
SELECT DISTINCT jsonb_object_keys(value) FROM telemetry_measurement
WHERE sensor_id = ANY(%(sensor_ids)s) AND {range}
"""
_ROWS: Final = """
SELECT measured_at, received_at, revision, {value}::text FROM telemetry_measurement
WHERE sensor_id = %(sensor_id)s AND {range}
ORDER BY measured_at, digest
"""
_SOME_ATTRIBUTES: Final = """
(SELECT coalesce(jsonb_object_agg(item.key, item.value), '{}') FROM jsonb_each(value) AS item
 WHERE item.key = ANY(%(attributes)s))
"""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

Row = tuple[datetime, datetime, int, str]


class Format(enum.StrEnum):
    """How a stream is written."""

    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def content_type(self) -> str:
        """The media type."""
        return "text/csv; charset=utf-8" if self is Format.CSV else "application/x-ndjson"


class Source(Protocol):
    """What is exported: a `sensors.models.Sensor`, or anything else with its id and identifier."""

    pk: Any
    identifier: str


async def stream_measurements(
    sensors: Sequence[Source],
    *,
    form: Format,
    start: datetime | None = None,
    end: datetime | None = None,
    attributes: Sequence[str] = (),
    with_sensor: bool = False,
) -> AsyncIterator[tuple[bytes, int]]:
    """Yield (bytes, number of measurements in them): each sensor's measurements in [start, end), oldest first.

    attributes: the only ones to write, as columns in this order; by default all that occur, by name, for which
    the range is read once before. with_sensor: the identifier comes first on each line.
    Raises what the database raises; what was yielded until then is no complete export.
    """
    async with _slot(), _own_connection() as own:
        columns = list(attributes)
        if form is Format.CSV and not columns:
            columns = await _attributes(own, sensors, start=start, end=end)
        writer = _CsvWriter(columns) if form is Format.CSV else _NdjsonWriter()
        if head := writer.head(with_sensor=with_sensor):
            yield head, 0
        for sensor in sensors:
            identifier = sensor.identifier if with_sensor else None
            values = {"sensor_id": sensor.pk, "start": start, "end": end, "attributes": list(attributes)}
            async with own.cursor(name="export") as cursor:
                value = _SOME_ATTRIBUTES if attributes else "value"
                query = _ROWS.replace("{value}", value).replace("{range}", _range_sql(start, end))
                await cursor.execute(query.encode(), values)
                while rows := await cursor.fetchmany(ROWS_PER_CHUNK):
                    yield writer.lines(rows, identifier), len(rows)


class _CsvWriter:
    """RFC 4180 with a header; strings that a spreadsheet would take for a formula start with an apostrophe."""

    def __init__(self, attributes: Sequence[str]) -> None:
        self.attributes = attributes

    def head(self, *, with_sensor: bool) -> bytes:
        first = ["sensor"] if with_sensor else []
        names = [*first, "measured_at", "received_at", "revision", *map(guarded, self.attributes)]
        return csv_lines([names])

    def lines(self, rows: Sequence[Row], identifier: str | None) -> bytes:
        first = [] if identifier is None else [identifier]
        return csv_lines(
            [*first, _time(measured_at), _time(received_at), str(revision), *self._cells(text)]
            for measured_at, received_at, revision, text in rows
        )

    def _cells(self, text: str) -> list[str]:
        value = msgspec.json.decode(text)
        return [csv_cell(value.get(name)) for name in self.attributes]


class _NdjsonWriter:
    """One object a line, as over HTTP."""

    def head(self, *, with_sensor: bool) -> bytes:
        return b""

    def lines(self, rows: Sequence[Row], identifier: str | None) -> bytes:
        # An identifier has no character that JSON would escape.
        first = "" if identifier is None else f'"sensor":"{identifier}",'
        lines = [
            f'{{{first}"measured_at":"{_time(measured_at)}","received_at":"{_time(received_at)}",'
            f'"revision":{revision},"value":{text}}}\n'
            for measured_at, received_at, revision, text in rows
        ]
        return "".join(lines).encode()


def _time(moment: datetime) -> str:
    return f"{moment.isoformat().removesuffix('+00:00')}Z"


def _range_sql(start: datetime | None, end: datetime | None) -> str:
    """Return the condition in the form in which it limits the partitions that are read."""
    bounds = [text for text, bound in (("measured_at >= %(start)s", start), ("measured_at < %(end)s", end)) if bound]
    return " AND ".join(bounds) or "TRUE"


async def _attributes(
    own: AsyncConnection, sensors: Sequence[Source], *, start: datetime | None, end: datetime | None
) -> list[str]:
    query = _ATTRIBUTES.replace("{range}", _range_sql(start, end))
    values = {"sensor_ids": [sensor.pk for sensor in sensors], "start": start, "end": end}
    cursor = await own.execute(query.encode(), values)
    return sorted([name async for (name,) in cursor])


@asynccontextmanager
async def _own_connection() -> AsyncIterator[AsyncConnection]:
    """Return a connection in a read-only transaction of one snapshot, outside of Django's pool."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory", "prepare_threshold"):
        parameters.pop(name, None)
    own = await AsyncConnection.connect(**parameters)
    try:
        await own.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await own.set_read_only(True)
        await own.execute(
            "SELECT set_config('timezone', 'UTC', true), set_config('jit', 'off', true),"
            " set_config('max_parallel_workers_per_gather', '0', true),"
            " set_config('idle_in_transaction_session_timeout', %s, true)",
            [_IDLE_TIMEOUT],
        )
        yield own
    finally:
        # Without a commit: there is nothing to keep, and closing ends a query that still runs.
        await own.close()


@asynccontextmanager
async def _slot() -> AsyncIterator[None]:
    """Wait for one of this process' places."""
    slots = _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_AT_ONCE))
    async with slots:
        yield
