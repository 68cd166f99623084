"""Entries into the database and out again, bit by bit."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from psycopg.errors import UniqueViolation

from sensors.database import driver_cursor
from sensors.models import Sensor
from telemetry import partitions, storage
from telemetry.models import Heartbeat, LogMessage, Measurement
from telemetry.payloads import parse_heartbeats, parse_log_messages, parse_measurements

pytestmark = pytest.mark.django_db

AT_S = 1_772_366_400.123456
RECEIVED_US = 1_772_366_401_654_321


def measurements(*values: dict[str, Any]) -> list[Any]:
    entries = [{"revision": 2**31 - 1, "timestamp": AT_S + index, "value": value} for index, value in enumerate(values)]
    return parse_measurements(msgspec.json.encode({"measurements": entries}), now_s=time.time()).entries


def arrival(sensor: Sensor, entries: list[Any]) -> storage.Arrival:
    partitions.ensure_months(partitions.months_of([storage_time(entry.measured_us) for entry in entries]))
    return storage.Arrival(sensor.pk, RECEIVED_US, entries)


def storage_time(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


VALUES: list[dict[str, Any]] = [
    {},
    {"a": 1, "b": -0.5, "c": True, "d": None, "e": "x"},
    {'quote " back \\ slash': "tab\t newline\n return\r unit\x1f"},
    {"grün": "€ 🌡", "": ""},
    {"large": 10**300, "small": 5e-324, "negative": -(2**63)},
]


@pytest.mark.parametrize("careful", [False, True])
def test_measurements_come_out_as_they_went_in(sensor: Sensor, careful: bool) -> None:
    entries = measurements(*VALUES)
    with driver_cursor() as cursor:
        if careful:
            keys = storage.insert_unknown(cursor, storage.Table.MEASUREMENTS, [arrival(sensor, entries)])
            assert keys == {(sensor.pk, entry.digest) for entry in entries}
        else:
            storage.insert_new(cursor, storage.Table.MEASUREMENTS, [arrival(sensor, entries)])

    rows = list(Measurement.objects.order_by("measured_at"))
    assert [row.value for row in rows] == VALUES
    assert [row.digest for row in rows] == [entry.digest for entry in entries]
    assert {row.sensor_id for row in rows} == {sensor.pk}
    assert {row.revision for row in rows} == {2**31 - 1}
    assert [row.measured_at for row in rows] == [storage_time(entry.measured_us) for entry in entries]
    assert {row.received_at for row in rows} == {storage_time(RECEIVED_US)}


@pytest.mark.parametrize("careful", [False, True])
def test_heartbeats_and_log_messages_come_out_as_they_went_in(sensor: Sensor, careful: bool) -> None:
    beats = [{"revision": number, "timestamp": AT_S, "success": number == 1} for number in (0, 1)]
    logs = [
        {"severity": "error", "revision": 0, "timestamp": AT_S, "subject": "hot\t\\N", "details": "€\nline"},
        {"severity": "info", "revision": 0, "timestamp": AT_S + 1, "subject": "", "details": ""},
        {"severity": "warning", "revision": 0, "timestamp": AT_S + 2, "subject": "no details"},
    ]
    heartbeats = parse_heartbeats(msgspec.json.encode({"heartbeats": beats}), now_s=time.time()).entries
    messages = parse_log_messages(msgspec.json.encode({"log_messages": logs}), now_s=time.time()).entries
    insert = storage.insert_unknown if careful else storage.insert_new
    with driver_cursor() as cursor:
        insert(cursor, storage.Table.HEARTBEATS, [arrival(sensor, heartbeats)])
        insert(cursor, storage.Table.LOG_MESSAGES, [arrival(sensor, messages)])

    assert list(Heartbeat.objects.order_by("revision").values_list("revision", "success")) == [(0, False), (1, True)]
    stored = LogMessage.objects.order_by("measured_at").values_list("severity", "subject", "details")
    assert list(stored) == [(log["severity"], log["subject"], log.get("details")) for log in logs]


def test_what_is_known_already_is_passed_over_and_of_equal_ones_the_first_is_kept(sensor: Sensor) -> None:
    known, new = measurements({"a": 1}, {"a": 2})
    with driver_cursor() as cursor:
        storage.insert_new(cursor, storage.Table.MEASUREMENTS, [arrival(sensor, [known])])
        keys = storage.insert_unknown(
            cursor, storage.Table.MEASUREMENTS, [arrival(sensor, [known, new]), arrival(sensor, [new])]
        )
    assert keys == {(sensor.pk, new.digest)}
    assert Measurement.objects.count() == 2


def test_what_is_known_already_is_refused_where_all_must_be_new(sensor: Sensor) -> None:
    (entry,) = measurements({"a": 1})
    with driver_cursor() as cursor:
        storage.insert_new(cursor, storage.Table.MEASUREMENTS, [arrival(sensor, [entry])])
        with pytest.raises(UniqueViolation):
            storage.insert_new(cursor, storage.Table.MEASUREMENTS, [arrival(sensor, [entry])])
