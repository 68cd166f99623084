"""Telemetry as ingest stores it, without a broker: payloads through the parsers into the tables."""

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from sensors import services
from sensors.models import Network, Sensor
from telemetry import partitions, storage
from telemetry.payloads import parse_heartbeats, parse_log_messages, parse_measurements

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
Value = Mapping[str, Any]
_ROUTES: dict[str, tuple[Any, Any]] = {
    "measurements": (parse_measurements, storage.Table.MEASUREMENTS),
    "heartbeats": (parse_heartbeats, storage.Table.HEARTBEATS),
    "log_messages": (parse_log_messages, storage.Table.LOG_MESSAGES),
}


def make_network(**fields: Any) -> Network:
    """Return a network that nobody else knows."""
    return services.create_network(slug=f"n-{secrets.token_hex(5)}", owner=None, **fields)


def make_sensor(network: Network | None = None) -> Sensor:
    """Return a sensor that nobody else knows, by default in a network of its own."""
    return services.create_sensor(network or make_network(), identifier=f"s-{secrets.token_hex(5)}")


def put_measurements(
    sensor: Sensor, items: Iterable[tuple[datetime, Value]], *, revision: int = 0, received_at: datetime = T0
) -> int:
    """Store (measured_at, value) pairs; return how many were new."""
    entries = [{"revision": revision, "timestamp": moment.timestamp(), "value": dict(value)} for moment, value in items]
    return _store(sensor, "measurements", entries, received_at=received_at)


def put_heartbeats(sensor: Sensor, items: Iterable[tuple[datetime, int, bool]], *, received_at: datetime = T0) -> int:
    """Store (measured_at, revision, success) triples; return how many were new."""
    entries = [
        {"revision": revision, "timestamp": moment.timestamp(), "success": success}
        for moment, revision, success in items
    ]
    return _store(sensor, "heartbeats", entries, received_at=received_at)


def put_log_messages(
    sensor: Sensor, items: Iterable[tuple[datetime, str, str]], *, received_at: datetime = T0, **fields: Any
) -> int:
    """Store (measured_at, severity, subject) triples; return how many were new."""
    entries = [
        {"revision": 0, "timestamp": moment.timestamp(), "severity": severity, "subject": subject, **fields}
        for moment, severity, subject in items
    ]
    return _store(sensor, "log_messages", entries, received_at=received_at)


def count(table: str, sensor: Sensor | None = None) -> int:
    """Return how many rows `table` has, of one sensor or of all."""
    where, values = ("", []) if sensor is None else (" WHERE sensor_id = %s", [sensor.pk])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}{where}", values)
        return int(cursor.fetchone()[0])


def _store(sensor: Sensor, key: str, entries: list[Any], *, received_at: datetime) -> int:
    parse, table = _ROUTES[key]
    new = 0
    # Below the limit of a payload.
    for index in range(0, len(entries), 1_000):
        payload = json.dumps({key: entries[index : index + 1_000]}).encode()
        parsed = parse(payload, now_s=time.time())
        assert parsed.refused == []
        received_us = round(received_at.timestamp() * 1e6)
        arrival = storage.Arrival(sensor.pk, received_us, parsed.entries)
        moments = (datetime.fromtimestamp(entry.measured_us / 1e6, UTC) for entry in parsed.entries)
        partitions.ensure_months(partitions.months_of(moments))
        with transaction.atomic(), connection.cursor() as cursor:
            new += len(storage.insert_unknown(cursor, table, [arrival]))
    return new
