"""Deleting what is kept no longer: past a network's retention, and of deleted sensors.

How long telemetry is kept: the network's `retention_days`, else settings.RETENTION_DAYS, else for ever; rejected
messages at most settings.REJECTED_RETENTION_DAYS. An entry's age is that of its `measured_at`, a rejected message's
that of its `last_at`. A partition that nobody keeps is
dropped whole; where one network keeps less than another, rows are deleted in batches. Rollups stay for the network's
`rollup_retention_days`, never shorter than telemetry: measurements are rolled up before they are deleted.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from psycopg import sql

from sensors.models import Network, Sensor, SensorTombstone
from telemetry.models import RejectedMessage
from telemetry.partitions import TABLES, Partition, drop_partition, partitions_of
from telemetry.rejected import prune_rejected
from telemetry.rollups import ROLLUPS, freeze
from telemetry.rollups.horizon import BEGINNING, hour_of

# A transaction of some 50 ms: ingest never waits long for its locks, and a crash repeats little.
ROWS_PER_BATCH: Final = 5_000
# The ids of one statement; more are taken in turns.
SENSORS_PER_BATCH: Final = 1_000
# A batch of ingest that looked a sensor up before it was deleted has stored its rows by then.
SETTLE_TIME: Final = timedelta(minutes=10)

_REJECTED: Final = RejectedMessage._meta.db_table
_ROLLUP_STATE: Final = "telemetry_rollupstate"
# All that is about one sensor. The state before the rollups: who rolls the sensor up has locked it, and finds it
# gone the next time. The attributes last: the rollups are found by them.
_OF_A_SENSOR: Final = (*TABLES, _REJECTED, _ROLLUP_STATE, "telemetry_rollupmark", *ROLLUPS, "telemetry_attribute")
_OF_SENSORS: Final = sql.SQL("sensor_id = ANY(%(ids)s)")
_OF_NO_SENSOR: Final = sql.SQL("sensor_id IS NULL")
_OF_THEIR_ATTRIBUTES: Final = sql.SQL(
    "attribute_id = ANY(ARRAY(SELECT id FROM telemetry_attribute WHERE sensor_id = ANY(%(ids)s)))"
)


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, or would be, to one table: rows of one network or sensor deleted, or all of it dropped."""

    action: str
    table: str
    rows: int
    network: str | None = None
    sensor: str | None = None
    # When rows older than this were meant.
    before: datetime | None = None


@dataclass(slots=True)
class Report:
    """What `prune` or `purge_deleted_sensors` did; with `dry_run`, what it would do."""

    dry_run: bool
    steps: list[Step] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows are gone."""
        return sum(step.rows for step in self.steps)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values, without what is empty in a step."""
        steps = [{name: item for name, item in asdict(step).items() if item is not None} for step in self.steps]
        return {"dry_run": self.dry_run, "rows": self.rows, "steps": steps}

    def add(self, step: Step) -> None:
        """Note `step` if it concerns anything."""
        if step.rows or step.action != "delete":
            self.steps.append(step)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Before when one network's entries are deleted, and whose they are."""

    network: str
    before: datetime
    sensor_ids: list[int]
    # The same of the rollups; None: they are kept for ever.
    rollups_before: datetime | None


def prune(*, now: datetime, dry_run: bool = False) -> Report:
    """Delete all telemetry that is older than its network keeps it; return what was deleted.

    Exact to the microsecond, and safe to repeat or to interrupt: each batch is a transaction of its own. A
    partition in use for longer than 0.3 s is emptied row by row instead and dropped another time.
    What is not rolled up yet is before anything is deleted; raises TimeoutError if that is impossible.
    dry_run: counts the same and deletes nothing.
    """
    report = Report(dry_run)
    limits, horizon = _limits(now)
    if not dry_run:
        for limit in limits:
            freeze(limit.sensor_ids, before=limit.before, now=now)
    for table in TABLES:
        for partition in partitions_of(table):
            if horizon is not None and partition.end_at <= horizon and _drop(partition, now, report):
                continue
            _delete_old(partition, limits, report)
    _prune_rejected(limits, now, report)
    _prune_rollups(limits, report)
    return report


