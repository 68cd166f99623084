"""How many attributes a sensor may have, and what is remembered of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet.ingest.batch import ingest_batch
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors.models import Sensor
from sensors.services import create_network, create_sensor
from telemetry import attributes
from telemetry.models import Attribute, Measurement, RejectedMessage

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _few(settings: Any) -> None:
    settings.MAX_ATTRIBUTES_PER_SENSOR = 5
    attributes.forget()


@pytest.fixture
def sensor(db: None) -> Sensor:
    return create_sensor(create_network(slug="hall", name="Hall", owner=None), identifier="s-1")


def ingest(*values: dict[str, Any], sensor: str = "s-1", minutes: int = 0) -> BatchResult:
    at_s = (NOW + timedelta(minutes=minutes)).timestamp()
    entries = [{"revision": 0, "timestamp": at_s + index, "value": value} for index, value in enumerate(values)]
    payload = json.dumps({"measurements": entries}).encode()
    now = NOW + timedelta(minutes=minutes)
    return ingest_batch([InboundMessage(f"measurements/{sensor}", payload, now)], now=now)


def names(sensor: Sensor) -> set[str]:
    return set(Attribute.objects.filter(sensor_id=sensor.pk).values_list("name", flat=True))


def test_attributes_are_known_once_they_are_stored(sensor: Sensor) -> None:
    ingest({"a": 1, "b": 2}, {"b": 3, "c": "x"})
    ingest({"a": 2, "d": None}, minutes=1)

    assert names(sensor) == set("abcd")
    assert Attribute.objects.get(name="a").first_at == NOW


def test_one_attribute_too_many_costs_only_its_measurement(sensor: Sensor) -> None:
    result = ingest({"a": 1, "b": 1, "c": 1, "d": 1}, {"e": 1}, {"f": 1}, {"a": 2})

    assert (result.stored, result.rejected) == (3, {"too_many_attributes": 1})
    refused = RejectedMessage.objects.get()
    assert "'f' is new" in refused.detail
    assert json.loads(bytes(refused.payload))["value"] == {"f": 1}
    assert names(sensor) == set("abcde")
    assert Measurement.objects.count() == 3


def test_the_limit_holds_from_one_batch_to_the_next_and_in_a_process_that_remembers_nothing(sensor: Sensor) -> None:
    ingest({"a": 1, "b": 1, "c": 1})
    ingest({"d": 1, "e": 1}, minutes=1)
    attributes.forget()

    assert ingest({"a": 2, "z": 1}, {"a": 3, "e": 1}, minutes=2).rejected == {"too_many_attributes": 1}
    assert names(sensor) == set("abcde")


def test_sensors_do_not_share_their_limit(sensor: Sensor) -> None:
    other = create_sensor(sensor.network, identifier="s-2")
    ingest({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1})
    assert ingest({"v": 1, "w": 1, "x": 1, "y": 1, "z": 1}, sensor="s-2").rejected == {}
    assert names(other) == set("vwxyz")


def test_how_many_a_measurement_may_have_can_be_set(sensor: Sensor, settings: Any) -> None:
    settings.MAX_ATTRIBUTES_PER_MEASUREMENT = 2
    result = ingest({"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1})

    assert (result.stored, result.rejected) == (1, {"too_many_attributes": 1})
    assert "at most 2" in RejectedMessage.objects.get().detail


def test_what_was_rolled_back_is_not_remembered(sensor: Sensor) -> None:
    ingest({"a": 1})
    # The test's own transaction is never committed.
    assert attributes.remembered(sensor.pk) == frozenset()


@pytest.mark.django_db(transaction=True)
def test_what_was_committed_is_remembered_and_sensors_of_a_kind_share_it(settings: Any) -> None:
    network = create_network(slug="hall", name="Hall", owner=None)
    one, other = (create_sensor(network, identifier=name) for name in ("s-1", "s-2"))
    ingest({"a": 1, "b": 1})
    ingest({"b": 1, "a": 1}, sensor="s-2")

    assert attributes.remembered(one.pk) == {"a", "b"}
    assert attributes.remembered(other.pk) is attributes.remembered(one.pk)
