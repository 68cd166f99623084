"""Lists of sensors over HTTP: finding, paging, ordering."""

from datetime import timedelta

import pytest
from django.utils import timezone

from config.services import create_revision
from sensors import services
from sensors.models import Role, Sensor, SensorState
from tests.api.callers import listed, make_network
from tests.api.hearing import heard


def found(caller, **query):
    return [row["identifier"] for row in listed(caller, "sensors/", **query)]


@pytest.fixture
def crowd(world):
    """Five sensors of four statuses in two networks."""
    second, _ = make_network("second", viewer2=Role.VIEWER)
    services.set_member(second, user=world.viewer.user, role=Role.VIEWER)
    gateway = services.create_gateway(world.network, identifier="gw-1")
    make = services.create_sensor
    make(world.network, identifier="a-new", labels={"floor": "2"})
    heard(make(world.network, identifier="b-up", gateway=gateway, name="Boiler 50% full"), 10)
    heard(make(world.network, identifier="c-late", labels={"floor": 2, "hall": "north"}), 70)
    heard(make(second, identifier="d-down", labels={"a:b": "c", "wet": True}), 100)
    heard(make(second, identifier="e-up", period_s=1000), 900)
    world.second = second
    return world


@pytest.mark.parametrize(
    ("query", "identifiers"),
    [
        ({}, "a-new b-up c-late d-down e-up"),
        ({"status": "new"}, "a-new"),
        ({"status": "up"}, "b-up e-up"),
        ({"status": ["late", "down"]}, "c-late d-down"),
        ({"gateway": "gw-1"}, "b-up"),
        ({"gateway": "none"}, ""),
        ({"label": "floor:2"}, "a-new c-late"),
        ({"label": ["floor:2", "hall:north"]}, "c-late"),
        ({"label": "a:b:c"}, "d-down"),
        ({"label": "wet:true"}, "d-down"),
        ({"label": "wet:false"}, ""),
        ({"label": "floor:"}, ""),
        ({"search": "UP"}, "b-up e-up"),
        ({"search": "boiler"}, "b-up"),
        ({"search": "50%"}, "b-up"),
        ({"search": "%"}, "b-up"),
        ({"search": "north"}, "c-late"),
        ({"search": "_"}, ""),
        ({"search": "up", "status": "up", "gateway": "gw-1"}, "b-up"),
    ],
)
def test_filters_find_exactly_what_matches(crowd, query, identifiers):
    assert found(crowd.viewer, **query) == identifiers.split()