def purge_deleted_sensors(*, now: datetime, dry_run: bool = False) -> Report:
    """Delete all telemetry of sensors that were deleted at least 10 minutes ago; return what was deleted.

    Marks their tombstones as purged, and deletes those from which the bridge has also cleared the retained
    message. Safe to repeat or to interrupt.
    """
    report = Report(dry_run)
    due = SensorTombstone.objects.filter(purged_at__isnull=True, deleted_at__lt=now - SETTLE_TIME)
    tombstones = list(due.order_by("pk"))
    for some in _batches(tombstones, SENSORS_PER_BATCH):
        identifiers = {tombstone.sensor_id: tombstone.identifier for tombstone in some}
        for table in _OF_A_SENSOR:
            rows = Counter[int]()
            for name in [part.name for part in partitions_of(table)] or [table]:
                rows.update(_delete_all_of(name, list(identifiers), dry_run=dry_run))
            for sensor_id, number in sorted(rows.items()):
                report.add(Step("delete", table, number, sensor=identifiers[sensor_id]))
        if not dry_run:
            SensorTombstone.objects.filter(pk__in=[each.pk for each in some]).update(purged_at=now)
    if not dry_run:
        SensorTombstone.objects.filter(purged_at__isnull=False, cleared_at__isnull=False).delete()
    return report


def _limits(now: datetime) -> tuple[list[_Limit], datetime | None]:
    """Return what each network with a retention keeps, and before when nobody keeps anything (None: for ever)."""
    limits: list[_Limit] = []
    kept_for_ever = False
    networks = Network.objects.annotate(size=Count("sensors")).filter(size__gt=0).order_by("slug")
    for network in networks:
        days = _days(network)
        if days is None:
            kept_for_ever = True
            continue
        ids = list(Sensor.objects.filter(network=network).order_by("pk").values_list("pk", flat=True))
        rollup_days = network.rollup_retention_days
        rollups_before = None if rollup_days is None else hour_of(now - timedelta(days=max(days, rollup_days)))
        limits.append(_Limit(network.slug, now - timedelta(days=days), ids, rollups_before))
    # What belongs to no sensor any more is purged with its tombstone, and does not keep a partition alive.
    if kept_for_ever or not limits:
        return limits, None
    return limits, min(limit.before for limit in limits)


def _days(network: Network) -> int | None:
    days = network.retention_days if network.retention_days is not None else settings.RETENTION_DAYS
    return None if days is None else int(days)


def _drop(partition: Partition, now: datetime, report: Report) -> bool:
    """Drop a partition that is past every limit; False if it is in use, or somebody keeps it by now."""
    rows = _count(partition.name)
    if not rows and partition.month is None:
        return True
    if not report.dry_run:
        # Deleting much takes a while, in which a network that keeps everything may have been made.
        _, horizon = _limits(now)
        if horizon is None or partition.end_at > horizon or not drop_partition(partition):
            return False
    report.add(Step("drop" if partition.month else "empty", partition.name, rows, before=partition.end_at))
    return True


def _delete_old(partition: Partition, limits: Sequence[_Limit], report: Report) -> None:
    for limit in limits:
        if partition.start_at is not None and partition.start_at >= limit.before:
            continue
        rows = sum(
            _delete(partition.name, "measured_at", ids, limit.before, dry_run=report.dry_run)
            for ids in _batches(limit.sensor_ids, SENSORS_PER_BATCH)
        )
        report.add(Step("delete", partition.name, rows, network=limit.network, before=limit.before))


def _prune_rejected(limits: Sequence[_Limit], now: datetime, report: Report) -> None:
    kept_since = now - timedelta(days=settings.REJECTED_RETENTION_DAYS)
    keepers: list[tuple[str | None, datetime, Sequence[int] | None]] = [
        (limit.network, limit.before, ids) for limit in limits for ids in _batches(limit.sensor_ids, SENSORS_PER_BATCH)
    ]
    if settings.RETENTION_DAYS is not None:
        keepers.append((None, now - timedelta(days=int(settings.RETENTION_DAYS)), None))
    for network, before, ids in keepers:
        # What nobody keeps any longer is counted below.
        if before > kept_since:
            rows = _delete(_REJECTED, "last_at", ids, before, since=kept_since, dry_run=report.dry_run)
            report.add(Step("delete", _REJECTED, rows, network=network, before=before))
    rows = prune_rejected(before=kept_since, dry_run=report.dry_run)
    report.add(Step("delete", _REJECTED, rows, before=kept_since))


