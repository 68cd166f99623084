"""Which samples rules wait for, and the durable queue in which they wait."""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import connection

from sensors.database import driver_cursor

# Enough that all workers of a large installation find one; each is a row per batch of ingest.
LANES: Final = 16
# Rows are evaluated whole, so this bounds a transaction's memory: about 200 KiB and 2 ms a row.
SAMPLES_PER_ROW: Final = 2_000
# Larger whole numbers do not fit msgpack's integers; as a float they may.
_LARGEST_INTEGER: Final = 2**63

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class SampleBlock(msgspec.Struct, array_like=True):
    """Samples of one sensor, in columns of equal length, because nearly all of them are only compared as a whole.

    measured, received: microseconds since 1970. columns: by attribute its values, None where a sample has no number.
    """

    sensor_id: int
    measured: list[int]
    received: list[int]
    columns: dict[str, list[float | None]]

    def __len__(self) -> int:
        return len(self.measured)


_decoder = msgspec.msgpack.Decoder(list[SampleBlock])
_encoder = msgspec.msgpack.Encoder()


def lane_of(sensor_id: int) -> int:
    """Return the lane in which the sensor's samples are evaluated, one after the other."""
    return sensor_id % LANES


def microseconds(at: datetime) -> int:
    """Return `at` as microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def moment(microseconds_since_1970: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970, exactly."""
    return _EPOCH + microseconds_since_1970 * _MICROSECOND


def watched_attributes(network_ids: Collection[int]) -> dict[int, frozenset[str]]:
    """Return by network which attributes its enabled threshold rules look at; networks without any are left out.

    One query by index, and nothing is remembered: a rule holds for every sample received after it was committed,
    provided that this runs after the samples were received.
    """
    watched: dict[int, set[str]] = {}
    with driver_cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT network_id, attribute FROM alerts_rule"
            " WHERE enabled AND kind = 'threshold' AND network_id = ANY(%s::bigint[])",
            [list(network_ids)],
            prepare=True,
        )
        for network_id, attribute in cursor.fetchall():
            watched.setdefault(network_id, set()).add(attribute)
    return {network_id: frozenset(attributes) for network_id, attributes in watched.items()}


def queue_samples(blocks: Iterable[SampleBlock], *, now: datetime) -> set[int]:
    """Let the samples be evaluated in the order of each sensor's clock; return the lanes in which they wait.

    blocks: one for each sensor. Inside the caller's transaction, the one that stores the samples. Calls that carry
    samples of the same sensor must not run at the same time (each sensor has one bridge, and each bridge one writer).
    Values of any kind may be in the columns; those that are no number are left out, and so are samples without any.
    """
    lanes: dict[int, list[SampleBlock]] = {}
    for block in blocks:
        if numbers := _numbers(_in_order(block)):
            lanes.setdefault(lane_of(block.sensor_id), []).extend(_pieces(numbers))
    rows = [(lane, row) for lane, waiting in sorted(lanes.items()) for row in _rows(waiting)]
    if rows:
        with driver_cursor() as cursor:
            cursor.execute(
                _QUEUE,
                [
                    now,
                    [lane for lane, _ in rows],
                    [sum(map(len, row)) for _, row in rows],
                    [_encoder.encode(row) for _, row in rows],
                ],
                prepare=True,
            )
    return set(lanes)


# Ids rise in the order of the rows, and rows are taken by id.
_QUEUE: Final = """
INSERT INTO alerts_evaluationbatch (lane, created_at, sample_count, samples)
SELECT lane, %s, sample_count, samples
FROM unnest(%b::smallint[], %b::integer[], %b::bytea[]) WITH ORDINALITY AS new (lane, sample_count, samples, number)
ORDER BY number
"""


def decode_blocks(encoded: Iterable[bytes]) -> list[SampleBlock]:
    """Return the samples of several rows, in order."""
    return [block for row in encoded for block in _decoder.decode(row)]


def waiting_samples(lanes: Collection[int]) -> dict[int, int]:
    """Return by lane how many samples wait in its first 100 rows; empty lanes are left out.

    Costs the same however long the queue is.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT lane, samples FROM unnest(%s::integer[]) AS lane CROSS JOIN LATERAL ("
            "  SELECT sum(sample_count) AS samples FROM ("
            "    SELECT sample_count FROM alerts_evaluationbatch AS batch WHERE batch.lane = lane.lane"
            "    ORDER BY id LIMIT 100"
            "  ) AS first"
            ") AS counted WHERE samples IS NOT NULL ORDER BY lane",
            [list(lanes)],
        )
        return {lane: int(samples) for lane, samples in cursor.fetchall()}


def _in_order(block: SampleBlock) -> SampleBlock:
    """Return the block with its samples in the order of their clock, equal times as they came."""
    measured = block.measured
    if len(measured) == 1:
        return block
    order = sorted(range(len(measured)), key=measured.__getitem__)
    if order == list(range(len(order))):
        return block
    return _picked(block, order)


def _numbers(block: SampleBlock) -> SampleBlock | None:
    """Return the block without what is no number and without samples that have none; None if nothing is left."""
    columns: dict[str, list[float | None]] = {}
    whole = False
    for name, column in block.columns.items():
        values = column
        if len(column) == 1:
            # One message of one measurement from each sensor: what is done for many costs more than it saves.
            number = _number(column[0])
            if number is not None:
                columns[name], whole = [number], True
            continue
        # The usual column at once; its sum is finite if all of them are, save for the largest of doubles.
        if set(map(type, column)) != {float} or not math.isfinite(sum(column)):  # type: ignore[arg-type]
            values = [_number(value) for value in column]
            if all(value is None for value in values):
                continue
        whole = whole or None not in values
        columns[name] = values
    if not columns:
        return None
    numbers = SampleBlock(block.sensor_id, block.measured, block.received, columns)
    if whole:
        return numbers
    rows = zip(*columns.values(), strict=True)
    kept = [index for index, row in enumerate(rows) if any(value is not None for value in row)]
    return numbers if len(kept) == len(numbers) else _picked(numbers, kept)


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if math.isfinite(value) else None
    if type(value) is int:
        return value if abs(value) < _LARGEST_INTEGER else float(value)
    return None


def _pieces(block: SampleBlock) -> Iterable[SampleBlock]:
    if len(block) <= SAMPLES_PER_ROW:
        return (block,)
    starts = range(0, len(block), SAMPLES_PER_ROW)
    return [_picked(block, range(len(block))[start : start + SAMPLES_PER_ROW]) for start in starts]


def _rows(blocks: Iterable[SampleBlock]) -> Iterable[list[SampleBlock]]:
    """Return the blocks in rows of at most SAMPLES_PER_ROW samples."""
    rows: list[list[SampleBlock]] = []
    room = 0
    for block in blocks:
        if len(block) > room:
            rows.append([])
            room = SAMPLES_PER_ROW
        rows[-1].append(block)
        room -= len(block)
    return rows


def _picked(block: SampleBlock, indexes: Sequence[int]) -> SampleBlock:
    columns = {name: [values[index] for index in indexes] for name, values in block.columns.items()}
    measured, received = block.measured, block.received
    return SampleBlock(
        block.sensor_id, [measured[index] for index in indexes], [received[index] for index in indexes], columns
    )
