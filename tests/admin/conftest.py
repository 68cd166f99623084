"""A fleet with a row of everything, and people with and without rights."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from alerts import services as alert_services
from alerts.models import Alert, Notification
from config.services import create_revision
from sensors import services
from sensors.models import Role, SensorState, User
from telemetry.models import RejectedMessage
from telemetry.partitions import ensure_months

AT = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def superuser(db) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def operator(client: Client, superuser: User) -> Client:
    """Return a browser of a superuser."""
    client.force_login(superuser)
    return client


@pytest.fixture
def fleet(superuser: User) -> SimpleNamespace:
    """Return one of everything."""
    owner = User.objects.create_user("owner")
    network = services.create_network(slug="plant", name="Plant", owner=owner)
    gateway = services.create_gateway(network, identifier="gate-1")
    sensor = services.create_sensor(
        network, identifier="boiler-1", gateway=gateway, labels={"floor": "2"}, name="Boiler <1>"
    )
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=AT)
    for number in range(2):
        revision = create_revision(sensor, values={"interval_s": 5 + number, "mode": "eco"}, author=owner, now=AT)
    rule = alert_services.create_rule(network, name="hot", kind="threshold", attribute="t", above=50.0, author=owner)
    alert = Alert.objects.create(
        network=network, rule=rule, rule_name="hot", sensor=sensor, sensor_identifier="boiler-1", state="firing",
        severity="warning", value=51.5, started_at=AT, fired_at=AT, created_at=AT, updated_at=AT,
    )  # fmt: skip
    silence = alert_services.create_silence(
        user=superuser, matchers={"network": "plant"}, ends_at=datetime.now(UTC) + timedelta(days=1),
        now=datetime.now(UTC),
    )  # fmt: skip
    target = alert_services.create_target(
        network, name="Duty", url="slack://T0FLEET00/B0FLEET00/aBcDeFgHiJkLmNoPqRsTuVwX/", author=owner, now=AT
    )
    Notification.objects.create(alert=alert, target=target, event="firing", created_at=AT, due_at=AT)
    rejected = RejectedMessage.objects.create(
        topic="measurements/<b>", digest=bytes(16), sensor_id=sensor.pk, reason="schema", detail="no <i>",
        first_at=AT, last_at=AT, payload=b'\xff\x00<script>alert("x")</script>', payload_bytes=30,
    )  # fmt: skip
    token, _ = services.create_token(owner, name="laptop", days=3)
    Group.objects.create(name="desk")
    services.set_member(network, user=User.objects.create_user("viewer"), role=Role.VIEWER)
    ensure_months([AT.date()])
    return SimpleNamespace(
        owner=owner, network=network, gateway=gateway, sensor=sensor, revision=revision, rule=rule, alert=alert,
        silence=silence, rejected=rejected, token=token,
    )  # fmt: skip
