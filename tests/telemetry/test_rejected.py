"""How much of what cannot be stored is kept, on the real database with the clock handed in."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from sensors.database import driver_cursor
from sensors.models import Sensor
from sensors.wire import Reason
from telemetry.models import RejectedHour, RejectedMessage
from telemetry.rejected import Rejected, collecting_rejected, prune_rejected, record_rejected
from tests.telemetry.reading import at, reject
from tests.telemetry.rows import make_sensor
from tests.waiting import wait_until

HOUR = timedelta(hours=1)


def garbage(
    sensor: Sensor | None, *payloads: object, seconds: float = 0, reason: Reason = Reason.SCHEMA, whole: bool = True
) -> list[Rejected]:
    name, pk = (sensor.identifier, sensor.pk) if sensor else ("nobody", None)
    return [
        Rejected(f"measurements/{name}", str(each).encode(), reason, f"no {each}", at(seconds), pk, whole)
        for each in payloads
    ]


def keep(rejected: Sequence[Rejected]) -> None:
    with transaction.atomic(), driver_cursor() as cursor:
        record_rejected(cursor, rejected)


def kept(sensor: Sensor | None) -> list[tuple[str, int]]:
    rows = RejectedMessage.objects.filter(sensor_id=sensor and sensor.pk, kept=True)
    return sorted((bytes(row.payload).decode(), row.count) for row in rows)


def counted(sensor: Sensor | None) -> list[tuple[str, str, int]]:
    rows = RejectedMessage.objects.filter(sensor_id=sensor and sensor.pk, kept=False).order_by("first_at", "reason")
    return [(row.topic, row.reason, row.count) for row in rows]


@pytest.fixture
def three(settings: Any) -> None:
    """Keep three of an hour."""
    settings.REJECTED_PER_SENSOR_AND_HOUR = 3


@pytest.mark.django_db
def test_what_comes_beyond_the_limit_is_counted_by_reason(three: None) -> None:
    sensor = make_sensor()

    keep(garbage(sensor, 1, 2))
    keep(garbage(sensor, 3, 4, 5, seconds=1) + garbage(sensor, 6, 7, 7, seconds=2, reason=Reason.NOT_FLAT))
    keep(garbage(sensor, 8, seconds=3))

    assert kept(sensor) == [("1", 1), ("2", 1), ("3", 1)]
    topic = f"+/{sensor.identifier}"
    assert counted(sensor) == [(topic, "schema", 3), (topic, "not_flat", 3)]
    row = RejectedMessage.objects.get(sensor_id=sensor.pk, reason="schema", kept=False)
    assert (row.first_at, row.last_at, bytes(row.payload), row.payload_bytes) == (at(1), at(3), b"", 0)
    assert row.detail == "too many in this hour: counted, not kept; the last one: no 8"


@pytest.mark.django_db
def test_what_is_known_is_always_counted_in_its_own_row(three: None) -> None:
    sensor = make_sensor()
    keep(garbage(sensor, 1, 2, 3, 4))

    keep(garbage(sensor, 3, 3, 1, 5, seconds=1))

    assert kept(sensor) == [("1", 2), ("2", 1), ("3", 3)]
    assert counted(sensor) == [(f"+/{sensor.identifier}", "schema", 2)]


@pytest.mark.django_db
def test_each_hour_has_room_again(three: None) -> None:
    sensor = make_sensor()
    keep(garbage(sensor, *range(5), seconds=3599))

    keep(garbage(sensor, *range(10, 15), seconds=3600))

    assert [payload for payload, _ in kept(sensor)] == ["0", "1", "10", "11", "12", "2"]
    assert [count for _, _, count in counted(sensor)] == [2, 2]


@pytest.mark.django_db
def test_a_sensor_takes_no_room_from_another(three: None) -> None:
    first, second = make_sensor(), make_sensor()

    keep(garbage(first, *range(5)) + garbage(second, *range(2)))

    assert (len(kept(first)), len(kept(second)), counted(second)) == (3, 2, [])


@pytest.mark.django_db
def test_all_that_is_unknown_counts_as_one(three: None) -> None:
    topics = [Rejected(f"measurements/nobody-{n}", b"{}", Reason.UNKNOWN_SENSOR, "", at(n)) for n in range(5)]
    others = [Rejected(f"nothing/{n}", b"{}", Reason.UNKNOWN_TOPIC, "", at(n)) for n in range(2)]

    keep(topics + others)

    assert len(kept(None)) == 3
    assert sorted(counted(None)) == [("#", "unknown_sensor", 2), ("#", "unknown_topic", 2)]


@pytest.mark.django_db
def test_with_a_limit_of_zero_nothing_is_kept(settings: Any) -> None:
    settings.REJECTED_PER_SENSOR_AND_HOUR = 0
    sensor = make_sensor()

    keep(garbage(sensor, 1, 2))

    assert (kept(sensor), counted(sensor)) == ([], [(f"+/{sensor.identifier}", "schema", 2)])


@pytest.mark.django_db
def test_a_row_says_whether_it_is_a_whole_message() -> None:
    sensor = make_sensor()

    keep(garbage(sensor, 1) + garbage(sensor, 2, whole=False))

    rows = RejectedMessage.objects.filter(sensor_id=sensor.pk)
    assert {bytes(row.payload): row.whole for row in rows} == {b"1": True, b"2": False}


@pytest.mark.django_db
def test_what_no_text_can_hold_is_kept(three: None) -> None:
    keep([Rejected("a\x00b" + "x" * 600, b"\x00\xff" * 40_000, Reason.UNKNOWN_TOPIC, "\ud800\x00", at(0))])

    row = RejectedMessage.objects.get(reason="unknown_topic")
    assert row.topic == "a\N{REPLACEMENT CHARACTER}b" + "x" * 509
    assert row.detail == "?\N{REPLACEMENT CHARACTER}"
    assert (len(row.payload), row.payload_bytes) == (64 * 1024, 80_000)


class Counting:
    """A cursor that counts its statements."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.statements = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        self.statements += 1
        return self.cursor.execute(*arguments, **options)

    def fetchall(self) -> Any:
        return self.cursor.fetchall()


