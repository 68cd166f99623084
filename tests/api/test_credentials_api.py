"""Credentials of sensors over HTTP: shown once, never again."""

import json

import pytest
from django.urls import reverse
from django.utils import timezone

from sensors.models import AuditEntry, Sensor, SensorCredential
from sensors.services import create_sensor
from sensors.services.credentials import due_credentials, hashed_secrets, mark_applied

PATH = "sensors/boiler/credential/"


@pytest.fixture
def sensor(world) -> Sensor:
    return create_sensor(world.network, identifier="boiler")


def apply() -> None:
    mark_applied([each.change for each in due_credentials(limit=10, now=timezone.now())], now=timezone.now())


def test_the_password_is_shown_once(world, sensor):
    assert world.viewer.get(PATH).json() == {
        "username": "boiler", "client_id": "boiler", "state": "none", "changed_at": None, "changed_by": None
    }  # fmt: skip
    answer = world.operator.post(PATH, {})
    assert answer.status_code == 201
    issued = answer.json()
    password = issued.pop("password")
    assert hashed_secrets()["boiler"].matches(password)
    assert issued == world.operator.get(PATH).json()
    assert (issued["state"], issued["changed_by"]) == ("waiting", str(world.operator.user))
    apply()
    assert world.viewer.get(PATH).json()["state"] == "active"


def test_another_one_ends_the_first_and_revoking_ends_all(world, sensor):
    first = world.operator.post(PATH, {}).json()["password"]
    second = world.operator.post(PATH, {}).json()["password"]
    assert not hashed_secrets()["boiler"].matches(first)
    assert hashed_secrets()["boiler"].matches(second)
    apply()
    assert world.operator.delete(PATH).status_code == 204
    assert world.viewer.get(PATH).json()["state"] == "revoking"
    assert hashed_secrets() == {}
    assert world.operator.delete(PATH).status_code == 404
    apply()
    assert world.viewer.get(PATH).json()["state"] == "revoked"


@pytest.mark.parametrize("body", [{"password": "mine"}, ["x"]])
def test_nobody_chooses_a_password(world, sensor, body):
    assert world.operator.post(PATH, body).status_code == 400
    assert not SensorCredential.objects.exists()


@pytest.mark.parametrize("identifier", ["fleet-bridge", "sensor"])
def test_a_sensor_named_like_a_login_of_the_service_gets_none(world, identifier):
    """The broker would give it the bridge's rights."""
    create_sensor(world.network, identifier=identifier)
    answer = world.operator.post(f"sensors/{identifier}/credential/", {})
    assert (answer.status_code, list(answer.json())) == (400, ["identifier"])
    assert not SensorCredential.objects.exists()


def test_the_history_names_who_did_it_and_no_secret(world, sensor, client):
    password = world.operator.post(PATH, {}).json()["password"]
    world.operator.delete(PATH)
    entries = AuditEntry.objects.get_for_object(sensor).filter(action=AuditEntry.Action.UPDATE).order_by("pk")
    assert [(entry.changes, entry.actor) for entry in entries] == [
        ({"credential": ["", "issued"]}, world.operator.user),
        ({"credential": ["", "revoked"]}, world.operator.user),
    ]
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    stored = SensorCredential.objects.get()
    for secret in (password, stored.secret_hash or "$7$", stored.sealed_secret or "gAAAA"):
        assert secret not in everything
    client.force_login(world.staff.user)
    page = client.get(reverse("admin:sensors_sensor_change", args=[sensor.pk])).content.decode()
    assert password not in page
