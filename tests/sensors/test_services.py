"""Writing networks, members, gateways, sensors: what holds on any path, also at the same time."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from sensors import services
from sensors.errors import Conflict, Forbidden, IdentifierTaken, Invalid, NotFound
from sensors.models import Gateway, Membership, Network, Role, Sensor, SensorState, SensorTombstone, User
from tests.together import at_once

# The API's tests go through all that is refused there; here is what only services and the database know.


@pytest.fixture
def network(db):
    return services.create_network(slug="services", owner=None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"identifier": "a b"}, "identifier"),
        ({"identifier": ""}, "identifier"),
        ({"identifier": "a\n"}, "identifier"),
        ({"name": "x" * 201}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"period_s": 0}, "period_s"),
        ({"grace_s": -1}, "grace_s"),
        ({"period_s": 2**31}, "period_s"),
        ({"labels": {"a": None}}, "labels"),
        ({"labels": {"a": float("nan")}}, "labels"),
        ({"labels": {1: "x"}}, "labels"),
    ],
)
def test_a_senseless_sensor_is_refused_by_its_field(network, fields, field):
    with pytest.raises(Invalid) as caught:
        services.create_sensor(network, **{"identifier": "fine"} | fields)
    assert caught.value.field == field
    assert Sensor.objects.count() == 0


def test_identifiers_are_unique_among_sensors_and_apart_from_gateways(network):
    services.create_sensor(network, identifier="same")
    services.create_gateway(network, identifier="same")
    for create in (services.create_sensor, services.create_gateway):
        with pytest.raises(IdentifierTaken) as caught:
            create(network, identifier="same")
        assert caught.value.field == "identifier"
    with pytest.raises(IdentifierTaken) as caught:
        services.create_network(slug="services", owner=None)
    assert caught.value.field == "slug"


def test_a_new_sensor_has_its_state(network):
    sensor = services.create_sensor(network, identifier="stateful")
    assert SensorState.objects.get().sensor == sensor


@pytest.mark.parametrize("change", [{"identifier": "x"}, {"network": None}, {"created_at": None}])
def test_what_never_changes_is_refused(network, change):
    sensor = services.create_sensor(network, identifier="constant")
    with pytest.raises(Invalid, match="never changes"):
        services.update_sensor(sensor, now=timezone.now(), **change)


def test_the_database_keeps_identifiers(network):
    services.create_sensor(network, identifier="kept")
    services.create_gateway(network, identifier="kept")
    for model in (Sensor, Gateway):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            model.objects.update(identifier="other")
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.bulk_create([model(network=network, identifier="bad id")])


def test_deleting_by_any_way_leaves_a_tombstone(network):
    for number in range(4):
        services.create_sensor(network, identifier=f"t-{number}")
    services.delete_sensor(Sensor.objects.get(identifier="t-0"))
    Sensor.objects.filter(identifier="t-1").delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sensors_sensorstate")
        cursor.execute("DELETE FROM sensors_sensor WHERE identifier = 't-2'")
    services.delete_network(network)
    names = SensorTombstone.objects.order_by("identifier").values_list("identifier", flat=True)
    assert list(names) == ["t-0", "t-1", "t-2", "t-3"]


def test_a_sensor_that_was_deleted_meanwhile_is_not_changed(network):
    sensor = services.create_sensor(network, identifier="gone")
    Sensor.objects.all().delete()
    with pytest.raises(NotFound):
        services.update_sensor(sensor, now=timezone.now(), name="x")
    assert Sensor.objects.count() == 0


def test_a_member_of_a_deleted_network_is_refused(network):
    user = User.objects.create_user("late")
    Network.objects.all().delete()
    with pytest.raises(NotFound):
        services.set_member(network, user=user, role=Role.VIEWER)


def test_an_unknown_role_is_refused(network):
    with pytest.raises(Invalid, match="viewer, operator, owner"):
        services.set_member(network, user=User.objects.create_user("x"), role="king")


def test_who_is_no_member_cannot_be_removed(network):
    with pytest.raises(NotFound):
        services.remove_member(network, user=User.objects.create_user("x"))


def test_a_token_is_for_active_users_and_bounded_in_time(db):
    user = User.objects.create_user("tokens")
    for days in (0, -1, 3651):
        with pytest.raises(Invalid):
            services.create_token(user, days=days)
    user.is_active = False
    with pytest.raises(Forbidden):
        services.create_token(user, days=1)


def test_two_owners_who_demote_each_other_leave_one(transactional_db):
    network = services.create_network(slug="two-owners", owner=None)
    users = [User.objects.create_user(name) for name in ("one", "two")]
    for user in users:
        services.set_member(network, user=user, role=Role.OWNER)
    results = at_once(
        lambda: services.set_member(network, user=users[0], role=Role.VIEWER),
        lambda: services.remove_member(network, user=users[1]),
        expected=Conflict,
    )
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert Membership.objects.filter(role=Role.OWNER).count() == 1


def test_of_those_who_take_an_identifier_at_once_one_gets_it(transactional_db):
    network = services.create_network(slug="race", owner=None)
    results = at_once(*[lambda: services.create_sensor(network, identifier="wanted")] * 8, expected=IdentifierTaken)
    assert sum(isinstance(result, Sensor) for result in results) == 1
    assert sum(isinstance(result, IdentifierTaken) for result in results) == 7
