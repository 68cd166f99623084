"""What is written in the one transaction of a batch, in this order of tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection

from alerts.services.queue import Sample, queue_samples, watched_attributes
from config.services import Answer, record_acknowledgements
from fleet.ingest.result import BatchResult, KnownSensor, NewEntries
from fleet.ingest.routes import Family, Part
from sensors.activity import Activity, Latest, Running, record_activity
from sensors.wire import PayloadError, Reason
from telemetry import storage
from telemetry.rejected import Rejected, record_rejected
from telemetry.storage import Row

STORES: Final = {
    Family.HEARTBEATS: storage.store_heartbeats,
    Family.LOG_MESSAGES: storage.store_log_messages,
    Family.MEASUREMENTS: storage.store_measurements,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def store_parts(parts: Sequence[Part], *, now: datetime) -> BatchResult:
    """Write everything that `parts` bring, inside the caller's transaction; return what changed."""
    sensors = known_sensors({part.identifier for part in parts if part.identifier})
    accepted: list[tuple[Part, KnownSensor]] = []
    rejected: list[Rejected] = []
    for part in parts:
        sensor = sensors.get(part.identifier)
        error = part.error
        if error is None and sensor is None:
            error = PayloadError(Reason.UNKNOWN_SENSOR, f"no sensor has the identifier {part.identifier}")
        sensor_id = sensor.id if sensor is not None else None
        message = part.message
        if error is not None:
            rejected.append(
                Rejected(message.topic, message.payload, error.code, error.detail, message.received_at, sensor_id)
            )
            continue
        rejected += [
            Rejected(message.topic, entry.raw, entry.reason, entry.detail, message.received_at, sensor_id)
            for entry in part.refused
        ]
        if sensor is not None:
            accepted.append((part, sensor))

    result = BatchResult(rejected=dict(Counter(item.reason.value for item in rejected)))
    with connection.cursor() as cursor:
        for family in Family:
            _store_family(cursor, family, accepted, result)
        _acknowledge(result.new, now=now)
        awakened = record_activity(_activities(result.new))
        result.lanes = _queue_for_evaluation(result.new, now=now)
        if rejected:
            record_rejected(cursor, rejected)
    by_id = {sensor.id: sensor for sensor in sensors.values()}
    result.awakened = [by_id[sensor_id] for sensor_id in awakened]
    return result


def known_sensors(identifiers: Iterable[str]) -> dict[str, KnownSensor]:
    """Return the sensors by identifier, in one query; there is no cache that could be stale."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sensor.id, sensor.identifier, network.id, network.slug, sensor.period_s"
            " FROM sensors_sensor AS sensor JOIN sensors_network AS network ON network.id = sensor.network_id"
            " WHERE sensor.identifier = ANY(%s)",
            [list(identifiers)],
        )
        return {row[1]: KnownSensor(*row) for row in cursor.fetchall()}


def entry_time(microseconds: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970, exactly."""
    return _EPOCH + microseconds * _MICROSECOND


def _store_family(
    cursor: Any, family: Family, accepted: Sequence[tuple[Part, KnownSensor]], result: BatchResult
) -> None:
    rows: list[Row] = []
    origins: list[tuple[KnownSensor, bool]] = []
    for part, sensor in accepted:
        if part.family is family:
            received_us = (part.message.received_at - _EPOCH) // _MICROSECOND
            rows += [Row(sensor.id, received_us, entry) for entry in part.entries]
            origins += [(sensor, part.message.retained)] * len(part.entries)
    keys = STORES[family](cursor, rows)
    result.stored += len(keys)
    result.duplicates += len(rows) - len(keys)
    new: dict[str, NewEntries] = {}
    for row, (sensor, retained) in zip(rows, origins, strict=True):
        key = (row.sensor_id, row.entry.digest)
        if key not in keys:
            continue
        keys.remove(key)  # Of equal rows in one batch, the first one was inserted.
        if not retained:
            new.setdefault(sensor.identifier, NewEntries(sensor, family, [])).rows.append(row)
    result.new += new.values()


def _acknowledge(new: Sequence[NewEntries], *, now: datetime) -> None:
    answers = [
        Answer(sensor_id=row.sensor_id, number=row.entry.revision, success=row.entry.success)
        for entries in new
        if entries.family is Family.HEARTBEATS
        for row in entries.rows
    ]
    if answers:
        record_acknowledgements(answers, now=now)


def _activities(new: Sequence[NewEntries]) -> list[Activity]:
    activities: dict[int, Activity] = {}
    for entries in new:
        sensor = entries.sensor
        seen_at = entry_time(max(row.received_us for row in entries.rows))
        activity = activities.setdefault(sensor.id, Activity(sensor.id, sensor.period_s, seen_at))
        activity.seen_at = max(activity.seen_at, seen_at)
        if entries.family is Family.LOG_MESSAGES:
            continue
        # Of equal times the later arrival; max alone would keep the first.
        newest = max(reversed(entries.rows), key=lambda row: row.entry.measured_us)
        entry, measured_at = newest.entry, entry_time(newest.entry.measured_us)
        if entries.family is Family.HEARTBEATS:
            activity.running = Running(measured_at, entry.revision, entry.success)
        else:
            activity.latest = Latest(
                measured_at, entry_time(newest.received_us), entry.revision, entry.encoded.decode()
            )
    return list(activities.values())


def _queue_for_evaluation(new: Sequence[NewEntries], *, now: datetime) -> set[int]:
    measured = [entries for entries in new if entries.family is Family.MEASUREMENTS]
    if not measured:
        return set()
    watched = watched_attributes({entries.sensor.network_id for entries in measured})
    samples = []
    for entries in measured:
        attributes = watched.get(entries.sensor.network_id)
        if not attributes:
            continue
        for row in entries.rows:
            values = {key: row.entry.value[key] for key in attributes & row.entry.value.keys()}
            if values:
                samples.append(
                    Sample(row.sensor_id, entry_time(row.entry.measured_us), entry_time(row.received_us), values)
                )
    return queue_samples(samples, now=now) if samples else set()
