"""Networks, members and gateways over HTTP."""

import pytest

from sensors import services
from sensors.models import Membership, Network, Role, SensorTombstone
from tests.api.callers import Caller, make_user

pytestmark = pytest.mark.django_db


def test_who_makes_a_network_owns_it():
    caller = Caller(make_user())
    answer = caller.post("networks/", {"slug": "own-hall", "name": "The hall"})
    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "slug": "own-hall",
        "name": "The hall",
        "retention_days": None,
        "rollup_retention_days": None,
        "interval_attribute": "interval_s",
        "interval_factor": 3.0,
        "new_sensors": "ignore",
        "new_after_s": 86_400,
        "role": "owner",
    }
    members = caller.get("networks/own-hall/members/").json()["results"]
    assert [(member["user"], member["role"]) for member in members] == [(caller.user.username, "owner")]


def test_a_networks_name_defaults_to_its_slug():
    assert Caller(make_user()).post("networks/", {"slug": "bare"}).json()["name"] == "bare"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "Upper"}, "slug"),
        ({"slug": "-a"}, "slug"),
        ({"slug": "a" * 51}, "slug"),
        ({"slug": " a"}, "slug"),
        ({"slug": "a\n"}, "slug"),
        ({"slug": ""}, "slug"),
        ({}, "slug"),
        ({"slug": "a", "name": "x" * 201}, "name"),
        ({"slug": "a", "name": "nul\x00"}, "name"),
        ({"slug": "a", "retention_days": 0}, "retention_days"),
        ({"slug": "a", "retention_days": 10**9}, "retention_days"),
        ({"slug": "a", "retention_days": "often"}, "retention_days"),
        ({"slug": "a", "retension_days": 3}, "retension_days"),
        ({"slug": "a", "interval_attribute": 3}, "interval_attribute"),
        ({"slug": "a", "interval_attribute": "x" * 201}, "interval_attribute"),
        ({"slug": "a", "interval_attribute": "nul\x00"}, "interval_attribute"),
        ({"slug": "a", "interval_factor": 0.9}, "interval_factor"),
        ({"slug": "a", "interval_factor": 1_001}, "interval_factor"),
        ({"slug": "a", "interval_factor": "nan"}, "interval_factor"),
        ({"slug": "a", "interval_factor": None}, "interval_factor"),
        ({"slug": "a", "new_sensors": "shout"}, "new_sensors"),
        ({"slug": "a", "new_after_s": 0}, "new_after_s"),
        ({"slug": "a", "new_after_s": 10**9}, "new_after_s"),
        ({"slug": "a", "role": "owner"}, "role"),
    ],
)
def test_what_is_wrong_about_a_network_is_named_and_nothing_is_written(body, field):
    answer = Caller(make_user()).post("networks/", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert Network.objects.count() == 0


def test_a_taken_slug_is_refused_also_if_its_network_is_invisible(world):
    answer = world.stranger.post("networks/", {"slug": world.network.slug})
    assert answer.status_code == 400
    assert "taken" in answer.json()["slug"][0]


def test_a_slug_never_changes_but_may_be_sent_back(world):
    path = f"networks/{world.network.slug}/"
    answer = world.owner.patch(path, {"slug": "another"})
    assert answer.status_code == 400
    assert "never changes" in answer.json()["slug"][0]
    answer = world.owner.patch(path, {"slug": world.network.slug, "name": "New", "retention_days": 30})
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["retention_days"]) == ("New", 30)
    assert world.owner.patch(path, {"retention_days": None}).json()["retention_days"] is None


def test_what_a_network_says_of_silence_is_changed(world):
    path = f"networks/{world.network.slug}/"
    said = {"interval_attribute": "every", "interval_factor": 2.5, "new_sensors": "alert", "new_after_s": 3600}
    answer = world.owner.patch(path, said)
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in said} == said
    assert world.owner.patch(path, {"interval_attribute": ""}).json()["interval_attribute"] == ""


def test_deleting_a_network_leaves_a_tombstone_for_each_sensor(world):
    for number in range(3):
        services.create_sensor(world.network, identifier=f"doomed-{number}")
    assert world.owner.delete(f"networks/{world.network.slug}/").status_code == 204
    identifiers = SensorTombstone.objects.order_by("identifier").values_list("identifier", flat=True)
    assert list(identifiers) == ["doomed-0", "doomed-1", "doomed-2"]


def test_a_member_is_added_once_and_then_changed(world):
    path = f"networks/{world.network.slug}/members/"
    body = {"user": world.stranger.user.username, "role": "viewer"}
    assert world.owner.post(path, body).status_code == 201
    answer = world.owner.post(path, body | {"role": "operator"})
    assert answer.status_code == 200
    assert answer.json()["role"] == "operator"
    assert Membership.objects.filter(network=world.network, user=world.stranger.user).count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": "no-such-user", "role": "viewer"}, "user"),
        ({"user": "nul\x00", "role": "viewer"}, "user"),
        ({"role": "viewer"}, "user"),
        ({"user": "x"}, "role"),
        ({"user": "x", "role": "king"}, "role"),
        ({"user": "x", "role": "viewer", "network": "y"}, "network"),
    ],
)
def test_what_is_wrong_about_a_member_is_named(world, body, field):
    answer = world.owner.post(f"networks/{world.network.slug}/members/", body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_the_last_owner_can_neither_leave_nor_be_demoted(world):
    path = f"networks/{world.network.slug}/members/{world.owner.user.username}/"
    assert world.owner.delete(path).status_code == 409
    assert world.owner.patch(path, {"role": "viewer"}).status_code == 409
    services.set_member(world.network, user=world.operator.user, role=Role.OWNER)
    assert world.owner.patch(path, {"role": "viewer"}).json()["role"] == "viewer"


def test_a_member_who_leaves_sees_the_network_no_more(world):
    assert world.viewer.delete(f"networks/{world.network.slug}/members/{world.viewer.user}/").status_code == 204
    assert world.viewer.get(f"networks/{world.network.slug}/").status_code == 404


def test_a_gateway_is_made_renamed_and_deleted(world):
    body = {"identifier": "gw-1", "network": world.network.slug, "name": "Roof"}
    answer = world.operator.post("gateways/", body)
    assert answer.status_code == 201
    assert {key: answer.json()[key] for key in body} == body
    sensor = services.create_sensor(world.network, identifier="below", gateway=world.network.gateways.get())
    assert world.operator.patch("gateways/gw-1/", {"name": ""}).json()["name"] == ""
    assert world.operator.patch("gateways/gw-1/", {"identifier": "gw-2"}).status_code == 400
    assert world.operator.delete("gateways/gw-1/").status_code == 204
    sensor.refresh_from_db()
    assert sensor.gateway is None


def test_gateways_are_filtered_by_network_and_search(world):
    services.create_gateway(world.network, identifier="gw-roof", name="Top")
    services.create_gateway(world.network, identifier="gw-cellar", name="Bottom")

    def found(query):
        return [row["identifier"] for row in world.viewer.get(f"gateways/?{query}").json()["results"]]

    assert found("") == ["gw-cellar", "gw-roof"]
    assert found("search=top") == ["gw-roof"]
    assert found(f"network={world.network.slug}&search=GW") == ["gw-cellar", "gw-roof"]
    assert found("network=another") == []
