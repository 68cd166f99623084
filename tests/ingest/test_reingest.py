"""Rejected messages taken in again after their cause was mended, on the real database with the clock handed in."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from config.models import Revision
from config.services import create_revision
from fleet.ingest import again
from fleet.ingest.again import Report, reingest, reingest_one, reingestible
from fleet.ingest.batch import ingest_batch
from fleet.ingest.routes import InboundMessage
from sensors.errors import Conflict, NotFound
from sensors.models import Network, Sensor, SensorState
from sensors.services import create_network, create_sensor
from telemetry.models import Heartbeat, LogMessage, Measurement, RejectedMessage
from tests.bridges import Client, database_url, measurement
from tests.ingest.conftest import make_network
from tests.waiting import wait_until

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


@pytest.fixture
def network(db: None) -> Network:
    return create_network(slug="hall", name="Hall", owner=None)


def entry(value: dict[str, Any], at: datetime = NOW, **fields: Any) -> dict[str, Any]:
    return {"revision": 0, "timestamp": at.timestamp(), "value": value, **fields}


def send(sensor: str, *entries: Any, family: str = "measurements", at: datetime = NOW) -> None:
    payload = json.dumps({family.replace("-", "_"): entries}).encode()
    ingest_batch([InboundMessage(f"{family}/{sensor}", payload, at)], now=at)


def take(**options: Any) -> Report:
    return reingest(reingestible(**options), now=LATER)


def values(sensor: Sensor) -> list[Any]:
    return [row.value["a"] for row in Measurement.objects.filter(sensor_id=sensor.pk).order_by("measured_at")]


def left() -> list[tuple[str, str, int]]:
    return [(row.topic, row.reason, row.count) for row in RejectedMessage.objects.order_by("pk")]


def run(*arguments: str) -> tuple[int, str]:
    """Return exit code and output of the command."""
    output = io.StringIO()
    try:
        call_command("reingest_rejected", *arguments, stdout=output, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, output.getvalue() or str(error)
    return 0, output.getvalue()


def test_what_an_unknown_sensor_sent_is_there_once_the_sensor_is(network: Network) -> None:
    for number in range(3):
        send("s-1", entry({"a": number}, NOW + timedelta(seconds=number)))
    send("s-1", {"revision": 0, "timestamp": NOW.timestamp(), "success": True}, family="heartbeats")
    line = {"severity": "info", "revision": 0, "timestamp": NOW.timestamp(), "subject": "x"}
    send("s-1", line, family="log-messages")
    assert take().refused == {"unknown_sensor": 5}
    sensor = create_sensor(network, identifier="s-1")
    create_revision(sensor, values={}, author=None, now=LATER)

    report = take()

    assert (report.rows, report.taken, report.stored, report.duplicates) == (5, 5, 5, 0)
    assert (values(sensor), left()) == ([0, 1, 2], [])
    assert LogMessage.objects.get(sensor_id=sensor.pk).received_at == NOW
    assert Heartbeat.objects.filter(sensor_id=sensor.pk).count() == 1
    # History: no sign of life, and no answer to a revision that was made later.
    state = SensorState.objects.get(sensor=sensor)
    assert (state.last_seen_at, state.latest_value, state.running_revision) == (None, None, None)
    assert Revision.objects.get(sensor=sensor).acknowledged_at is None


def test_what_is_refused_again_stays_with_its_reason_of_now(network: Network) -> None:
    send("s-1", entry({"a": 1}))
    ingest_batch([InboundMessage("measurements/s-2", b'{"measurements": 5}', NOW)], now=NOW)
    ingest_batch([InboundMessage("measurements/s-2", b'{"measurements": 5}', NOW)], now=NOW)
    before = RejectedMessage.objects.get(topic="measurements/s-2")
    sensor = create_sensor(network, identifier="s-2")

    report = take()

    assert (report.taken, report.refused) == (0, {"unknown_sensor": 1, "schema": 1})
    after = RejectedMessage.objects.get(topic="measurements/s-2")
    assert (after.pk, after.count, after.first_at, after.last_at) == (before.pk, 2, NOW, NOW)
    assert (before.reason, before.sensor_id) == ("schema", None)
    assert (after.reason, after.sensor_id) == ("schema", sensor.pk)


def test_an_entry_goes_in_alone_when_its_cause_is_mended(network: Network, settings: Any) -> None:
    sensor = create_sensor(network, identifier="s-1")
    settings.MAX_ATTRIBUTES_PER_MEASUREMENT = 1
    send("s-1", entry({"a": "ä", "b": 1.10}), entry({"a": 2}, NOW + timedelta(seconds=1)), entry({"a": [1]}))
    assert values(sensor) == [2]
    assert sorted(reason for _, reason, _ in left()) == ["not_flat", "too_many_attributes"]
    settings.MAX_ATTRIBUTES_PER_MEASUREMENT = 2

    report = take()

    assert (report.rows, report.taken, report.stored, report.refused) == (2, 1, 1, {"not_flat": 1})
    assert values(sensor) == ["ä", 2]
    assert left() == [("measurements/s-1", "not_flat", 1)]


@pytest.mark.parametrize("family", ["heartbeats", "log-messages"])
def test_entries_of_every_family_find_their_array(network: Network, family: str) -> None:
    good = {"severity": "info", "subject": "x", "success": True, "revision": 0, "timestamp": NOW.timestamp()}
    sensor = create_sensor(network, identifier="s-1")
    RejectedMessage.objects.create(
        topic=f"{family}/s-1", digest=bytes(16), sensor_id=sensor.pk, reason="schema", detail="", first_at=NOW,
        last_at=NOW, payload=json.dumps(good).encode(), payload_bytes=len(json.dumps(good)), whole=False,
    )  # fmt: skip

    assert (take().stored, left()) == (1, [])


def test_of_a_message_the_bad_entries_stay_as_rows_of_their_own(network: Network, settings: Any) -> None:
    settings.REJECTED_PER_SENSOR_AND_HOUR = 1
    bad = [entry({"a": [number]}) for number in range(3)]
    send("s-1", entry({"a": 1}), *bad)
    sensor = create_sensor(network, identifier="s-1")

    report = take()

    assert (report.rows, report.taken, report.stored, report.entries_refused) == (1, 1, 1, 3)
    assert values(sensor) == [1]
    rows = RejectedMessage.objects.all()
    assert {(row.reason, row.whole, row.kept, row.count, row.sensor_id) for row in rows} == {
        ("not_flat", False, True, 1, sensor.pk)
    }
    assert sorted(json.loads(bytes(row.payload))["value"]["a"] for row in rows) == [[0], [1], [2]]
    assert take().refused == {"not_flat": 3}
    assert rows.count() == 3


def test_what_is_stored_already_is_not_stored_twice(network: Network) -> None:
    send("s-1", entry({"a": 1}))
    sensor = create_sensor(network, identifier="s-1")
    send("s-1", entry({"a": 1}), at=LATER)

    report = take()

    assert (report.taken, report.stored, report.duplicates) == (1, 0, 1)
    assert (values(sensor), left()) == ([1], [])


def test_what_only_the_database_refuses_stays_alone(network: Network) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE telemetry_measurement ADD CONSTRAINT poison CHECK (NOT value @> '{\"a\": 2}') NOT VALID"
        )
    for number in range(4):
        send("s-1", entry({"a": number}, NOW + timedelta(seconds=number)))
    sensor = create_sensor(network, identifier="s-1")
    report = take()
    assert (report.taken, report.entries_refused, values(sensor)) == (4, 1, [0, 1, 3])
    # Refused as an entry now, in the words of the database, and once more.
    assert left() == [("measurements/s-1", "refused_by_database", 1)]
    assert take().refused == {"refused_by_database": 1}

    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE telemetry_measurement DROP CONSTRAINT poison")

    assert (take().taken, values(sensor), left()) == (1, [0, 1, 2, 3], [])


def test_what_was_cut_or_only_counted_is_no_candidate(network: Network, settings: Any) -> None:
    settings.REJECTED_PER_SENSOR_AND_HOUR = 1
    send("s-1", entry({"a": "x" * 70_000}))
    send("s-1", entry({"a": 2}))
    create_sensor(network, identifier="s-1")

    assert take().rows == 0
    cut, counted = RejectedMessage.objects.order_by("-kept")
    with pytest.raises(Conflict, match="Only its first 65,536 of 70,0"):
        reingest_one(cut.pk, now=LATER)
    with pytest.raises(Conflict, match="was not kept"):
        reingest_one(counted.pk, now=LATER)
    with pytest.raises(NotFound):
        reingest_one(0, now=LATER)


def test_a_sensor_that_lives_again_does_not_inherit(network: Network, settings: Any) -> None:
    settings.MAX_ATTRIBUTES_PER_MEASUREMENT = 1
    create_sensor(network, identifier="s-1")
    send("s-1", entry({"a": 1, "b": 2}))
    Sensor.objects.get(identifier="s-1").delete()
    settings.MAX_ATTRIBUTES_PER_MEASUREMENT = 2
    create_sensor(network, identifier="s-1")

    assert take().rows == 0
    with pytest.raises(Conflict, match="sensor was deleted"):
        reingest_one(RejectedMessage.objects.get().pk, now=LATER)


def test_rows_are_chosen_by_sensor_reason_and_time(network: Network) -> None:
    for sensor, hours in (("s-1", 0), ("s-1", 1), ("s-2", 2)):
        send(sensor, entry({"a": hours}), at=NOW + timedelta(hours=hours))
    ingest_batch([InboundMessage("measurements/s-1", b"{", NOW)], now=NOW)

    def chosen(**options: Any) -> list[int]:
        return sorted(row.last_at.hour - NOW.hour for row in reingestible(**options))

    assert chosen(sensors=["s-1"]) == [0, 0, 1]
    assert chosen(sensors=["s-1", "s-2"], reasons=["unknown_sensor"]) == [0, 1, 2]
    assert chosen(reasons=["malformed_json"]) == [0]
    assert chosen(since=NOW + timedelta(hours=1)) == [1, 2]
    assert chosen(until=NOW + timedelta(hours=1)) == [0, 0]


def test_a_row_that_came_once_more_meanwhile_stays(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    send("s-1", entry({"a": 1}))
    sensor = create_sensor(network, identifier="s-1")
    store = again.ingest_batch

    def meanwhile(*args: Any, **options: Any) -> Any:
        result = store(*args, **options)
        RejectedMessage.objects.update(count=2)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(again, "ingest_batch", meanwhile)
        report = take()

    assert (report.taken, report.changed, values(sensor)) == (0, 1, [1])
    assert (take().taken, left()) == (1, [])


def test_nothing_is_lost_when_it_ends_between_storing_and_deleting(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = entry({"a": [1]})
    send("s-1", entry({"a": 1}), bad)
    sensor = create_sensor(network, identifier="s-1")

    def away(_: Any) -> Any:
        raise DatabaseError("away")

    with monkeypatch.context() as patch:
        patch.setattr(again, "_lock_unchanged", away)
        with pytest.raises(DatabaseError):
            take()
    assert (values(sensor), left()) == ([1], [("measurements/s-1", "unknown_sensor", 1)])

    report = take()

    assert (report.taken, report.stored, report.duplicates) == (1, 0, 1)
    assert left() == [("measurements/s-1", "not_flat", 1)]


def test_many_rows_go_in_batches_with_progress(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "ROWS_PER_BATCH", 2)
    for number in range(5):
        send("s-1", entry({"a": number}), entry({"a": [number]}))
    create_sensor(network, identifier="s-1")
    seen: list[tuple[int, int]] = []

    reingest(reingestible(), now=LATER, progress=lambda report: seen.append((report.rows, report.taken)))

    # The rows of refused entries are made meanwhile, and are not gone through.
    assert seen == [(2, 2), (4, 4), (5, 5)]


def test_a_dry_run_says_what_would_go_in_and_does_nothing(network: Network) -> None:
    send("s-1", entry({"a": 1}), entry({"a": [1]}))
    send("s-2", entry({"a": 1}))
    sensor = create_sensor(network, identifier="s-1")
    before = left()

    code, output = run("--dry-run", "--json")

    assert code == 0
    assert json.loads(output) == {
        "dry_run": True, "rows": 2, "taken": 1, "stored": 0, "duplicates": 0, "refused": {"unknown_sensor": 1},
        "entries_refused": 1, "changed": 0,
    }  # fmt: skip
    assert (values(sensor), left()) == ([], before)


def test_the_command_says_what_became_of_them_and_by_its_code_whether_some_stay(network: Network) -> None:
    send("s-1", entry({"a": 1}))
    send("s-2", entry({"a": 1}))
    create_sensor(network, identifier="s-1")

    assert run("--sensor", "s-1") == (
        0,
        "1 rejected messages were looked at.\n1 went in: 1 entries new, 0 known already.\n",
    )
    assert run()[0] == 3
    assert run("--reason", "schema") == (
        0,
        "0 rejected messages were looked at.\n0 went in: 0 entries new, 0 known already.\n",
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sensor", "s-9"], "There is no sensor s-9; make it first."),
        (["--sensor", "a/b"], "cannot be a sensor's identifier"),
        (["--since", "2026-03-02T00:00:00Z", "--until", "2026-03-01T00:00:00Z"], "--until must be after --since"),
        (["--since", "yesterday"], "is no time in ISO 8601"),
        (["--reason", "bad"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_explained(arguments: list[str], words: str) -> None:
    code, output = run(*arguments)

    assert (code, words in output) == (1, True), output


def test_the_whole_story_over_the_broker(wire: Client, make_sensor: Callable[..., Sensor], unique: str) -> None:
    """An unknown sensor speaks, is made, and its messages are taken in beside a bridge that runs."""
    identifier = f"late-{unique}"
    for number in range(3):
        wire.publish(
            f"measurements/{identifier}", {"measurements": [measurement({"a": number}, at_s=time.time() - number)]}
        )
    rejected = RejectedMessage.objects.filter(topic=f"measurements/{identifier}", reason="unknown_sensor")
    wait_until(lambda: rejected.count() == 3, what="three rejected messages")
    sensor = create_sensor(make_network(), identifier=identifier)

    assert run("--sensor", identifier)[0] == 0

    assert sorted(values(sensor)) == [0, 1, 2]
    assert not rejected.exists()
    wire.publish(f"measurements/{identifier}", {"measurements": [measurement({"a": 3})]})
    wait_until(lambda: len(values(sensor)) == 4, what="the next one, live")
    assert SensorState.objects.get(sensor=sensor).latest_value == {"a": 3}


def test_killed_anywhere_and_run_again_it_loses_and_doubles_nothing(wire: Client, unique: str) -> None:
    """The command's process is killed hard while it works, three times, and then runs to its end."""
    identifier, number = f"killed-{unique}", 6_000
    rows = [
        RejectedMessage(
            topic=f"measurements/{identifier}", digest=index.to_bytes(16, "big"), reason="unknown_sensor", detail="",
            first_at=NOW, last_at=NOW, payload=payload, payload_bytes=len(payload),
        )
        for index in range(number)
        for payload in [json.dumps({"measurements": [entry({"a": index}, NOW - timedelta(seconds=index))]}).encode()]
    ]  # fmt: skip
    RejectedMessage.objects.bulk_create(rows)
    sensor = create_sensor(make_network(), identifier=identifier)
    rejected = RejectedMessage.objects.filter(topic=f"measurements/{identifier}")
    command = [sys.executable, "manage.py", "reingest_rejected", "--sensor", identifier]
    environment = {**os.environ, "DATABASE_URL": database_url()}

    def kill_after_a_batch() -> None:
        before = rejected.count()
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            wait_until(lambda: rejected.count() < before or process.poll() is not None, 120, "the first batch")
            process.kill()
            assert process.stdout is not None
            assert rejected.count() < before, process.stdout.read().decode()

    for _ in range(3):
        kill_after_a_batch()
        waiting = rejected.count()
        assert waiting, "it was done before it could be killed"
        assert Measurement.objects.filter(sensor_id=sensor.pk).count() + waiting >= number
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert values(sensor) == list(reversed(range(number)))
    assert not rejected.exists()
