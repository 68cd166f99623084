"""What a list costs: as many queries for fifty rows as for one, and no more partitions than needed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from telemetry.models import Measurement
from tests.telemetry.reading import at, iso, reject, set_latest
from tests.telemetry.rows import make_sensor, put_log_messages, put_measurements

pytestmark = pytest.mark.django_db


def fill_measurements(world: SimpleNamespace, number: int) -> None:
    put_measurements(world.sensor, [(at(-each), {"t": each}) for each in range(number)])


def fill_logs(world: SimpleNamespace, number: int) -> None:
    for each in range(number):
        put_log_messages(make_sensor(world.network), [(at(each), "info", f"subject {each}")])


def fill_latest(world: SimpleNamespace, number: int) -> None:
    for _ in range(number):
        set_latest(make_sensor(world.network), {"t": 1})


def fill_rejected(world: SimpleNamespace, number: int) -> None:
    for each in range(number):
        reject(make_sensor(world.network), topic=f"{number}/{each}")


@pytest.mark.parametrize(
    ("path", "fill"),
    [
        ("sensors/{sensor}/measurements/", fill_measurements),
        ("log-messages/", fill_logs),
        ("log-messages/summary/", fill_logs),
        ("measurements/latest/", fill_latest),
        ("rejected-messages/", fill_rejected),
    ],
)
def test_a_list_of_fifty_takes_as_many_queries_as_one_of_one(
    world: SimpleNamespace, path: str, fill: Callable[[SimpleNamespace, int], None]
) -> None:
    def queries() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as captured:
            results = world.viewer.get(path.format(sensor=world.sensor.identifier)).json()["results"]
        return len(results), len(captured)

    fill(world, 1)
    one, for_one = queries()
    fill(world, 50)
    many, for_many = queries()

    assert one == 1
    assert many >= 50
    assert for_many == for_one


def test_the_newest_of_all_are_read_from_no_telemetry_table(world: SimpleNamespace) -> None:
    set_latest(world.sensor, {"t": 1})

    with CaptureQueriesContext(connection) as captured:
        world.viewer.get("measurements/latest/")
        world.viewer.get(f"sensors/{world.sensor.identifier}/measurements/latest/")

    assert not [query["sql"] for query in captured if "telemetry_" in query["sql"]]


def test_a_page_in_the_middle_of_history_reads_that_month_and_stops(world: SimpleNamespace) -> None:
    months = [datetime(2025, number, 1, tzinfo=UTC) for number in range(1, 13)]
    for month in months:
        put_measurements(world.sensor, [(month + timedelta(hours=each), {"n": each}) for each in range(200)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE telemetry_measurement")

    with CaptureQueriesContext(connection) as captured:
        world.viewer.get(f"sensors/{world.sensor.identifier}/measurements/?end={iso(months[6])}&limit=50")

    (query,) = [each["sql"] for each in captured if 'FROM "telemetry_measurement"' in each["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # Newest month first, the older ones only if needed, the later ones not at all; nothing is sorted.
    assert "telemetry_measurement_2025_07" not in plan
    assert plan.count("rows=51.00 loops=1") >= 1
    assert "Sort Key" not in plan
    assert plan.count("(never executed)") >= 5
    assert Measurement.objects.filter(sensor_id=world.sensor.pk).count() == 2_400
