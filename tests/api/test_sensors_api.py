"""Single sensors over HTTP: making, showing, changing, deleting."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from config.services import Answer, create_revision, record_acknowledgements
from fleet.api.sensors import FleetSensorSerializer
from sensors import services
from sensors.models import Role, Sensor, SensorState, SensorTombstone
from tests.api.callers import make_network
from tests.api.hearing import heard


def test_a_new_sensor_answers_with_everything_that_is_known_of_it(world):
    answer = world.operator.post("sensors/", {"identifier": "boiler-1", "network": world.network.slug})
    assert answer.status_code == 201
    body = answer.json()
    assert world.viewer.get("sensors/boiler-1/").json() == body
    assert body.pop("created_at").endswith("Z")
    assert body.pop("updated_at").endswith("Z")
    assert body == {
        "identifier": "boiler-1",
        "network": world.network.slug,
        "gateway": None,
        "name": "",
        "labels": {},
        "period_s": 60,
        "grace_s": 30,
        "status": "new",
        "last_seen_at": None,
        "latest": None,
        "configuration": {
            "latest_revision": None,
            "acknowledged_revision": None,
            "running_revision": None,
            "state": None,
        },
    }


def test_a_sensor_shows_its_latest_measurement_and_configuration(world):
    sensor = services.create_sensor(world.network, identifier="busy")
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for pace in (1, 2, 3):
        create_revision(sensor, values={"pace": pace}, author=None, now=now)
    record_acknowledgements([Answer(sensor.pk, 1, True), Answer(sensor.pk, 2, False)], now=now)
    heard(
        sensor,
        1,
        latest_measured_at=now,
        latest_received_at=now,
        latest_revision=1,
        latest_value={"celsius": 21.5},
        running_revision=1,
    )
    body = world.viewer.get("sensors/busy/").json()
    assert body["latest"] == {"measured_at": "2026-03-01T12:00:00Z", "revision": 1, "value": {"celsius": 21.5}}
    assert body["configuration"] == {
        "latest_revision": 2,
        "acknowledged_revision": 1,
        "running_revision": 1,
        "state": "failed",
    }
    assert body["status"] == "up"
    assert body["last_seen_at"].endswith("Z")


def test_all_that_may_be_sent_is_kept(world):
    services.create_gateway(world.network, identifier="gw")
    body = {
        "identifier": "full",
        "network": world.network.slug,
        "gateway": "gw",
        "name": "Näme ☃",
        "labels": {"floor": "2", "weight": 1.5, "count": 3, "outdoor": False},
        "period_s": 5,
        "grace_s": 0,
    }
    answer = world.operator.post("sensors/", body)
    assert {key: answer.json()[key] for key in body} == body
    change = {"gateway": None, "labels": {}, "name": "", "period_s": 7, "grace_s": 1}
    answer = world.operator.patch("sensors/full/", change)
    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in body} == body | change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"identifier": "bad id"}, "identifier"),
        ({"identifier": "-a"}, "identifier"),
        ({"identifier": "a/b"}, "identifier"),
        ({"identifier": "a" * 65}, "identifier"),
        ({"identifier": "a\n"}, "identifier"),
        ({"identifier": " a"}, "identifier"),
        ({"identifier": ""}, "identifier"),
        ({"identifier": None}, "identifier"),
        ({"identifier": ["a"]}, "identifier"),
        ({"network": "missing"}, "network"),
        ({"network": {"slug": "x"}}, "network"),
        ({"network": "nul\x00"}, "network"),
        ({"network": None}, "network"),
        ({"gateway": "missing"}, "gateway"),
        ({"gateway": "foreign-gateway"}, "gateway"),
        ({"gateway": "second-gateway"}, "gateway"),
        ({"gateway": 5}, "gateway"),
        ({"period_s": 0}, "period_s"),
        ({"period_s": 10**8}, "period_s"),
        ({"period_s": 10**400}, "period_s"),
        ({"period_s": 1.5}, "period_s"),
        ({"period_s": None}, "period_s"),
        ({"grace_s": -1}, "grace_s"),
        ({"name": "x" * 201}, "name"),
        ({"name": "nul\x00"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"labels": []}, "labels"),
        ({"labels": None}, "labels"),
        ({"labels": {"a": None}}, "labels"),
        ({"labels": {"a": {"b": 1}}}, "labels"),
        ({"labels": {"a": ["b"]}}, "labels"),
        ({"labels": {"": "b"}}, "labels"),
        ({"labels": {"a": "nul\x00"}}, "labels"),
        ({"labels": {"a\ud800": "b"}}, "labels"),
        ({"labels": {"a": 10**400}}, "labels"),
        ({"labels": {"a": "x" * 501}}, "labels"),
        ({"labels": {str(number): 1 for number in range(65)}}, "labels"),
        ({"lables": {"a": "b"}}, "lables"),
        ({"status": "up"}, "status"),
        ({"last_seen_at": None}, "last_seen_at"),
    ],
)
def test_what_is_wrong_about_a_sensor_is_named_and_nothing_is_written(world, change, field):
    services.create_gateway(make_network("foreign")[0], identifier="foreign-gateway")
    second, _ = make_network("second")
    services.set_member(second, user=world.operator.user, role=Role.OPERATOR)
    services.create_gateway(second, identifier="second-gateway")
    answer = world.operator.post("sensors/", {"identifier": "wrong", "network": world.network.slug} | change)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()) == [field]
    assert all(isinstance(text, str) for text in answer.json()[field])
    assert Sensor.objects.count() == 0


def test_several_errors_are_named_at_once(world):
    answer = world.operator.post("sensors/", {"network": "missing", "period_s": 0, "typo": 1})
    assert set(answer.json()) == {"identifier", "network", "period_s", "typo"}


def test_a_taken_identifier_is_refused_in_any_network(world):
    services.create_sensor(make_network("foreign")[0], identifier="taken-1")
    answer = world.operator.post("sensors/", {"identifier": "taken-1", "network": world.network.slug})
    assert answer.status_code == 400
    assert "taken" in answer.json()["identifier"][0]


@pytest.mark.parametrize(("field", "value"), [("identifier", "other"), ("network", "other")])
def test_identifier_and_network_never_change(world, field, value):
    services.create_sensor(world.network, identifier="constant")
    answer = world.operator.patch("sensors/constant/", {field: value, "name": "x"})
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    sensor = Sensor.objects.get()
    assert (sensor.identifier, sensor.network, sensor.name) == ("constant", world.network, "")


def test_what_was_read_may_be_sent_back(world):
    services.create_sensor(world.network, identifier="same")
    body = {"identifier": "same", "network": world.network.slug, "name": "New"}
    assert world.operator.patch("sensors/same/", body).json()["name"] == "New"


def test_an_empty_change_changes_nothing(world):
    sensor = services.create_sensor(world.network, identifier="idle")
    assert world.operator.patch("sensors/idle/", {}).status_code == 200
    assert Sensor.objects.get().updated_at == sensor.updated_at


def test_another_period_has_the_sensors_silence_judged_anew(world):
    sensor = services.create_sensor(world.network, identifier="slow", period_s=3600)
    heard(sensor, 600, overdue_at=timezone.now() + timedelta(seconds=3000))
    assert world.viewer.get("sensors/slow/").json()["status"] == "up"
    assert world.operator.patch("sensors/slow/", {"period_s": 60}).json()["status"] == "down"
    assert SensorState.objects.get().overdue_at <= timezone.now()


def test_deleting_a_sensor_leaves_a_tombstone(world):
    services.create_sensor(world.network, identifier="gone")
    assert world.operator.delete("sensors/gone/").status_code == 204
    assert world.viewer.get("sensors/gone/").status_code == 404
    assert SensorTombstone.objects.get().identifier == "gone"


def test_an_identifier_may_live_again(world):
    services.delete_sensor(services.create_sensor(world.network, identifier="phoenix"))
    body = {"identifier": "phoenix", "network": world.network.slug}
    assert world.operator.post("sensors/", body).status_code == 201


def test_a_sensor_shows_all_fields_that_its_document_declares(world):
    services.create_sensor(world.network, identifier="shown")
    assert list(world.viewer.get("sensors/shown/").json()) == list(FleetSensorSerializer().fields)
