"""Which samples rules wait for, and the durable queue in which they wait."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from django.db import connection

from alerts.models import EvaluationBatch

# Enough that all workers of a large installation find one; each is a row per batch of ingest.
LANES: Final = 16
# Rows are evaluated whole, so this bounds a transaction's memory: about 200 KiB and 10 ms a row.
SAMPLES_PER_ROW: Final = 2_000
# Larger whole numbers do not fit msgpack's integers; as a float they may.
_LARGEST_INTEGER: Final = 2**63

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """The numbers of one stored measurement that rules may look at."""

    sensor_id: int
    measured_at: datetime
    received_at: datetime
    values: dict[str, float]


class StoredSample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sample as it waits; times in microseconds since 1970."""

    sensor_id: int
    measured: int
    received: int
    values: dict[str, float]


_decoder = msgspec.msgpack.Decoder(list[StoredSample])
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
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT network_id, attribute FROM alerts_rule"
            " WHERE enabled AND kind = 'threshold' AND network_id = ANY(%s)",
            [list(network_ids)],
        )
        for network_id, attribute in cursor.fetchall():
            watched.setdefault(network_id, set()).add(attribute)
    return {network_id: frozenset(attributes) for network_id, attributes in watched.items()}


def queue_samples(samples: Sequence[Sample], *, now: datetime) -> set[int]:
    """Let `samples` be evaluated in the order of each sensor's clock; return the lanes in which they wait.

    Inside the caller's transaction, the one that stores them. Calls that carry samples of the same sensor must not
    run at the same time (each sensor has one bridge, and each bridge one writer). Values that are no finite number
    are left out.
    """
    lanes: dict[int, list[StoredSample]] = {}
    for sample in samples:
        if values := _numbers(sample.values):
            stored = StoredSample(
                sample.sensor_id, microseconds(sample.measured_at), microseconds(sample.received_at), values
            )
            lanes.setdefault(lane_of(sample.sensor_id), []).append(stored)
    rows = []
    for lane, waiting in sorted(lanes.items()):
        # A message may hold its entries newest first; the sort is stable, so equal times stay as they came.
        waiting.sort(key=lambda stored: stored.measured)
        for start in range(0, len(waiting), SAMPLES_PER_ROW):
            part = waiting[start : start + SAMPLES_PER_ROW]
            rows.append(
                EvaluationBatch(lane=lane, created_at=now, sample_count=len(part), samples=_encoder.encode(part))
            )
    EvaluationBatch.objects.bulk_create(rows)
    return set(lanes)


def decode_samples(encoded: Iterable[bytes]) -> list[StoredSample]:
    """Return the samples of several rows, in order."""
    return [sample for row in encoded for sample in _decoder.decode(row)]


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


def _numbers(values: dict[str, float]) -> dict[str, float]:
    return {
        key: float(value) if type(value) is int and abs(value) >= _LARGEST_INTEGER else value
        for key, value in values.items()
        if type(value) is int or (type(value) is float and math.isfinite(value))
    }