def _prune_rollups(limits: Sequence[_Limit], report: Report) -> None:
    for limit in limits:
        if limit.rollups_before is None:
            continue
        for table in ROLLUPS:
            rows = sum(
                _delete(table, "start", ids, limit.rollups_before, dry_run=report.dry_run)
                for ids in _batches(limit.sensor_ids, SENSORS_PER_BATCH)
            )
            report.add(Step("delete", table, rows, network=limit.network, before=limit.rollups_before))


def _delete(
    table: str,
    time: str,
    sensor_ids: Sequence[int] | None,
    before: datetime,
    *,
    since: datetime = BEGINNING,
    dry_run: bool,
) -> int:
    """Delete the rows of these sensors (None: of no sensor) from `since` up to `before`; return how many they are."""
    names = {"table": sql.Identifier(table), "time": sql.Identifier(time)}
    if sensor_ids is None:
        whose = _OF_NO_SENSOR
    else:
        whose = _OF_THEIR_ATTRIBUTES if table in ROLLUPS else _OF_SENSORS
    where = sql.SQL("{whose} AND {time} >= %(since)s AND {time} < %(before)s").format(whose=whose, **names)
    values: dict[str, Any] = {"ids": list(sensor_ids or ()), "since": since, "before": before, "limit": ROWS_PER_BATCH}
    if dry_run:
        return _first(sql.SQL("SELECT count(*) FROM {table} WHERE {where}").format(where=where, **names), values)
    # By ctid: a row's place is known once it was found. The condition again, because a rejected message that was
    # seen once more in between is a younger row at that place.
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {where} LIMIT %(limit)s))"
        " AND {where}"
    ).format(where=where, **names)
    return sum(_until_none(statement, values))


def _delete_all_of(table: str, sensor_ids: Sequence[int], *, dry_run: bool) -> dict[int, int]:
    """Delete all rows of these sensors; return how many each had, without those that had none."""
    names = {"table": sql.Identifier(table)}
    values: dict[str, Any] = {"ids": list(sensor_ids), "limit": ROWS_PER_BATCH}
    if table in ROLLUPS:
        whose, joined = _OF_THEIR_ATTRIBUTES, sql.SQL("JOIN telemetry_attribute AS attribute ON id = attribute_id")
    else:
        whose, joined = _OF_SENSORS, sql.SQL("")
    count = sql.SQL("SELECT sensor_id, count(*) FROM {table} {joined} WHERE sensor_id = ANY(%(ids)s) GROUP BY 1")
    with connection.cursor() as cursor:
        cursor.execute(count.format(joined=joined, **names), values)
        found = dict(cursor.fetchall())
    if found and not dry_run:
        # A state is one row a sensor, and has another place when it was waited for.
        by_place = "ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {whose} LIMIT %(limit)s))"
        where = sql.SQL("{whose}" if table == _ROLLUP_STATE else by_place)
        statement = sql.SQL("DELETE FROM {table} WHERE {where}").format(
            where=where.format(whose=whose, **names), **names
        )
        for _ in _until_none(statement, values):
            pass
    return found


def _until_none(statement: sql.Composed, values: dict[str, Any]) -> Iterator[int]:
    """Run `statement`, each time in a transaction of its own, until it finds less than a whole batch."""
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.rowcount
        yield rows
        if rows < ROWS_PER_BATCH:
            return


def _count(table: str) -> int:
    return _first(sql.SQL("SELECT count(*) FROM {table}").format(table=sql.Identifier(table)), {})


def _first(query: sql.Composed, values: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return int(cursor.fetchone()[0])


def _batches(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (items[index : index + size] for index in range(0, len(items), size))
