"""How ingest is, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from alerts.models import EvaluationBatch
from config.models import RevisionState
from config.services import RevisionChange, create_revision
from fleet.api.ingest import IngestSerializer
from fleet.ingest.meters import Meters
from fleet.ingest.recent import FIELDS
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors import services
from sensors.activity import record_tick, record_watermark
from telemetry.models import RollupMark


def tick(shard: str, *, at: datetime, answers_s: tuple[float, ...] = (), **detail: object) -> None:
    """Write the tick of a bridge that stored one message of two entries and refused a third."""
    meters = Meters(started_at=at - timedelta(seconds=60))
    meters.detail(now=at - timedelta(seconds=4), now_s=0.0)
    meters.received, meters.received_bytes = 8, 800
    meters.took(waiting=3, now_s=1.0)
    message = InboundMessage("measurements/s", b"{}", at - timedelta(seconds=0.004))
    meters.stored(BatchResult(stored=2, rejected={"schema": 1}), [message], took_s=0.003, committed_at=at)
    meters.answered([RevisionChange(1, 1, "n", "s", 0, RevisionState.ACKNOWLEDGED, answer_s) for answer_s in answers_s])
    beside = {"connected": True, "queue": 1, "queue_limit": 2000, "broker_dropped": 0}
    record_tick(f"bridge {shard}", now=at, detail=meters.detail(now=at, now_s=4.0) | beside | detail)


@pytest.mark.parametrize(("who", "status"), [("viewer", 403), ("owner", 403), ("nobody", 401), ("staff", 200)])
def test_fleet_wide_numbers_are_for_staff(world, who, status):
    answer = getattr(world, who).get("ingest/")
    assert answer.status_code == status
    if status == 403:
        assert answer.json() == {"detail": "How ingest is, is told over all networks at once, and so to staff only."}


def test_it_takes_no_parameters_and_is_only_read(world):
    assert world.staff.get("ingest/?shard=0/1").status_code == 400
    assert world.staff.post("ingest/", {}).status_code == 405


def test_before_anything_has_run_it_says_so(world):
    body = world.staff.get("ingest/").json()
    assert body["shards"] == []
    assert body["parts"]["bridge"] == {"fit": False, "detail": "no bridge has ticked yet"}
    assert body["evaluation"] == body["rollups"] == {"number": 0, "oldest_at": None}
    assert body["configurations"] == {
        "to_publish": 0,
        "to_clear": 0,
        "acknowledged": {"number": 0, "p50": None, "p99": None},
        "failed": {"number": 0, "p50": None, "p99": None},
    }


def test_what_a_bridge_said_is_told(world):
    now = timezone.now().astimezone(UTC)
    tick("0/1", at=now)
    record_watermark("0/1", drained_until=now)
    body = world.staff.get("ingest/").json()
    (shard,) = body["shards"]
    assert body["parts"]["bridge"]["fit"]
    assert body["parts"]["broker"] == {"fit": True}
    window, samples = shard.pop("window"), shard.pop("samples")
    assert (window["seconds"], window["received"], window["stored"]) == (4.0, 2.0, 0.5)
    assert 0.0025 < window["lag_p50"] <= 0.005
    assert [len(sample) for sample in samples] == [len(FIELDS)]
    stamp = now.isoformat().replace("+00:00", "Z")
    assert shard == {
        "shard": "0/1",
        "ticked_at": stamp,
        "started_at": (now - timedelta(seconds=60)).isoformat().replace("+00:00", "Z"),
        "connected": True,
        "refused_since": None,
        "drained_until": stamp,
        "received": 8,
        "received_bytes": 800,
        "passed_over": 0,
        "messages": {"heartbeats": 0, "log-messages": 0, "measurements": 1},
        "stored": 2,
        "duplicates": 0,
        "rejected": {"schema": 1},
        "failures": 0,
        "queue": 1,
        "queue_high_water": 3,
        "queue_limit": 2000,
        "broker_dropped": 0,
    }


def test_shards_stand_in_their_order_and_an_earlier_set_is_left_out(world):
    now = timezone.now()
    tick("0/1", at=now - timedelta(hours=1))
    for index in (10, 2, 0):
        tick(f"{index}/11", at=now, answers_s=(0.2,))
    body = world.staff.get("ingest/").json()
    assert [shard["shard"] for shard in body["shards"]] == ["0/11", "2/11", "10/11"]
    assert body["configurations"]["acknowledged"]["number"] == 3
    assert 0.1 < body["configurations"]["acknowledged"]["p50"] <= 0.25
    assert not body["parts"]["bridge"]["fit"]


def test_a_bridge_that_is_refused_by_the_database_is_named(world):
    now = timezone.now()
    since = now - timedelta(seconds=20)
    tick("0/1", at=now, failing_since=since.timestamp())
    body = world.staff.get("ingest/").json()
    assert body["parts"]["bridge"]["detail"] == "the database refuses what it is to store"
    assert datetime.fromisoformat(body["shards"][0]["refused_since"]) == since


def test_a_tick_of_another_release_is_shown_as_far_as_it_goes(world):
    record_tick("bridge 0/1", now=timezone.now(), detail={"connected": True, "stored": 5})
    (shard,) = world.staff.get("ingest/").json()["shards"]
    assert (shard["stored"], shard["received"], shard["window"], shard["samples"]) == (5, None, None, [])
    assert set(shard) == set(IngestSerializer().fields["shards"].child.fields)


def test_what_waits_behind_ingest_is_counted(world):
    now = timezone.now()
    sensor = services.create_sensor(world.network, identifier="waiting")
    create_revision(sensor, values={}, author=None, now=now)
    for age_s, number in ((30, 4), (10, 5)):
        EvaluationBatch.objects.create(
            lane=0, created_at=now - timedelta(seconds=age_s), sample_count=number, samples=b""
        )
    RollupMark.objects.create(sensor_id=sensor.pk, hour=now)
    body = world.staff.get("ingest/").json()
    assert body["evaluation"]["number"] == 9
    assert datetime.fromisoformat(body["evaluation"]["oldest_at"]) == now - timedelta(seconds=30)
    assert (body["rollups"]["number"], body["configurations"]["to_publish"]) == (1, 1)


def test_it_costs_the_same_queries_for_one_shard_and_many(world, django_assert_max_num_queries):
    now = timezone.now()
    tick("0/9", at=now)
    world.staff.get("ingest/")
    for index in range(9):
        tick(f"{index}/9", at=now)
    # Of the caller's token and its use two or three; ticks, watermarks, samples twice, marks twice, two counts.
    with django_assert_max_num_queries(12):
        world.staff.get("ingest/")