def test_networks_may_be_given_several_times(crowd):
    assert found(crowd.viewer, network=crowd.second.slug) == ["d-down", "e-up"]
    assert len(found(crowd.viewer, network=[crowd.second.slug, crowd.network.slug])) == 5
    assert found(crowd.operator, network=crowd.second.slug) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=asleep", "status"),
        ("label=floor", "label"),
        ("statsu=up", "statsu"),
        ("network=a%00b", "network"),
        ("search=a%00b", "search"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=1e2", "limit"),
        ("limit=", "limit"),
        ("limit=²", "limit"),
        ("cursor=rubbish", "cursor"),
        ("cursor=WzAsbnVsbF0", "cursor"),
        ("cursor=WzAsMSwyXQ", "cursor"),
        ("cursor=WzAsIlx1MDAwMCJd", "cursor"),
    ],
)
def test_a_senseless_parameter_is_named(world, query, field):
    answer = world.viewer.get(f"sensors/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_pages_hold_every_sensor_once_in_both_directions(world):
    for number in range(25):
        services.create_sensor(world.network, identifier=f"s-{number:02}")
    pages, address = [], "sensors/?limit=10"
    while address:
        page = world.viewer.get(address).json()
        pages.append([row["identifier"] for row in page["results"]])
        last, address = page, page["next"]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [identifier for page in pages for identifier in page] == [f"s-{number:02}" for number in range(25)]
    middle = world.viewer.get(last["previous"]).json()
    assert [row["identifier"] for row in middle["results"]] == pages[1]
    first = world.viewer.get(middle["previous"]).json()
    assert [row["identifier"] for row in first["results"]] == pages[0]
    assert first["previous"] is None
    assert [row["identifier"] for row in world.viewer.get(first["next"]).json()["results"]] == pages[1]


def test_a_sensor_that_comes_or_goes_between_pages_moves_no_other(world):
    for number in range(4):
        services.create_sensor(world.network, identifier=f"s-{number}")
    first = world.viewer.get("sensors/?limit=2").json()
    services.create_sensor(world.network, identifier="a-before")
    Sensor.objects.get(identifier="s-1").delete()
    second = world.viewer.get(first["next"]).json()
    assert [row["identifier"] for row in second["results"]] == ["s-2", "s-3"]


def test_a_page_links_keep_the_filters(world):
    for number in range(3):
        services.create_sensor(world.network, identifier=f"s-{number}")
    following = world.viewer.get("sensors/?limit=1&status=new&search=s").json()["next"]
    assert "status=new" in following
    assert "search=s" in following
    assert "limit=1" in following


def test_a_full_page_of_a_thousand_is_one_answer(world):
    Sensor.objects.bulk_create(Sensor(network=world.network, identifier=f"m-{n:04}") for n in range(1001))
    page = world.viewer.get("sensors/?limit=1000").json()
    assert len(page["results"]) == 1000
    assert page["next"] is not None


@pytest.mark.parametrize("path", ["sensors/", "gateways/", "networks/"])
def test_a_list_takes_the_same_number_of_queries_for_1_and_50_rows(world, path, django_assert_num_queries):
    def fill(start, stop):
        for number in range(start, stop):
            gateway = services.create_gateway(world.network, identifier=f"gw-{number}")
            sensor = services.create_sensor(world.network, identifier=f"s-{number}", gateway=gateway)
            create_revision(sensor, values={}, author=world.operator.user, now=timezone.now())
            network = services.create_network(slug=f"n-{number}", owner=world.viewer.user)
            assert network.pk

    # The token with its user, the rows with all that is shown of them; for sensors the watermark.
    queries = 3 if path == "sensors/" else 2
    fill(0, 1)
    with django_assert_num_queries(queries):
        assert len(world.viewer.get(path).json()["results"]) in (1, 2)
    fill(1, 50)
    with django_assert_num_queries(queries):
        assert len(world.viewer.get(path).json()["results"]) in (50, 51)


@pytest.fixture
def ordered(world):
    """Return four sensors, each first in another order."""
    now = timezone.now()
    for identifier, name, ago_s in (("a", "zebra", 3600), ("b", "", None), ("c", "Ant", 1), ("d", "ant", 100)):
        sensor = services.create_sensor(world.network, identifier=identifier, name=name)
        seen_at = None if ago_s is None else now - timedelta(seconds=ago_s)
        SensorState.objects.filter(sensor=sensor).update(last_seen_at=seen_at)
    return world


@pytest.mark.parametrize(
    ("ordering", "identifiers"),
    [
        ("", "abcd"),
        ("identifier", "abcd"),
        ("last_seen_at", "badc"),
        # new, up, late or down; of the same status by identifier.
        ("status", "bcad"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_sensors_come_in_the_order_asked_for_page_by_page(ordered, ordering, identifiers, turned):
    if turned and not ordering:
        pytest.skip("there is nothing to turn")
    wanted = list(reversed(identifiers)) if turned else list(identifiers)
    address, found, addresses = f"sensors/?ordering={'-' * turned}{ordering}&limit=1", [], []
    while address is not None:
        addresses.append(address)
        page = ordered.viewer.get(address).json()
        found += [sensor["identifier"] for sensor in page["results"]]
        address = page["next"]
    assert found == wanted
    previous = ordered.viewer.get(addresses[-1]).json()["previous"]
    assert [sensor["identifier"] for sensor in ordered.viewer.get(previous).json()["results"]] == [wanted[-2]]


def test_sensors_are_ordered_by_name_and_those_of_one_name_by_identifier(ordered):
    services.create_sensor(ordered.network, identifier="e", name="zebra")
    found = [sensor["identifier"] for sensor in ordered.viewer.get("sensors/?ordering=name").json()["results"]]
    assert (found[0], found[-2:]) == ("b", ["a", "e"])


def test_an_unknown_order_is_refused_by_name(world):
    answer = world.viewer.get("sensors/?ordering=secret")
    assert (answer.status_code, list(answer.json())) == (400, ["ordering"])
