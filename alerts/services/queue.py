"""Which samples rules wait for, and the durable queue in which they wait."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec
from django.db import connection

from alerts.evaluation import Sample
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
    """Samples of any sensors of one network, in columns of equal length, because nearly all are only compared.

    sensor_ids: whose each sample is. measured, received: microseconds since 1970. columns: by attribute its values,
    None where a sample has no number. As it is queued: by sensor, then by `measured`.
    """

    sensor_ids: list[int]
    measured: list[int]
    received: list[int]
    columns: dict[str, list[float | None]]

    def __len__(self) -> int:
        return len(self.measured)

    def picked(self, indexes: Sequence[int]) -> "SampleBlock":
        """Return a block of the samples at `indexes`, in that order."""
        if len(indexes) == 1:
            (index,) = indexes
            columns = {name: [values[index]] for name, values in self.columns.items()}
            return SampleBlock([self.sensor_ids[index]], [self.measured[index]], [self.received[index]], columns)
        pick = itemgetter(*indexes)
        columns = {name: list(pick(values)) for name, values in self.columns.items()}
        return SampleBlock(list(pick(self.sensor_ids)), list(pick(self.measured)), list(pick(self.received)), columns)

    def samples(self, attribute: str, start: int, end: int) -> list[Sample]:
        """Return those from `start` until before `end` that have a number of `attribute`."""
        rows = zip(self.measured[start:end], self.received[start:end], self.columns[attribute][start:end], strict=True)
        return [(measured, received, value) for measured, received, value in rows if value is not None]

    def runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield (sensor, start, end) of the samples of each sensor, of a block as it is queued."""
        start = 0
        for sensor_id, group in groupby(self.sensor_ids):
            end = start + sum(1 for _ in group)
            yield sensor_id, start, end
            start = end


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
    """Return by network which attributes its enabled rules about values look at; networks without any are left out.

    One query by index, and nothing is remembered: a rule holds for every sample received after it was committed,
    provided that this runs after the samples were received.
    """
    watched: dict[int, set[str]] = {}
    with driver_cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT network_id, attribute FROM alerts_rule"
            " WHERE enabled AND kind IN ('threshold', 'rate_of_change') AND network_id = ANY(%s::bigint[])",
            [list(network_ids)],
            prepare=True,
        )
        for network_id, attribute in cursor.fetchall():
            watched.setdefault(network_id, set()).add(attribute)
    return {network_id: frozenset(attributes) for network_id, attributes in watched.items()}


def queue_samples(blocks: Iterable[SampleBlock], *, now: datetime) -> set[int]:
    """Let the samples be evaluated in the order of each sensor's clock; return the lanes in which they wait.

    blocks: a sensor in only one of them, its samples as they came. Inside the caller's transaction, the one that
    stores the samples. Calls that carry samples of the same sensor must not run at the same time (each sensor has one
    bridge, and each bridge one writer). Values of any kind may be in the columns; those that are no number are left
    out, and so are samples without any.
    """
    lanes: dict[int, list[list[SampleBlock]]] = {}
    for block in blocks:
        if numbers := _numbers(block):
            for lane, piece in _by_lane(numbers):
                _append(lanes.setdefault(lane, []), piece)
    rows = [(lane, row) for lane, waiting in sorted(lanes.items()) for row in waiting]
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


def _numbers(block: SampleBlock) -> SampleBlock | None:
    """Return the block without what is no number and without samples that have none; None if nothing is left."""
    columns: dict[str, list[float | None]] = {}
    whole = False
    for name, column in block.columns.items():
        values = column
        # The usual column at once; its sum is finite if all of them are, save for the largest of doubles.
        if set(map(type, column)) != {float} or not math.isfinite(sum(column)):  # type: ignore[arg-type]
            values = [_number(value) for value in column]
            if all(value is None for value in values):
                continue
        whole = whole or None not in values
        columns[name] = values
    if not columns:
        return None
    numbers = SampleBlock(block.sensor_ids, block.measured, block.received, columns)
    if whole:
        return numbers
    rows = zip(*columns.values(), strict=True)
    kept = [index for index, row in enumerate(rows) if any(value is not None for value in row)]
    return numbers if len(kept) == len(numbers) else numbers.picked(kept)


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if math.isfinite(value) else None
    if type(value) is int:
        return value if abs(value) < _LARGEST_INTEGER else float(value)
    return None


def _by_lane(block: SampleBlock) -> Iterator[tuple[int, SampleBlock]]:
    """Yield the samples of each lane by sensor and in the order of its clock, equal times as they came."""
    lanes: dict[int, list[tuple[int, int, int]]] = {}
    for index, (sensor_id, measured) in enumerate(zip(block.sensor_ids, block.measured, strict=True)):
        lanes.setdefault(sensor_id % LANES, []).append((sensor_id, measured, index))
    for lane, samples in lanes.items():
        samples.sort()
        yield lane, block.picked([index for _, _, index in samples])


def _append(rows: list[list[SampleBlock]], block: SampleBlock) -> None:
    """Add the samples of `block` to the last of `rows` and to new ones, SAMPLES_PER_ROW in each."""
    start, end = 0, len(block)
    while start < end:
        room = SAMPLES_PER_ROW - sum(map(len, rows[-1])) if rows else 0
        if room == 0:
            rows.append([])
            room = SAMPLES_PER_ROW
        piece = block if start == 0 and end <= room else block.picked(range(start, min(end, start + room)))
        rows[-1].append(piece)
        start += room
