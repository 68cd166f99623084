"""One batch in one transaction, on the real database with the clock handed in."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from config.models import Revision
from config.services import create_revision
from fleet.ingest.batch import Drained, ingest_batch
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors.models import Network, Sensor, SensorState, SensorTombstone, Watermark
from sensors.services import create_network, create_sensor
from telemetry import partitions
from telemetry.models import Measurement, RejectedMessage

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def network() -> Network:
    return create_network(slug="hall", name="Hall", owner=None)


@pytest.fixture
def sensor(network: Network) -> Sensor:
    return create_sensor(network, identifier="s-1", period_s=60, grace_s=30)


def measured(
    sensor: str, *values: int, at: datetime = NOW, received_at: datetime = NOW, retained: bool = False
) -> InboundMessage:
    entries = [
        {"revision": 0, "timestamp": at.timestamp() + index, "value": {"a": value}}
        for index, value in enumerate(values)
    ]
    payload = json.dumps({"measurements": entries}).encode()
    return InboundMessage(f"measurements/{sensor}", payload, received_at, retained)


def heartbeat(
    sensor: str, revision: int, *, success: bool, at: datetime = NOW, retained: bool = False
) -> InboundMessage:
    entry = {"revision": revision, "timestamp": at.timestamp(), "success": success}
    return InboundMessage(f"heartbeats/{sensor}", json.dumps({"heartbeats": [entry]}).encode(), NOW, retained)


def ingest(*messages: InboundMessage, now: datetime = NOW) -> BatchResult:
    return ingest_batch(messages, now=now)


def states(sensor: Sensor) -> list[str]:
    return [revision.state.value for revision in Revision.objects.filter(sensor=sensor).order_by("number")]


def test_a_batch_says_what_was_new_what_was_known_and_what_was_refused(sensor: Sensor) -> None:
    ingest(measured("s-1", 1))

    result = ingest(measured("s-1", 1, 2), measured("s-1", 3), measured("nobody", 4))

    # The second message's value 3 has the time of the first one's value 1, and is another measurement.
    assert (result.stored, result.duplicates, result.rejected) == (2, 1, {"unknown_sensor": 1})
    assert [entry.value["a"] for new in result.new for entry in new.entries] == [2, 3]


def test_equal_entries_of_one_batch_are_one_row_and_one_event(sensor: Sensor) -> None:
    result = ingest(measured("s-1", 1), measured("s-1", 1))

    assert (result.stored, result.duplicates) == (1, 1)
    assert [len(new.entries) for new in result.new] == [1]


def test_a_redelivery_moves_nothing(sensor: Sensor) -> None:
    ingest(measured("s-1", 1))
    before = SensorState.objects.get(sensor=sensor)

    result = ingest(measured("s-1", 1, received_at=NOW + timedelta(hours=1)))

    assert (result.stored, result.new, result.awakened) == (0, [], [])
    assert SensorState.objects.get(sensor=sensor).last_seen_at == before.last_seen_at == NOW


def test_a_retained_copy_is_stored_and_is_no_sign_of_life(sensor: Sensor) -> None:
    result = ingest(measured("s-1", 1, retained=True))

    assert (result.stored, result.new, result.awakened) == (1, [], [])
    assert SensorState.objects.get(sensor=sensor).last_seen_at is None


def test_a_retained_heartbeat_acknowledges_nothing(sensor: Sensor) -> None:
    create_revision(sensor, values={}, author=None, now=NOW)

    ingest(heartbeat("s-1", 0, success=True, retained=True))

    assert states(sensor) == ["pending"]


def test_the_sensor_becomes_up_once(sensor: Sensor) -> None:
    first = ingest(measured("s-1", 1))
    second = ingest(measured("s-1", 2, at=NOW + timedelta(seconds=5), received_at=NOW + timedelta(seconds=5)))

    assert [known.identifier for known in first.awakened] == ["s-1"]
    assert second.awakened == []


def test_the_alarm_clock_moves_by_steps_and_is_never_late(sensor: Sensor) -> None:
    due = []
    for offset_s in (0, 10, 20, 29, 30, 31):
        at = NOW + timedelta(seconds=offset_s)
        ingest(measured("s-1", offset_s, at=at, received_at=at))
        due.append((SensorState.objects.get(sensor=sensor).overdue_at - NOW).total_seconds())

    # The period is 60 s: half of it is let pass before the index is written again.
    assert due == [60, 60, 60, 60, 90, 90]


def test_a_failure_may_become_a_success_and_a_success_is_final(sensor: Sensor) -> None:
    create_revision(sensor, values={}, author=None, now=NOW)

    ingest(heartbeat("s-1", 0, success=False))
    assert states(sensor) == ["failed"]
    ingest(heartbeat("s-1", 0, success=True, at=NOW + timedelta(seconds=1)))
    assert states(sensor) == ["acknowledged"]
    ingest(heartbeat("s-1", 0, success=False, at=NOW + timedelta(seconds=2)))
    assert states(sensor) == ["acknowledged"]
    assert Revision.objects.get(sensor=sensor).acknowledged_at == NOW


def test_an_unknown_revision_is_a_sign_of_life_and_acknowledges_nothing(sensor: Sensor) -> None:
    create_revision(sensor, values={}, author=None, now=NOW)

    ingest(heartbeat("s-1", 7, success=True))

    assert states(sensor) == ["pending"]
    state = SensorState.objects.get(sensor=sensor)
    assert (state.running_revision, state.last_seen_at) == (7, NOW)


def test_an_old_answer_still_counts_for_its_own_revision(sensor: Sensor) -> None:
    for _ in range(2):
        create_revision(sensor, values={}, author=None, now=NOW)

    ingest(heartbeat("s-1", 0, success=True))

    assert states(sensor) == ["acknowledged", "pending"]


def test_a_sensor_that_is_deleted_becomes_unknown_and_leaves_a_tombstone(sensor: Sensor) -> None:
    ingest(measured("s-1", 1))
    Sensor.objects.filter(pk=sensor.pk).delete()

    result = ingest(measured("s-1", 2))

    assert result.rejected == {"unknown_sensor": 1}
    assert [stone.identifier for stone in SensorTombstone.objects.all()] == ["s-1"]


def test_an_identifier_that_lives_again_does_not_inherit(network: Network, sensor: Sensor) -> None:
    ingest(measured("s-1", 1))
    sensor.delete()
    again = create_sensor(network, identifier="s-1")

    ingest(measured("s-1", 2, at=NOW - timedelta(days=1)))

    assert SensorState.objects.get(sensor=again).latest_value == {"a": 2}
    assert Measurement.objects.filter(sensor_id=again.pk).count() == 1


def test_every_month_that_is_accepted_has_its_partition(sensor: Sensor) -> None:
    times = [datetime(year, month, 28, tzinfo=UTC) for year in (2000, 2019, 2020, 2025) for month in (1, 12)]

    result = ingest(*[measured("s-1", index, at=at) for index, at in enumerate(times)])

    assert result.stored == len(times)
    assert sorted(row.measured_at for row in Measurement.objects.filter(sensor_id=sensor.pk)) == times


@pytest.mark.django_db(transaction=True)
def test_a_month_that_retention_dropped_is_made_again(sensor: Sensor) -> None:
    at = datetime(2021, 5, 5, tzinfo=UTC)
    ingest(measured("s-1", 1, at=at))
    for partition in partitions.partitions_of("telemetry_measurement"):
        if partition.month == at.date().replace(day=1):
            assert partitions.drop_partition(partition)

    result = ingest(measured("s-1", 2, at=at))

    assert (result.stored, result.rejected) == (1, {})


def test_the_watermark_moves_forward_and_starts_anew_after_a_gap() -> None:
    def mark(offset_s: float) -> tuple[float, float]:
        ingest_batch([], now=NOW, drained=Drained("0/1", NOW + timedelta(seconds=offset_s)))
        row = Watermark.objects.get()
        return (row.drained_until - NOW).total_seconds(), (row.steady_since - NOW).total_seconds()

    assert [mark(offset_s) for offset_s in (0, 10, 5, 25, 41, 42)] == [
        (0, 0), (10, 0), (10, 0), (25, 0), (41, 41), (42, 41),
    ]  # fmt: skip


def test_the_same_rejected_bytes_are_one_row_with_a_count(sensor: Sensor) -> None:
    message = InboundMessage("measurements/s-1", b"{", NOW)
    later = InboundMessage("measurements/s-1", b"{", NOW + timedelta(hours=1))

    ingest(message, message)
    ingest(later)

    row = RejectedMessage.objects.get()
    assert (row.count, row.first_at, row.last_at) == (3, NOW, NOW + timedelta(hours=1))
    assert (row.sensor_id, row.reason) == (sensor.pk, "malformed_json")


def test_a_batch_with_something_known_in_it_stores_the_rest_of_all_its_messages(sensor: Sensor) -> None:
    ingest(measured("s-1", 1), heartbeat("s-1", 0, success=True))

    result = ingest(measured("s-1", 1, 2), heartbeat("s-1", 0, success=True), heartbeat("s-1", 1, success=True))

    assert (result.stored, result.duplicates) == (2, 2)
    assert sorted(row["a"] for row in Measurement.objects.values_list("value", flat=True)) == [1, 2]


def test_a_message_that_says_it_was_delivered_before_is_stored_if_it_is_new(sensor: Sensor) -> None:
    again = msgspec.structs.replace(measured("s-1", 1), redelivered=True)

    assert ingest(again).stored == 1
    assert (ingest(again).stored, Measurement.objects.count()) == (0, 1)
