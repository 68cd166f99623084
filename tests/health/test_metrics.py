"""`/metrics`: who may read it, and what it counts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from alerts.models import EvaluationBatch, LogNote
from fleet import metrics
from fleet.ingest.meters import Meters
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors.activity import record_tick, record_watermark
from sensors.models import SensorState, User
from telemetry.models import RejectedMessage, RollupMark

TOKEN = "token-of-prometheus-0123456789"


@pytest.fixture(autouse=True)
def _count_anew(db):
    metrics._fleet.__init__()


def read(client: Client, **headers: str) -> dict[tuple[str, ...], float]:
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_nobody_reads_it(client: Client, settings):
    response = client.get("/metrics")
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
    # An empty token is none.
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401
    settings.METRICS_TOKEN = TOKEN
    for header in ("Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer \xff", "Bearer"):
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_a_user_without_staff_rights_does_not_read_it(client: Client):
    client.force_login(User.objects.create_user("viewer"))
    assert client.get("/metrics").status_code == 401


def test_the_token_reads_it(client: Client, settings):
    settings.METRICS_TOKEN = TOKEN
    assert read(client, Authorization=f"Bearer {TOKEN}")[("fleet_database_up",)] == 1


def test_staff_read_what_the_database_counts(client: Client, make_world):
    world = make_world(3)
    now = datetime.now(UTC)
    SensorState.objects.filter(sensor=world.sensors[0]).update(last_seen_at=now)
    SensorState.objects.filter(sensor=world.sensors[1]).update(last_seen_at=now - timedelta(days=1))
    for index, reason in enumerate(["schema", "schema", "not_flat"]):
        RejectedMessage.objects.create(
            topic="t", digest=bytes([index] * 16), reason=reason, detail="", count=index + 1, first_at=now, last_at=now,
            payload=b"", payload_bytes=0,
        )  # fmt: skip
    record_tick("bridge 0/1", now=now - timedelta(seconds=5), detail={"connected": True, "queue": 7, "pid": 1})
    record_watermark("0/1", drained_until=now)
    EvaluationBatch.objects.create(lane=3, created_at=now - timedelta(seconds=9), sample_count=4, samples=b"")
    LogNote.objects.create(
        lane=3, sensor_id=world.sensors[0].pk, rank=2, measured_us=0, received_us=int((now.timestamp() - 30) * 1e6)
    )
    client.force_login(User.objects.create_user("staff", is_staff=True))
    counted = read(client)
    assert counted["fleet_sensors", "up"] == 1
    assert counted["fleet_sensors", "new"] == 1
    assert counted["fleet_sensors", "down"] == 1
    assert counted["fleet_rejected_messages", "schema"] == 3
    assert counted["fleet_rejected_messages", "not_flat"] == 3
    assert counted["fleet_bridge_connected", "0/1"] == 1
    assert counted["fleet_ingest_queue_messages", "0/1"] == 7
    assert counted["fleet_evaluation_samples",] == 5
    assert 30 <= counted["fleet_evaluation_wait_seconds",] < 60
    assert 5 <= counted["fleet_tick_age_seconds", "bridge 0/1"] < 16
    assert counted["fleet_watermark_age_seconds", "0/1"] < 10
    assert counted["process_resident_memory_bytes",] > 1_000_000


def test_what_a_bridge_counted_comes_as_counters_and_histograms(client: Client):
    now = datetime.now(UTC)
    meters = Meters(started_at=now)
    meters.received = 4
    for lag_s, took_s in ((0.02, 0.004), (0.5, 0.2)):
        message = InboundMessage("measurements/s", b"{}", now - timedelta(seconds=lag_s))
        result = BatchResult(stored=3, duplicates=1, rejected={"schema": 2})
        meters.stored(result, [message], took_s=took_s, committed_at=now)
    record_tick("bridge 1/2", now=now, detail=meters.detail(now=now, now_s=0.0) | {"broker_dropped": 6})
    client.force_login(User.objects.create_user("staff", is_staff=True))
    counted = read(client)
    assert counted["fleet_ingest_received_messages_total", "1/2"] == 4
    assert counted["fleet_ingest_messages_total", "measurements", "1/2"] == 2
    assert counted["fleet_ingest_stored_entries_total", "1/2"] == 6
    assert counted["fleet_ingest_duplicate_entries_total", "1/2"] == 2
    assert counted["fleet_ingest_rejected_total", "schema", "1/2"] == 4
    assert counted["fleet_broker_dropped_messages_total", "1/2"] == 6
    # Buckets are cumulative, and a bound belongs to its bucket.
    assert counted["fleet_ingest_lag_seconds_bucket", "0.01", "1/2"] == 0
    assert counted["fleet_ingest_lag_seconds_bucket", "0.02", "1/2"] == 1
    assert counted["fleet_ingest_lag_seconds_bucket", "0.25", "1/2"] == 1
    assert counted["fleet_ingest_lag_seconds_bucket", "+Inf", "1/2"] == 2
    assert counted["fleet_ingest_lag_seconds_count", "1/2"] == 2
    assert counted["fleet_ingest_lag_seconds_sum", "1/2"] == pytest.approx(0.52)
    assert counted["fleet_ingest_commit_seconds_sum", "1/2"] == pytest.approx(0.204)
    assert counted["fleet_ingest_batch_messages_bucket", "1.0", "1/2"] == 2


def test_an_earlier_set_of_shards_is_left_out(client: Client):
    now = datetime.now(UTC)
    record_tick("bridge 0/1", now=now - timedelta(hours=1), detail={"connected": False, "queue": 7})
    record_tick("bridge 0/2", now=now, detail={"connected": True, "queue": 0})
    record_tick("waiting bridge 1/2", now=now, detail={"why": "another bridge of this shard is running"})
    client.force_login(User.objects.create_user("staff", is_staff=True))
    counted = read(client)
    assert ("fleet_bridge_connected", "0/1") not in counted
    assert counted["fleet_bridge_connected", "0/2"] == 1
    assert {labels[0] for name, *labels in counted if name == "fleet_tick_age_seconds"} == {"bridge 0/2"}


def test_what_waits_to_be_rolled_up_is_counted(client: Client):
    now = datetime.now(UTC)
    for age_s in (600, 60):
        RollupMark.objects.create(sensor_id=1, hour=now, created_at=now - timedelta(seconds=age_s))
    client.force_login(User.objects.create_user("staff", is_staff=True))
    counted = read(client)
    assert counted["fleet_rollup_marks",] == 2
    assert 600 <= counted["fleet_rollup_wait_seconds",] < 620


def test_it_is_counted_once_in_a_while(client: Client, django_assert_max_num_queries):
    client.force_login(User.objects.create_user("staff", is_staff=True))
    read(client)
    # Session and user only.
    with django_assert_max_num_queries(2):
        read(client)
