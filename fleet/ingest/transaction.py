"""What is written in the one transaction of a batch, in this order of tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

import msgspec
from django.conf import settings

from alerts.services.log_notes import RANKS, LogEntry, queue_log_entries, watched_ranks
from alerts.services.queue import SampleBlock, queue_samples, watched_attributes
from config.services import Answer, RevisionChange, record_acknowledgements
from fleet.ingest.result import BatchResult, KnownSensor, NewEntries
from fleet.ingest.routes import Family, Part
from sensors.activity import Activity, record_activity
from sensors.database import driver_cursor
from sensors.wire import PayloadError, Reason
from telemetry import attributes, storage
from telemetry.payloads import Measurement, RefusedEntry
from telemetry.rejected import Rejected, record_rejected
from telemetry.rollups import lock_horizon, mark_late

TABLES: Final = {
    Family.HEARTBEATS: storage.Table.HEARTBEATS,
    Family.LOG_MESSAGES: storage.Table.LOG_MESSAGES,
    Family.MEASUREMENTS: storage.Table.MEASUREMENTS,
}
HOUR_US: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_measured_us: Final = attrgetter("measured_us")


class _Accepted(msgspec.Struct):
    """Entries of one message and the sensor that they are of."""

    part: Part
    sensor: KnownSensor
    received_us: int
    entries: Sequence[Any]


def store_parts(parts: Sequence[Part], *, now: datetime, careful: bool) -> BatchResult:
    """Write everything that `parts` bring, inside the caller's transaction; return what changed.

    careful: pass over entries that are known already. Without it such an entry ends the transaction with a unique
    violation; that way costs half as much.
    """
    with driver_cursor() as cursor:
        horizon_us = lock_horizon(cursor)
        sensors = known_sensors(cursor, {part.identifier for part in parts if part.identifier})
        accepted, rejected = _sorted_out(parts, sensors)
        rejected += _limit_attributes(cursor, accepted, now=now)

        result = BatchResult(rejected=dict(Counter(item.reason.value for item in rejected)))
        for family in Family:
            arrived = [each for each in accepted if each.part.family is family and each.entries]
            inserted = _insert(cursor, family, arrived, careful=careful)
            result.stored += sum(len(each.entries) for each in inserted)
            result.duplicates += sum(len(each.part.entries) for each in arrived)
            # A retained copy is stored, but tells nothing of now.
            result.new += [
                NewEntries(each.sensor, family, each.received_us, each.entries)
                for each in inserted
                if not each.part.message.retained
            ]
            if family is Family.MEASUREMENTS:
                _mark_late(cursor, inserted, horizon_us=horizon_us)
        result.duplicates -= result.stored
        result.answered = _acknowledge(result.new, now=now)
        awakened = record_activity(cursor, _activities(result.new))
        result.lanes = _queue_for_evaluation(result.new, now=now) | _queue_logs(result.new)
        if rejected:
            record_rejected(cursor, rejected)
    by_id = {sensor.id: sensor for sensor in sensors.values()}
    result.awakened = [by_id[sensor_id] for sensor_id in awakened]
    return result


def known_sensors(cursor: Any, identifiers: Iterable[str]) -> dict[str, KnownSensor]:
    """Return the sensors by identifier, in one query; there is no cache that could be stale."""
    cursor.execute(
        "SELECT sensor.id, sensor.identifier, network.id, network.slug, sensor.period_s"
        " FROM sensors_sensor AS sensor JOIN sensors_network AS network ON network.id = sensor.network_id"
        " WHERE sensor.identifier = ANY(%b)",
        [list(identifiers)],
        prepare=True,
    )
    return {row[1]: KnownSensor(*row) for row in cursor.fetchall()}


def entry_time(microseconds: int) -> datetime:
    """Return the aware UTC datetime of microseconds since 1970, exactly."""
    return _EPOCH + microseconds * _MICROSECOND


def _sorted_out(parts: Sequence[Part], sensors: dict[str, KnownSensor]) -> tuple[list[_Accepted], list[Rejected]]:
    """Return what can be stored, and what is refused with its reason."""
    accepted: list[_Accepted] = []
    rejected: list[Rejected] = []
    for part in parts:
        sensor = sensors.get(part.identifier)
        error, message = part.error, part.message
        if error is None and sensor is None:
            error = PayloadError(Reason.UNKNOWN_SENSOR, f"no sensor has the identifier {part.identifier}")
        sensor_id = sensor.id if sensor is not None else None
        if error is not None:
            rejected.append(
                Rejected(message.topic, message.payload, error.code, error.detail, message.received_at, sensor_id)
            )
            continue
        rejected += [_refused(part, entry, sensor_id) for entry in part.refused]
        if sensor is not None:
            received_us = (message.received_at - _EPOCH) // _MICROSECOND
            accepted.append(_Accepted(part, sensor, received_us, part.entries))
    return accepted, rejected


def _refused(part: Part, entry: RefusedEntry, sensor_id: int | None) -> Rejected:
    message = part.message
    return Rejected(message.topic, entry.raw, entry.reason, entry.detail, message.received_at, sensor_id, whole=False)


def _limit_attributes(cursor: Any, accepted: Iterable[_Accepted], *, now: datetime) -> list[Rejected]:
    """Take the measurements out of `accepted` that would give their sensor too many attributes; return them."""
    strangers: dict[int, dict[str, None]] = {}
    suspects: list[_Accepted] = []
    for each in accepted:
        if each.part.family is not Family.MEASUREMENTS:
            continue
        known = attributes.remembered(each.sensor.id)
        unknown = [entry for entry in each.entries if not entry.value.keys() <= known]
        if unknown:
            suspects.append(each)
            names = strangers.setdefault(each.sensor.id, {})
            for entry in unknown:
                names.update(dict.fromkeys(entry.value))
    if not suspects:
        return []
    limit = settings.MAX_ATTRIBUTES_PER_SENSOR
    admitted = attributes.admit(cursor, strangers, limit=limit, now=now)
    rejected = []
    for each in suspects:
        known = admitted[each.sensor.id]
        refused = [entry for entry in each.entries if not entry.value.keys() <= known]
        if refused:
            each.entries = [entry for entry in each.entries if entry.value.keys() <= known]
            rejected += [_refused(each.part, _beyond(entry, known, limit), each.sensor.id) for entry in refused]
    return rejected


def _beyond(entry: Measurement, known: frozenset[str], limit: int) -> RefusedEntry:
    name = min(entry.value.keys() - known)
    detail = f"{name[:100]!r} is new, and the sensor has {limit} attributes already, which is the most it may have"
    return RefusedEntry(Reason.TOO_MANY_ATTRIBUTES, detail, entry.as_json())


def _insert(cursor: Any, family: Family, arrived: Sequence[_Accepted], *, careful: bool) -> list[_Accepted]:
    """Store what `arrived` brings; return it as far as it was not known, which is all unless `careful`."""
    if not arrived:
        return []
    arrivals = [storage.Arrival(each.sensor.id, each.received_us, each.entries) for each in arrived]
    if not careful:
        storage.insert_new(cursor, TABLES[family], arrivals)
        return list(arrived)
    keys = storage.insert_unknown(cursor, TABLES[family], arrivals)
    inserted = []
    for each in arrived:
        new = []
        for entry in each.entries:
            key = (each.sensor.id, entry.digest)
            if key in keys:
                keys.remove(key)  # Of equal entries in one batch, the first one was inserted.
                new.append(entry)
        if new:
            inserted.append(_Accepted(each.part, each.sensor, each.received_us, new))
    return inserted


def _mark_late(cursor: Any, inserted: Iterable[_Accepted], *, horizon_us: int) -> None:
    """Have the hours rolled up again to which something was added after they were."""
    late = {
        (each.sensor.id, entry.measured_us // HOUR_US * HOUR_US)
        for each in inserted
        if each.part.oldest_us < horizon_us
        for entry in each.entries
        if entry.measured_us < horizon_us
    }
    if late:
        mark_late(cursor, late)


def _acknowledge(new: Sequence[NewEntries], *, now: datetime) -> list[RevisionChange]:
    answers = [
        Answer(sensor_id=each.sensor.id, number=entry.revision, success=entry.success)
        for each in new
        if each.family is Family.HEARTBEATS
        for entry in each.entries
    ]
    return record_acknowledgements(answers, now=now) if answers else []


def _activities(new: Sequence[NewEntries]) -> list[Activity]:
    activities: dict[int, Activity] = {}
    for each in new:
        sensor = each.sensor
        activity = activities.get(sensor.id)
        if activity is None:
            activity = activities[sensor.id] = Activity(sensor.id, sensor.period_s, each.received_us)
        elif each.received_us > activity.seen_us:
            activity.seen_us = each.received_us
        if each.family is Family.LOG_MESSAGES:
            continue
        # Of equal times the later arrival; max alone would keep the first.
        newest = max(reversed(each.entries), key=_measured_us)
        if each.family is Family.HEARTBEATS:
            if activity.running is None or newest.measured_us >= activity.running[0]:
                activity.running = (newest.measured_us, newest.revision, newest.success)
        elif activity.latest is None or newest.measured_us >= activity.latest[0]:
            activity.latest = (newest.measured_us, each.received_us, newest.revision, newest.encoded)
    return list(activities.values())


def _queue_for_evaluation(new: Sequence[NewEntries], *, now: datetime) -> set[int]:
    measured: dict[int, list[NewEntries]] = {}
    for each in new:
        if each.family is Family.MEASUREMENTS:
            measured.setdefault(each.sensor.network_id, []).append(each)
    if not measured:
        return set()
    blocks = []
    for network_id, names in watched_attributes(measured.keys()).items():
        group = measured[network_id]
        entries = [entry for each in group for entry in each.entries]
        values = [entry.value for entry in entries]
        block = SampleBlock(
            [each.sensor.id for each in group for _ in each.entries],
            [entry.measured_us for entry in entries],
            [each.received_us for each in group for _ in each.entries],
            {name: [value.get(name) for value in values] for name in names},
        )
        blocks.append(block)
    return queue_samples(blocks, now=now) if blocks else set()


def _queue_logs(new: Sequence[NewEntries]) -> set[int]:
    logged = [each for each in new if each.family is Family.LOG_MESSAGES]
    if not logged:
        return set()
    watched = watched_ranks({each.sensor.network_id for each in logged})
    entries = [
        LogEntry(each.sensor.id, entry.measured_us, rank, each.received_us)
        for each in logged
        for entry in each.entries
        if (rank := RANKS[entry.severity]) >= watched.get(each.sensor.network_id, len(RANKS))
    ]
    return queue_log_entries(entries)
