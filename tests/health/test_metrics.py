"""`/metrics`: who may read it, and what it counts."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from alerts.models import EvaluationBatch
from fleet import metrics
from sensors.activity import record_tick, record_watermark
from sensors.models import SensorState, User
from telemetry.models import RejectedMessage

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
    client.force_login(User.objects.create_user("staff", is_staff=True))
    counted = read(client)
    assert counted["fleet_sensors", "up"] == 1
    assert counted["fleet_sensors", "new"] == 1
    assert counted["fleet_sensors", "down"] == 1
    assert counted["fleet_rejected_messages", "schema"] == 3
    assert counted["fleet_rejected_messages", "not_flat"] == 3
    assert counted["fleet_bridge_connected", "0/1"] == 1
    assert counted["fleet_bridge_queue_messages", "0/1"] == 7
    assert counted["fleet_evaluation_samples",] == 4
    assert 9 <= counted["fleet_evaluation_wait_seconds",] < 20
    assert 5 <= counted["fleet_tick_age_seconds", "bridge 0/1"] < 16
    assert counted["fleet_watermark_age_seconds", "0/1"] < 10
    assert counted["process_resident_memory_bytes",] > 1_000_000


def test_it_is_counted_once_in_a_while(client: Client, django_assert_max_num_queries):
    client.force_login(User.objects.create_user("staff", is_staff=True))
    read(client)
    # Session and user only.
    with django_assert_max_num_queries(2):
        read(client)
