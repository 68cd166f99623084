"""Counts and rates over what the caller may see."""

from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from alerts.models import Alert
from fleet.api.stats import CountMemory
from sensors import services
from sensors.models import SensorState, Watermark
from telemetry.models import RejectedMessage
from telemetry.partitions import ensure_months
from tests.api.callers import make_network


def measure(sensor, moments):
    ensure_months({moment.date().replace(day=1) for moment in moments})
    with connection.cursor() as cursor:
        for number, moment in enumerate(moments):
            cursor.execute(
                "INSERT INTO telemetry_measurement (sensor_id, measured_at, digest, received_at, revision, value)"
                " VALUES (%s, %s, %s, %s, 0, '{}')",
                [sensor.pk, moment, number, moment],
            )
    newest = max(moments)
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=newest, latest_measured_at=newest)


def without_time(counts):
    return {name: number for name, number in counts.items() if name != "counted_at"}


def test_an_empty_fleet_counts_zero(world):
    body = world.stranger.get("stats/").json()
    assert body.pop("at").endswith("Z")
    assert body.pop("judged_at").endswith("Z")
    assert body["measurements"].pop("counted_at").endswith("Z")
    assert body == {
        "networks": 0,
        "gateways": 0,
        "sensors": {"total": 0, "new": 0, "up": 0, "late": 0, "down": 0},
        "alerts": {"pending": 0, "firing": 0, "info": 0, "warning": 0, "critical": 0},
        "measurements": {"last_minute": 0, "last_hour": 0},
        "claims_waiting": 0,
        "rejected_last_day": 0,
    }


def test_only_what_the_caller_may_see_is_counted(world):
    now = timezone.now()
    for network in (world.network, make_network("foreign")[0]):
        services.create_gateway(network, identifier=f"gw-{network.slug}")
        services.create_sensor(network, identifier=f"new-{network.slug}")
        sensor = services.create_sensor(network, identifier=f"busy-{network.slug}")
        measure(sensor, [now - timedelta(seconds=ago_s) for ago_s in (1, 30, 90, 3000, 4000)])
        Alert.objects.create(
            network=network,
            sensor=sensor,
            rule_name="hot",
            state="firing",
            severity="critical",
            started_at=now,
            fired_at=now,
            created_at=now,
            updated_at=now,
        )
        for ago in (timedelta(hours=1), timedelta(hours=30)):
            RejectedMessage.objects.create(
                topic="t",
                digest=f"{network.pk}{ago}".encode()[:16],
                sensor_id=sensor.pk,
                reason="schema",
                first_at=now - ago,
                last_at=now - ago,
                payload=b"",
                payload_bytes=0,
            )
    body = world.viewer.get("stats/").json()
    assert (body["networks"], body["gateways"], body["rejected_last_day"]) == (1, 1, 1)
    assert body["sensors"] == {"total": 2, "new": 1, "up": 1, "late": 0, "down": 0}
    assert body["alerts"] == {"pending": 0, "firing": 1, "info": 0, "warning": 0, "critical": 1}
    assert without_time(body["measurements"]) == {"last_minute": 2, "last_hour": 4}
    assert without_time(world.staff.get("stats/").json()["measurements"]) == {"last_minute": 4, "last_hour": 8}


def test_a_bridge_that_is_behind_makes_nobody_silent(world):
    sensor = services.create_sensor(world.network, identifier="waiting")
    seen_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=seen_at)
    assert world.viewer.get("stats/").json()["sensors"]["down"] == 1
    Watermark.objects.create(shard="0/1", drained_until=seen_at)
    body = world.viewer.get("stats/").json()
    assert body["sensors"] == {"total": 1, "new": 0, "up": 1, "late": 0, "down": 0}
    assert body["judged_at"] == "2026-03-01T12:00:00Z"
    assert world.viewer.get("sensors/waiting/").json()["status"] == "up"
    assert world.viewer.get("sensors/?status=down").json()["results"] == []


def test_a_count_is_shown_again_for_as_long_as_it_took_fifty_times(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("fleet.api.stats.time.monotonic", lambda: clock[0])
    memory = CountMemory()
    counted = []

    def count(took_s):
        def run():
            clock[0] += took_s
            counted.append(len(counted))
            return {"number": len(counted)}

        return run

    assert memory.counts((1,), count(0.5)) == {"number": 1}
    clock[0] += 24.9
    assert memory.counts((1,), count(0.5)) == {"number": 1}
    # Another's networks are counted for themselves.
    assert memory.counts((1, 2), count(0)) == {"number": 2}
    clock[0] += 0.2
    assert memory.counts((1,), count(5.0)) == {"number": 3}
    # Never for longer than a minute.
    clock[0] += 59.9
    assert memory.counts((1,), count(0)) == {"number": 3}
    clock[0] += 0.2
    assert memory.counts((1,), count(0)) == {"number": 4}
    # What took no time is counted each time.
    assert memory.counts((1,), count(0)) == {"number": 5}
