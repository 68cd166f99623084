"""What the broker delivers and what becomes of it, over a real broker, bridge and database."""

import time
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from sensors.models import Sensor, SensorState
from telemetry.models import Heartbeat, LogMessage, Measurement, RejectedMessage
from tests import wire as golden
from tests.bridges import Client, measurement
from tests.waiting import wait_until

TABLES = {"heartbeats": Heartbeat, "log-messages": LogMessage, "measurements": Measurement}


def wait_for_the_next_good_message(client: Client, sensor: Sensor) -> None:
    """Whatever came before: the next good message is stored within 2 s."""
    mark = time.time_ns()
    client.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"mark": mark})]})
    wait_until(
        lambda: Measurement.objects.filter(sensor_id=sensor.pk, value__mark=mark).exists(), 2, "the next good message"
    )


def reasons(sensor: Sensor) -> list[str]:
    rows = RejectedMessage.objects.filter(sensor_id=sensor.pk).order_by("id")
    return [row.reason for row in rows for _ in range(row.count)]


@pytest.mark.parametrize("case", golden.good(), ids=str)
def test_a_good_payload_is_stored_whole(case: golden.Golden, wire: Client, make_sensor: Callable[..., Sensor]) -> None:
    sensor = make_sensor()

    wire.publish(f"{case.family}/{sensor.identifier}", case.payload(time.time()))
    wait_for_the_next_good_message(wire, sensor)

    marks = 1 if case.family == "measurements" else 0
    assert TABLES[case.family].objects.filter(sensor_id=sensor.pk).count() == case.stored + marks
    assert reasons(sensor) == []


@pytest.mark.parametrize("case", golden.bad(), ids=str)
def test_what_is_wrong_costs_only_itself(case: golden.Golden, wire: Client, make_sensor: Callable[..., Sensor]) -> None:
    sensor = make_sensor()

    wire.publish(f"{case.family}/{sensor.identifier}", case.payload(time.time()))
    wait_for_the_next_good_message(wire, sensor)

    marks = 1 if case.family == "measurements" else 0
    assert TABLES[case.family].objects.filter(sensor_id=sensor.pk).count() == case.stored + marks
    assert sorted(reasons(sensor)) == sorted(case.reasons)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xfe", "not_utf8"),
        (b'{"measurements": [{"revision": 0, "timestamp": 1, "value": {"a": "\xc3\x28"}}]}', "not_utf8"),
        (b" " * (256 * 1024 + 1), "too_large"),
        (b"[" * 200_000, "malformed_json"),
        (b'{"measurements": ' + b"[" * 200_000, "malformed_json"),
        (b"\x00", "malformed_json"),
    ],
    ids=["no UTF-8", "no UTF-8 in a text", "over 256 KiB", "deep", "deep inside", "NUL"],
)
def test_garbage_is_kept_with_its_reason(
    payload: bytes, reason: str, wire: Client, make_sensor: Callable[..., Sensor]
) -> None:
    sensor = make_sensor()

    wire.publish(f"measurements/{sensor.identifier}", payload)
    wait_for_the_next_good_message(wire, sensor)

    rejected = RejectedMessage.objects.get(sensor_id=sensor.pk)
    assert rejected.reason == reason
    assert rejected.detail
    assert bytes(rejected.payload) == payload[: 64 * 1024]
    assert rejected.payload_bytes == len(payload)


def test_a_sensor_that_nobody_knows_is_kept_as_such(
    wire: Client, make_sensor: Callable[..., Sensor], unique: str
) -> None:
    payload = {"measurements": [measurement({"a": 1})]}

    wire.publish(f"measurements/nobody-{unique}", payload)
    wire.publish(f"measurements/nobody-{unique}", payload)
    wait_for_the_next_good_message(wire, make_sensor())

    rejected = RejectedMessage.objects.get(topic=f"measurements/nobody-{unique}")
    assert (rejected.reason, rejected.sensor_id, rejected.count) == ("unknown_sensor", None, 2)


def test_a_payload_that_names_another_sensor_changes_nothing_there(
    wire: Client, make_sensor: Callable[..., Sensor]
) -> None:
    sensor, other = make_sensor(), make_sensor()
    named = {"sensor": other.identifier, "identifier": other.identifier, "sensor_id": other.pk}

    wire.publish(f"measurements/{sensor.identifier}", {**named, "measurements": [{**measurement({"a": 1}), **named}]})
    wait_for_the_next_good_message(wire, sensor)

    rows = [Measurement, RejectedMessage]
    assert [table.objects.filter(sensor_id=other.pk).exists() for table in rows] == [False, False]
    assert SensorState.objects.get(sensor=other).last_seen_at is None
    # What came is the speaker's.
    assert Measurement.objects.filter(sensor_id=sensor.pk).count() + len(reasons(sensor)) == 2


@pytest.mark.parametrize(
    "topic",
    [
        "measurements",
        "measurements/",
        "measurements/{}/temperature",
        "measurements/-{}",
        "measurements/{} ",
        "measurements/ä{}",
        "measurements/{}" + "x" * 64,
        "measurements/{}/" + "deep" * 5_000,
    ],
    ids=["no sensor", "empty", "a level too many", "hyphen first", "space", "umlaut", "too long", "20 KB of topic"],
)
def test_a_malformed_topic_is_kept(topic: str, wire: Client, make_sensor: Callable[..., Sensor], unique: str) -> None:
    topic = topic.format(unique)
    mark = f"{unique} {topic[:50]}"

    wire.publish(topic, mark)
    wait_for_the_next_good_message(wire, make_sensor())

    rejected = RejectedMessage.objects.get(payload=mark.encode())
    assert (rejected.reason, rejected.sensor_id, rejected.topic) == ("unknown_topic", None, topic[:512])


