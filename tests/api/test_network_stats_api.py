"""Sensors by status, for each network that the caller may see."""

from datetime import UTC, datetime

from django.utils import timezone

from sensors import services
from sensors.models import SensorState, Watermark
from tests.api.callers import Caller, make_network


def rows(caller):
    body = caller.get("stats/networks/").json()
    assert (body["next"], body["previous"]) == (None, None)
    return {row.pop("network"): row for row in body["results"]}


def test_each_visible_network_is_counted_by_itself(world):
    foreign = make_network("foreign")[0]
    for network in (world.network, foreign):
        services.create_sensor(network, identifier=f"new-{network.slug}")
        heard = services.create_sensor(network, identifier=f"heard-{network.slug}")
        SensorState.objects.filter(sensor=heard).update(last_seen_at=timezone.now())
    counts = {"total": 2, "new": 1, "up": 1, "late": 0, "down": 0}
    assert rows(world.viewer) == {world.network.slug: counts}
    assert rows(world.staff) == {world.network.slug: counts, foreign.slug: counts}
    assert rows(world.stranger) == {}


def test_a_network_without_sensors_is_there_with_zeros(world):
    assert rows(world.viewer) == {world.network.slug: {"total": 0, "new": 0, "up": 0, "late": 0, "down": 0}}


def test_silence_is_judged_against_the_bridges_watermark(world):
    sensor = services.create_sensor(world.network, identifier="waiting")
    seen_at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=seen_at)
    assert rows(world.viewer)[world.network.slug]["down"] == 1
    Watermark.objects.create(shard="0/1", drained_until=seen_at)
    assert rows(world.viewer)[world.network.slug]["up"] == 1


def test_many_networks_cost_as_many_queries_as_one(world, django_assert_max_num_queries):
    for number in range(20):
        network = make_network(f"more-{number}")[0]
        services.create_sensor(network, identifier=f"of-{network.slug}")
    world.staff.get("stats/networks/")
    # Token, user, watermark, networks, counts.
    with django_assert_max_num_queries(5):
        assert len(rows(world.staff)) == 21


def test_unknown_parameters_and_strangers_are_refused(world):
    assert world.viewer.get("stats/networks/?network=x").status_code == 400
    assert Caller().get("stats/networks/").status_code == 401
