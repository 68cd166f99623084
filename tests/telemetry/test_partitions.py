"""Monthly partitions: made once, blocking nobody, dropped, and made again."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from telemetry import partitions
from telemetry.models import Heartbeat, LogMessage
from tests.telemetry.rows import make_sensor, put_measurements
from tests.together import at_once


def names(table: str = "telemetry_measurement") -> set[str]:
    return {partition.name for partition in partitions.partitions_of(table)}


def insert_heartbeat(moment: datetime) -> None:
    Heartbeat.objects.create(sensor_id=1, measured_at=moment, digest=1, received_at=moment, revision=0, success=True)


@pytest.fixture
def own_month(committed: None) -> Any:
    """Return a month that no other test uses; its partitions are gone before and after."""
    month = date(2031, 5, 1)

    def drop() -> None:
        for table in partitions.TABLES:
            for partition in partitions.partitions_of(table):
                if partition.month is not None and partition.month >= month:
                    assert partitions.drop_partition(partition)

    drop()
    yield month
    drop()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC), {date(2026, 11, 1)}),
        # Still November in UTC, December where it was measured.
        (datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), {date(2026, 11, 1)}),
        (datetime(2020, 1, 1, tzinfo=UTC), {date(2020, 1, 1)}),
        (datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC), set()),
    ],
)
def test_a_moment_belongs_to_its_month_in_utc(moment: datetime, expected: set[date]) -> None:
    assert partitions.months_of([moment, moment]) == expected


def test_a_month_is_made_in_every_table_with_the_parents_key_and_indexes(own_month: date) -> None:
    partitions.ensure_months([own_month])

    for table in partitions.TABLES:
        assert f"{table}_2031_05" in names(table)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname, parent.relname FROM pg_inherits"
            " JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent"
            " WHERE child.relkind = 'i' AND child.relname LIKE 'telemetry_logmessage_2031_05%%' ORDER BY 1"
        )
        assert cursor.fetchall() == [
            ("telemetry_logmessage_2031_05_measured_at_sensor_id_digest_idx", "telemetry_logmessage_by_time"),
            ("telemetry_logmessage_2031_05_pkey", "telemetry_logmessage_pkey"),
        ]


def test_a_partition_takes_its_month_and_nothing_else(own_month: date) -> None:
    partitions.ensure_months([own_month])

    insert_heartbeat(datetime(2031, 5, 1, tzinfo=UTC))
    insert_heartbeat(datetime(2031, 5, 31, 23, 59, 59, 999999, tzinfo=UTC))

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM telemetry_heartbeat_2031_05")
        assert cursor.fetchone() == (2,)
    for outside in (
        datetime(2031, 4, 30, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2031, 6, 1, tzinfo=UTC),
    ):
        with pytest.raises(IntegrityError):
            insert_heartbeat(outside)


@pytest.mark.django_db
def test_what_is_older_than_the_first_month_has_its_place_without_being_made() -> None:
    partitions.ensure_months([date(2005, 3, 1)])

    insert_heartbeat(datetime(2005, 3, 9, tzinfo=UTC))

    assert "telemetry_heartbeat_2005_03" not in names("telemetry_heartbeat")
    assert names("telemetry_heartbeat") >= {"telemetry_heartbeat_old"}


def test_a_known_month_costs_no_query(own_month: date, django_assert_num_queries: Any) -> None:
    partitions.ensure_months([own_month])

    with django_assert_num_queries(0):
        partitions.ensure_months([own_month])


def test_eight_at_once_make_the_same_months_once(own_month: date) -> None:
    wanted = [date(2031, number, 1) for number in range(5, 11)]

    def make() -> None:
        # Each like a process of its own, which knows nothing yet.
        for month in wanted:
            partitions.forget_months()
            partitions.ensure_months([month])

    at_once(*[make] * 8)

    made = [partition.month for partition in partitions.partitions_of("telemetry_measurement") if partition.month]
    assert [month for month in made if month >= own_month] == wanted


def test_making_a_month_waits_for_no_reader_and_no_writer(own_month: date, other: psycopg.Connection) -> None:
    other.execute("SELECT count(*) FROM telemetry_measurement")
    other.execute("LOCK TABLE telemetry_measurement, telemetry_heartbeat, telemetry_logmessage IN ROW EXCLUSIVE MODE")

    with transaction.atomic(), connection.cursor() as cursor:
        # Fails at once instead of waiting for the other transaction, which never ends by itself.
        cursor.execute("SET LOCAL lock_timeout = '1s'")
        partitions.ensure_months([own_month])

    assert "telemetry_measurement_2031_05" in names()


def test_a_reader_and_a_writer_go_on_while_a_month_is_being_made(own_month: date, other: psycopg.Connection) -> None:
    sensor = make_sensor()
    other.execute("SET lock_timeout = '1s'")

    with transaction.atomic():
        partitions.ensure_months([own_month])
        # Made and attached, not committed: all of its locks are held now.
        assert other.execute("SELECT count(*) FROM telemetry_measurement WHERE sensor_id = -1").fetchone() == (0,)
        other.execute("INSERT INTO telemetry_measurement VALUES (%s, '2019-01-01', 1, now(), 0, '{}')", [sensor.pk])
        other.rollback()


def test_a_month_that_was_rolled_back_is_not_remembered(own_month: date) -> None:
    with transaction.atomic():
        partitions.ensure_months([own_month])
        transaction.set_rollback(True)

    assert "telemetry_measurement_2031_05" not in names()
    partitions.ensure_months([own_month])
    assert "telemetry_measurement_2031_05" in names()


def test_a_month_dropped_behind_ones_back_is_told_from_other_refusals_and_made_again(
    own_month: date, other: psycopg.Connection
) -> None:
    moment = datetime(2031, 5, 9, tzinfo=UTC)
    partitions.ensure_months([own_month])
    other.execute("DROP TABLE telemetry_heartbeat_2031_05")
    other.commit()

    partitions.ensure_months([own_month])
    with pytest.raises(IntegrityError) as refused:
        insert_heartbeat(moment)
    assert partitions.is_missing_partition(refused.value)

    partitions.forget_months()
    partitions.ensure_months([own_month])
    insert_heartbeat(moment)

    with pytest.raises(IntegrityError) as wrong:
        LogMessage.objects.create(
            sensor_id=1, measured_at=moment, digest=1, received_at=moment, revision=0, severity="loud"
        )
    assert not partitions.is_missing_partition(wrong.value)
    with pytest.raises(IntegrityError) as twice:
        insert_heartbeat(moment)
    assert not partitions.is_missing_partition(twice.value)


@pytest.mark.django_db
def test_the_next_two_months_are_made_ahead_over_the_turn_of_the_year() -> None:
    partitions.ensure_ahead(now=datetime(2032, 11, 30, 23, 59, tzinfo=UTC))

    made = [partition.month for partition in partitions.partitions_of("telemetry_heartbeat") if partition.month]
    assert [month for month in made if month.year >= 2032] == [
        date(2032, 11, 1),
        date(2032, 12, 1),
        date(2033, 1, 1),
    ]


@pytest.mark.django_db
def test_partitions_are_listed_in_order_with_their_bounds_and_without_foreign_ones() -> None:
    partitions.ensure_months([date(2032, 2, 1), date(2020, 1, 1)])
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE telemetry_heartbeat_archive PARTITION OF telemetry_heartbeat"
            " FOR VALUES FROM ('2040-01-01 00:00+00') TO ('2041-01-01 00:00+00')"
        )

    found = partitions.partitions_of("telemetry_heartbeat")

    assert found == sorted(found, key=lambda partition: partition.end_at)
    assert (found[0].name, found[0].start_at, found[0].end_at) == (
        "telemetry_heartbeat_old",
        None,
        datetime(2020, 1, 1, tzinfo=UTC),
    )
    assert (found[-1].name, found[-1].start_at, found[-1].end_at) == (
        "telemetry_heartbeat_2032_02",
        datetime(2032, 2, 1, tzinfo=UTC),
        datetime(2032, 3, 1, tzinfo=UTC),
    )


def test_a_partition_in_use_is_not_dropped_and_holds_nobody_up(own_month: date, other: psycopg.Connection) -> None:
    sensor = make_sensor()
    put_measurements(sensor, [(datetime(2026, 3, 1, tzinfo=UTC), {"a": 1})])
    partitions.ensure_months([own_month])
    (partition,) = [each for each in partitions.partitions_of("telemetry_measurement") if each.month == own_month]
    other.execute("SELECT count(*) FROM telemetry_measurement")

    assert partitions.drop_partition(partition) is False
    assert partition.name in names()

    other.rollback()
    assert partitions.drop_partition(partition) is True
    assert partition.name not in names()
