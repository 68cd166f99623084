"""Measurements, heartbeats and log messages, and the newest values.

Ranges are half-open: `start` belongs to them, `end` does not; None leaves that side open. A range limits the
partitions that are read, and so does a page's cursor.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db import connection
from django.db.models import Count, Max, Min, OuterRef, QuerySet, Subquery

from sensors.models import Sensor, SensorState
from sensors.queries import AnyUser, visible, visible_sensors
from telemetry.models import Entry, Heartbeat, LogMessage, Measurement

# Sensors that send their attributes in turns show all of them within so many measurements; about 1 ms.
ATTRIBUTE_SAMPLES: Final = 200
# Planning time grows with the list: 1,000 take about 10 ms.
MAX_LISTED_IDS: Final = 1_000

EntryType = TypeVar("EntryType", bound=Entry)

_ATTRIBUTES: Final = """
SELECT item.key, array_agg(DISTINCT jsonb_typeof(item.value)) AS kinds
FROM (
    SELECT value FROM telemetry_measurement
    WHERE sensor_id = %s ORDER BY measured_at DESC, digest DESC LIMIT %s
) AS newest, jsonb_each(newest.value) AS item
GROUP BY item.key ORDER BY item.key
"""


def measurements_of(
    sensor: Sensor, *, start: datetime | None = None, end: datetime | None = None
) -> QuerySet[Measurement]:
    """Return the sensor's measurements in [start, end), newest first."""
    return _newest_first(_within(Measurement.objects.filter(sensor_id=sensor.pk), start, end))


def heartbeats_of(sensor: Sensor, *, start: datetime | None = None, end: datetime | None = None) -> QuerySet[Heartbeat]:
    """Return the sensor's heartbeats in [start, end), newest first."""
    return _newest_first(_within(Heartbeat.objects.filter(sensor_id=sensor.pk), start, end))


def log_messages_of(
    sensor: Sensor,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    severities: Collection[str] = (),
) -> QuerySet[LogMessage]:
    """Return the sensor's log messages in [start, end), newest first; of any severity if none is named."""
    logs = _within(LogMessage.objects.filter(sensor_id=sensor.pk), start, end)
    return _newest_first(_of_severities(logs, severities))


def visible_log_messages(
    user: AnyUser,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    severities: Collection[str] = (),
    network: str | None = None,
    sensor: str | None = None,
) -> QuerySet[LogMessage]:
    """Return the log messages of the sensors that `user` may see, or of one network or sensor, newest first."""
    sensors = visible_sensors(user)
    if network is not None:
        sensors = sensors.filter(network__slug=network)
    if sensor is not None:
        sensors = sensors.filter(identifier=sensor)
    logs = _within(LogMessage.objects.filter(sensor_id__in=_known_ids(sensors)), start, end)
    return _of_severities(logs, severities).order_by("-measured_at", "-sensor_id", "-digest")


def log_summary(logs: QuerySet[LogMessage]) -> QuerySet[Any, Any]:
    """Return dicts of `severity`, `subject`, `count`, and `first` and `last` `measured_at` of `logs`, by group."""
    return (
        logs.order_by()
        .values("severity", "subject")
        .annotate(count=Count("*"), first=Min("measured_at"), last=Max("measured_at"))
        .order_by("severity", "subject")
    )


def with_identifier(entries: QuerySet[EntryType]) -> QuerySet[Any]:
    """Return `entries` with `sensor`, the identifier of each one's sensor."""
    identifiers = Sensor.objects.filter(pk=OuterRef("sensor_id")).values("identifier")
    return entries.annotate(sensor=Subquery(identifiers))


def latest_of(sensor: Sensor) -> SensorState | None:
    """Return the state that holds the sensor's newest measurement (`latest_…`); None while there is none."""
    return SensorState.objects.filter(sensor=sensor, latest_measured_at__isnull=False).first()


def visible_latest(user: AnyUser, *, network: str | None = None) -> QuerySet[SensorState]:
    """Return the states with a newest measurement of all sensors that `user` may see. Reads no telemetry."""
    states = visible(user, SensorState.objects.all(), network="sensor__network_id")
    if network is not None:
        states = states.filter(sensor__network__slug=network)
    return states.filter(latest_measured_at__isnull=False).select_related("sensor")


def attributes_of(sensor: Sensor) -> list[tuple[str, list[str]]]:
    """Return (name, JSON types) of each attribute in the sensor's newest measurements, by name.

    >>> attributes_of(sensor)
    [("door", ["boolean"]), ("temperature", ["null", "number"])]
    """
    with connection.cursor() as cursor:
        cursor.execute(_ATTRIBUTES, [sensor.pk, ATTRIBUTE_SAMPLES])
        return [(name, sorted(kinds)) for name, kinds in cursor.fetchall()]


def _known_ids(sensors: QuerySet[Sensor]) -> list[int] | QuerySet[Any, Any]:
    """Return the ids of `sensors`; for very many the query that finds them."""
    # The planner has statistics for ids, not for a subquery. With them it finds the few entries of a quiet
    # network by their sensors and those of busy ones by time: 4 ms, not 200, beside 900,000 entries of others.
    ids = list(sensors.order_by().values_list("pk", flat=True)[: MAX_LISTED_IDS + 1])
    return ids if len(ids) <= MAX_LISTED_IDS else sensors.values("pk")


def _within(entries: QuerySet[EntryType], start: datetime | None, end: datetime | None) -> QuerySet[EntryType]:
    if start is not None:
        entries = entries.filter(measured_at__gte=start)
    if end is not None:
        entries = entries.filter(measured_at__lt=end)
    return entries


def _of_severities(logs: QuerySet[LogMessage], severities: Collection[str]) -> QuerySet[LogMessage]:
    return logs.filter(severity__in=severities) if severities else logs


def _newest_first(entries: QuerySet[EntryType]) -> QuerySet[EntryType]:
    # Equal times are told apart by the digest; the primary key serves this order in either direction.
    return entries.order_by("-measured_at", "-digest")
