"""Sensors over HTTP: making, changing, finding, paging."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from config.services import Answer, create_revision, record_acknowledgements
from fleet.api.sensors import FleetSensorSerializer
from sensors import services
from sensors.models import Role, Sensor, SensorState, SensorTombstone
from tests.api.callers import make_network


def heard(sensor, ago_s, **fields):
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=timezone.now() - timedelta(seconds=ago_s), **fields)


def found(caller, **query):
    answer = caller.get("sensors/?" + urlencode(query, doseq=True))
    assert answer.status_code == 200, answer.content
    return [row["identifier"] for row in answer.json()["results"]]


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


def test_a_sensor_shows_all_fields_that_its_document_declares(world):
    services.create_sensor(world.network, identifier="shown")
    assert list(world.viewer.get("sensors/shown/").json()) == list(FleetSensorSerializer().fields)