@pytest.mark.django_db
def test_a_batch_of_garbage_takes_as_many_statements_as_one_message(three: None) -> None:
    sensor = make_sensor()

    def statements(payloads: range) -> int:
        with transaction.atomic(), driver_cursor() as cursor:
            counting = Counting(cursor)
            record_rejected(counting, garbage(sensor, *payloads))
        return counting.statements

    assert [statements(range(1)), statements(range(1_000, 1_400)), statements(range(1))] == [3, 3, 2]


@pytest.mark.django_db(transaction=True)
def test_two_bridges_together_keep_no_more_than_the_limit(three: None) -> None:
    sensor = make_sensor()
    errors: list[BaseException] = []

    def bridge(number: int) -> None:
        try:
            for turn in range(20):
                keep(garbage(sensor, *(f"{number} {turn} {each}" for each in range(5)), "same"))
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=bridge, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    rows = kept(sensor)
    # One less when both brought the same new bytes at once.
    assert 2 <= len(rows) <= 3
    assert sum(count for _, count in rows) + sum(count for _, _, count in counted(sensor)) == 2 * 20 * 6


@pytest.mark.django_db(transaction=True)
def test_the_second_bridge_sees_what_the_first_has_not_committed_yet(three: None, other: psycopg.Connection) -> None:
    sensor = make_sensor()

    def second() -> None:
        try:
            keep(garbage(sensor, 3, 4))
        finally:
            connection.close()

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    other.autocommit = True
    thread = threading.Thread(target=second)
    with transaction.atomic():
        with driver_cursor() as cursor:
            record_rejected(cursor, garbage(sensor, 1, 2))
        thread.start()
        wait_until(lambda: other.execute(waiting).fetchone() == (1,), what="the second to wait for the first")
    thread.join()

    assert [payload for payload, _ in kept(sensor)] == ["1", "2", "3"]
    assert counted(sensor) == [(f"+/{sensor.identifier}", "schema", 1)]


@pytest.mark.django_db
def test_what_is_collected_is_not_written() -> None:
    sensor = make_sensor()

    with collecting_rejected() as collected:
        keep(garbage(sensor, 1))
    keep(garbage(sensor, 2))

    assert [item.payload for item in collected] == [b"1"]
    assert kept(sensor) == [("2", 1)]


@pytest.mark.django_db
def test_old_rejected_messages_are_pruned() -> None:
    now = at(0)
    before = now - timedelta(days=30)
    reject(None, topic="old", last_at=before - timedelta(microseconds=1))
    reject(None, topic="young", first_at=before - timedelta(days=90), last_at=before)
    RejectedHour.objects.create(hour=before - timedelta(hours=1), sensor_id=0, number=5)
    RejectedHour.objects.create(hour=now, sensor_id=0, number=5)

    assert prune_rejected(before=before, dry_run=True) == 1
    assert RejectedMessage.objects.count() == 2
    assert prune_rejected(before=before) == 1
    assert prune_rejected(before=before) == 0
    assert [row.topic for row in RejectedMessage.objects.all()] == ["young"]
    assert [row.hour for row in RejectedHour.objects.all()] == [now]