def test_the_same_message_again_is_stored_once(wire: Client, make_sensor: Callable[..., Sensor]) -> None:
    sensor = make_sensor()
    entry = measurement({"a": 1})
    beat = {"revision": 0, "timestamp": time.time(), "success": True}
    line = {"severity": "info", "revision": 0, "timestamp": time.time(), "subject": "x"}
    for _ in range(2):
        wire.publish(f"measurements/{sensor.identifier}", {"measurements": [entry, entry]})
        wire.publish(f"heartbeats/{sensor.identifier}", {"heartbeats": [beat, beat]})
        wire.publish(f"log-messages/{sensor.identifier}", {"log_messages": [line, line]})
    wait_for_the_next_good_message(wire, sensor)

    assert Measurement.objects.filter(sensor_id=sensor.pk).count() == 2
    assert Heartbeat.objects.filter(sensor_id=sensor.pk).count() == 1
    assert LogMessage.objects.filter(sensor_id=sensor.pk).count() == 1


def test_the_latest_value_moves_only_forward(wire: Client, make_sensor: Callable[..., Sensor]) -> None:
    sensor = make_sensor()
    now_s = float(int(time.time()))

    def send(value: int, at_s: float) -> None:
        wire.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"a": value}, at_s=at_s)]})

    send(1, now_s - 10)
    send(2, now_s - 20)
    wait_until(lambda: Measurement.objects.filter(sensor_id=sensor.pk).count() == 2, what="both to be stored")
    assert SensorState.objects.get(sensor=sensor).latest_value == {"a": 1}

    send(3, now_s - 10)  # of equal times the later arrival
    wait_until(lambda: SensorState.objects.get(sensor=sensor).latest_value == {"a": 3}, what="the later arrival")


def test_the_running_revision_is_that_of_the_newest_heartbeat(wire: Client, make_sensor: Callable[..., Sensor]) -> None:
    sensor = make_sensor()
    now_s = time.time()
    beats = [
        {"revision": 4, "timestamp": now_s - 1, "success": False},
        {"revision": 3, "timestamp": now_s - 2, "success": True},
    ]

    wire.publish(f"heartbeats/{sensor.identifier}", {"heartbeats": beats})

    state = wait_until(lambda: SensorState.objects.filter(sensor=sensor, running_at__isnull=False).first())
    assert (state.running_revision, state.running_success) == (4, False)


def test_ingest_does_not_wait_for_somebody_who_edits_the_sensor(
    wire: Client, make_sensor: Callable[..., Sensor]
) -> None:
    sensor = make_sensor()
    with transaction.atomic():
        Sensor.objects.select_for_update().get(pk=sensor.pk)
        mark = time.time_ns()
        wire.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"mark": mark})]})
        wait_until(lambda: Measurement.objects.filter(sensor_id=sensor.pk).exists(), 2, "storing beside an editor")
        wait_until(lambda: SensorState.objects.get(sensor=sensor).last_seen_at is not None, 2)


def test_a_retained_copy_is_stored_but_revives_nobody(make_sensor: Callable[..., Sensor], wire: Client) -> None:
    """The bridge sees retained copies when it subscribes anew, which the batch's own test makes exact."""
    sensor = make_sensor()

    wire.publish(f"measurements/{sensor.identifier}", {"measurements": [measurement({"a": 1})]}, retain=True)
    wait_for_the_next_good_message(wire, sensor)

    # Delivered live, so it is a sign of life; retained copies are tests/ingest/test_batch.py's.
    assert SensorState.objects.get(sensor=sensor).last_seen_at is not None
    wire.publish(f"measurements/{sensor.identifier}", b"", retain=True)


@pytest.fixture
def poison(django_db_blocker: object) -> object:
    """A value that only the database refuses, as a check that payloads know nothing of."""
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE telemetry_measurement"
            " ADD CONSTRAINT poison CHECK (NOT value @> '{\"poison\": true}') NOT VALID"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE telemetry_measurement DROP CONSTRAINT poison")


def test_what_only_the_database_refuses_costs_one_entry(
    wire: Client, make_sensor: Callable[..., Sensor], poison: None
) -> None:
    sensor, neighbour = make_sensor(), make_sensor()
    entries = [measurement({"i": i, **({"poison": True} if i == 37 else {})}, at_s=time.time() - i) for i in range(100)]

    wire.send(f"measurements/{neighbour.identifier}", {"measurements": [measurement({"a": 1})]})
    wire.send(f"measurements/{sensor.identifier}", {"measurements": entries})
    wire.publish(f"measurements/{neighbour.identifier}", {"measurements": [measurement({"a": 2})]})
    wait_for_the_next_good_message(wire, neighbour)

    assert Measurement.objects.filter(sensor_id=sensor.pk).count() == 99
    assert Measurement.objects.filter(sensor_id=neighbour.pk).count() == 3
    rejected = RejectedMessage.objects.get(sensor_id=sensor.pk)
    assert (rejected.reason, rejected.count) == ("refused_by_database", 1)
    assert b'"poison":true' in bytes(rejected.payload)
    assert "poison" in rejected.detail
