"""Simulated sensors in the database."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from alerts.models import Rule
from config.models import Revision
from fleet.simulator.demo import seed_demo
from fleet.simulator.registry import (
    RegistryError,
    expected_period_s,
    find_network,
    register_replayed,
    register_sensors,
    unregistered,
)
from sensors.models import Gateway, Membership, Network, Sensor, User
from sensors.services import create_network, create_sensor

NOW = datetime(2024, 6, 1, tzinfo=UTC)
NAMES = [f"demo-{number:03d}" for number in range(1, 13)]


@pytest.mark.django_db
def test_the_demo_network_has_gateways_sensors_configurations_and_rules():
    admin = User.objects.create_user("admin")
    seeded = seed_demo(NAMES, interval_s=5.0, now=NOW)
    assert (seeded.gateways, seeded.sensors, seeded.revisions, seeded.rules) == (2, 12, 12, 7)
    network = Network.objects.get(slug="demo")
    assert network.name == "Demo network"
    assert list(network.memberships.values_list("user", "role")) == [(admin.pk, "owner")]
    last = Sensor.objects.get(identifier="demo-012")
    assert (last.name, last.period_s, last.grace_s) == ("Simulated room sensor 12", 30, 30)
    assert last.labels == {"floor": "2", "room": "202", "simulated": True}
    assert sorted(gateway.sensors.count() for gateway in Gateway.objects.filter(network=network)) == [6, 6]
    revision = Revision.objects.get(sensor=last)
    assert (revision.number, revision.values["interval_s"]) == (0, 5)
    limits = {rule.attribute: (rule.below, rule.above) for rule in network.rules.filter(kind="threshold")}
    assert limits == {
        "temperature": (0, 50),
        "humidity": (10, 90),
        "voltage": (200, 240),
        "current": (0, 10),
        "pressure": (900, 1100),
    }
    others = network.rules.exclude(kind="threshold").values_list("kind", "scope", "enabled")
    assert sorted(others) == [("gateway_silence", "network", True), ("staleness", "network", True)]


@pytest.mark.django_db
def test_seeding_again_changes_nothing_and_adds_what_is_new():
    seed_demo(NAMES[:2], interval_s=5.0, now=NOW)
    Sensor.objects.filter(identifier="demo-001").update(name="Mine")
    Rule.objects.filter(attribute="current").delete()
    again = seed_demo(NAMES[:2], interval_s=9.0, now=NOW)
    assert (again.gateways, again.sensors, again.revisions, again.rules) == (0, 0, 0, 0)
    assert again.line() == "The network demo is there already."
    more = seed_demo(NAMES[:3], interval_s=5.0, now=NOW)
    assert (more.sensors, more.revisions, more.rules) == (1, 1, 0)
    assert Sensor.objects.get(identifier="demo-001").name == "Mine"
    assert Rule.objects.count() == 6
    assert Revision.objects.count() == 3


@pytest.mark.django_db
def test_the_admin_becomes_the_owner_of_a_demo_network_that_has_no_member():
    seed_demo(NAMES[:1], interval_s=5.0, now=NOW)
    assert Membership.objects.count() == 0
    User.objects.create_user("admin")
    seed_demo(NAMES[:1], interval_s=5.0, now=NOW)
    assert Membership.objects.get().role == "owner"


@pytest.mark.django_db
def test_a_sensor_of_another_network_is_not_simulated():
    create_sensor(create_network(slug="hall", owner=None), identifier="demo-001")
    with pytest.raises(RegistryError, match="demo-001: already in another network than 'demo'"):
        seed_demo(NAMES, interval_s=5.0, now=NOW)
    assert not Network.objects.filter(slug="demo").exists()
    with pytest.raises(RegistryError, match="already in another network"):
        register_replayed(create_network(slug="yard", owner=None), "demo-001", file_name="a.csv")


@pytest.mark.django_db(transaction=True)
def test_two_that_seed_at_once_make_one_network():
    problems: list[BaseException] = []

    def seed() -> None:
        try:
            seed_demo(NAMES, interval_s=5.0, now=NOW)
        except BaseException as error:
            problems.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=seed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert (Sensor.objects.count(), Gateway.objects.count(), Rule.objects.count()) == (12, 2, 7)
    assert list(Revision.objects.values_list("number", flat=True)) == [0] * 12


@pytest.mark.django_db
def test_missing_sensors_are_created_in_the_network_that_was_named():
    network = create_network(slug="hall", owner=None)
    create_sensor(network, identifier="b", name="Mine")
    assert unregistered(["a", "b"]) == ["a"]
    assert register_sensors(network, ["a", "b"], interval_s=120.0) == 1
    assert register_sensors(network, ["a", "b"], interval_s=120.0) == 0
    made = Sensor.objects.get(identifier="a")
    assert (made.name, made.period_s, made.labels) == ("Simulated sensor a", 120, {"simulated": True})
    assert Sensor.objects.get(identifier="b").name == "Mine"


@pytest.mark.django_db
def test_a_replayed_sensor_is_expected_once_a_day():
    network = create_network(slug="hall", owner=None)
    assert register_replayed(network, "office", file_name="office.csv")
    assert not register_replayed(network, "office", file_name="office.csv")
    made = Sensor.objects.get(identifier="office")
    assert (made.name, made.period_s, made.labels) == ("Replayed office.csv", 86_400, {"replayed": True})


@pytest.mark.django_db
def test_a_network_that_does_not_exist_is_told_with_those_that_do():
    create_network(slug="hall", owner=None)
    with pytest.raises(RegistryError, match="there is no network 'hal'; there are: hall"):
        find_network("hal")


@pytest.mark.parametrize(("interval_s", "period_s"), [(0.1, 30), (30, 30), (60.4, 60), (86_400, 86_400)])
def test_a_sensor_is_expected_as_often_as_it_is_heard_at_least(interval_s, period_s):
    assert expected_period_s(interval_s) == period_s
