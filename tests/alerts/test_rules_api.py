"""Rules over HTTP, exactly as the public surface promises."""

import pytest

from alerts.models import Rule
from tests.alerts.making import feed, make_sensor, make_staleness, make_threshold
from tests.api.callers import listed

pytestmark = pytest.mark.django_db


def rule_body(world, **changes):
    body = {
        "name": "Hot",
        "kind": "threshold",
        "network": world.network.slug,
        "attribute": "temperature",
        "above": 50,
        "below": 0,
        "hysteresis": 0.5,
        "for_s": 0,
        "keep_firing_s": 0,
        "severity": "warning",
    }
    return {name: value for name, value in (body | changes).items() if value is not ...}


def test_a_rule_made_as_documented_is_shown_whole(world):
    answer = world.operator.post("alert-rules/", rule_body(world))
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert world.viewer.get(f"alert-rules/{body['id']}/").json() == body
    assert listed(world.viewer, "alert-rules/") == [body]
    for name in ("created_at", "updated_at"):
        assert body.pop(name).endswith("Z")
    assert body.pop("id") == Rule.objects.get().pk
    assert body == {
        "name": "Hot",
        "kind": "threshold",
        "enabled": True,
        "severity": "warning",
        "network": world.network.slug,
        "scope": "network",
        "sensors": None,
        "labels": None,
        "attribute": "temperature",
        "above": 50.0,
        "below": 0.0,
        "hysteresis": 0.5,
        "for_s": 0,
        "keep_firing_s": 0,
        "share": None,
        "log_severity": None,
        "count": None,
        "window_s": None,
        "timeout_s": None,
        "period_s": None,
        "grace_s": None,
        "created_by": world.operator.user.username,
    }


def test_a_rule_is_scoped_by_sensors_or_labels(world):
    sensors = world.operator.post(
        "alert-rules/", rule_body(world, network=..., sensors=[world.sensor.identifier])
    ).json()
    labels = world.operator.post("alert-rules/", rule_body(world, network=..., labels={"floor": "2"})).json()
    assert (sensors["scope"], sensors["sensors"], sensors["network"]) == (
        "sensors",
        [world.sensor.identifier],
        world.network.slug,
    )
    assert (labels["scope"], labels["labels"], labels["network"]) == ("labels", {"floor": "2"}, world.network.slug)


def test_silence_rules_need_no_more_than_a_name_a_kind_and_a_scope(world):
    for kind, shown in (("staleness", None), ("gateway_silence", 1.0)):
        answer = world.operator.post("alert-rules/", {"name": "Silent", "kind": kind, "network": world.network.slug})
        assert answer.status_code == 201, answer.content
        assert answer.json()["share"] == shown
    body = {"name": "S", "kind": "staleness", "network": world.network.slug, "period_s": 5, "grace_s": 0}
    assert world.operator.post("alert-rules/", body).json()["period_s"] == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ...}, "name"),
        ({"kind": ...}, "kind"),
        ({"kind": "weather"}, "kind"),
        ({"attribute": ...}, "attribute"),
        ({"above": None, "below": None}, "above"),
        ({"above": "50"}, "above"),
        ({"above": True}, "above"),
        ({"below": 60}, "below"),
        ({"hysteresis": 30}, "hysteresis"),
        ({"for_s": 1.5}, "for_s"),
        ({"for_s": "1"}, "for_s"),
        ({"for_s": -1}, "for_s"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"severity": "fatal"}, "severity"),
        ({"network": "nowhere"}, "network"),
        ({"network": ...}, "network"),
        ({"sensors": []}, "sensors"),
        ({"sensors": ["nobody"]}, "sensors"),
        ({"sensors": "nobody"}, "sensors"),
        ({"labels": {}}, "labels"),
        ({"labels": {"a": []}}, "labels"),
        ({"period_s": 5}, "period_s"),
        ({"colour": "red"}, "colour"),
        ({"id": 5}, "id"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(world, changes, field):
    answer = world.operator.post("alert-rules/", rule_body(world, **changes))
    assert answer.status_code == 400
    assert field in answer.json()
    assert Rule.objects.count() == 0


def test_a_rule_is_changed_and_deleted(world):
    rule = make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)])
    path = f"alert-rules/{rule.pk}/"
    assert world.operator.patch(path, {"above": 60, "kind": "threshold"}).json()["above"] == 60
    assert listed(world.viewer, "alerts/")[0]["resolution"] == "rule_edited"
    assert world.operator.patch(path, {"labels": {"floor": "2"}}).json()["scope"] == "labels"
    assert world.operator.patch(path, {"sensors": [world.sensor.identifier]}).json()["labels"] is None
    assert world.operator.patch(path, {"name": "Warm"}).json()["scope"] == "sensors"
    assert world.operator.patch(path, {"network": world.network.slug}).json()["scope"] == "network"
    assert world.operator.patch(path, {"above": None, "below": 5}).json()["above"] is None
    for body, field in [
        ({"below": None}, "above"),
        ({"kind": "staleness"}, "kind"),
        ({"network": world.elsewhere.slug}, "network"),
        ({"labels": {}}, "labels"),
    ]:
        answer = world.operator.patch(path, body)
        assert (answer.status_code, list(answer.json())) == (400, [field])
    assert world.operator.delete(path).status_code == 204
    assert world.operator.get(path).status_code == 404


def test_a_rule_says_how_many_sensors_it_matches_before_it_is_saved(world):
    make_sensor(world.network)
    for scope, count in [
        ({"network": world.network.slug}, 2),
        ({"labels": {"floor": "2"}}, 1),
        ({"sensors": [world.sensor.identifier]}, 1),
        (rule_body(world, labels={"floor": "9"}), 0),
        ({"network": world.network.slug, "kind": "gateway_silence"}, 0),
        ({"network": world.network.slug, "kind": "bridge_away"}, 0),
    ]:
        answer = world.operator.post("alert-rules/match/", scope)
        assert (answer.status_code, answer.json()["sensors"]) == (200, count), answer.content
    assert world.operator.post("alert-rules/match/", {}).status_code == 400
    assert Rule.objects.count() == 0


def test_access_to_rules(world):
    rule = make_threshold(world.network)
    body = rule_body(world)
    path = f"alert-rules/{rule.pk}/"
    assert [world.nobody.get(path).status_code, world.nobody.post("alert-rules/", body).status_code] == [401, 401]
    assert [
        world.stranger.get(path).status_code,
        world.stranger.patch(path, {"name": "x"}).status_code,
        world.stranger.delete(path).status_code,
        world.stranger.post("alert-rules/", body).status_code,
        world.stranger.post("alert-rules/match/", body).status_code,
    ] == [404, 404, 404, 400, 400]
    assert listed(world.stranger, "alert-rules/") == []
    assert [
        world.viewer.get(path).status_code,
        world.viewer.patch(path, {"name": "x"}).status_code,
        world.viewer.delete(path).status_code,
        world.viewer.post("alert-rules/", body).status_code,
        world.viewer.post("alert-rules/match/", body).status_code,
    ] == [200, 403, 403, 403, 403]
    assert world.staff.patch(path, {"name": "x"}).status_code == 200
    assert Rule.objects.count() == 1


def test_rules_are_filtered(world):
    make_threshold(world.network, attribute="a")
    make_threshold(world.network, attribute="b", enabled=False)
    make_staleness(world.network)
    for query, count in [
        ({"kind": "threshold"}, 2),
        ({"kind": ["threshold", "staleness"]}, 3),
        ({"enabled": "true"}, 2),
        ({"attribute": "b"}, 1),
        ({"network": world.network.slug}, 3),
        ({"network": world.elsewhere.slug}, 0),
    ]:
        assert len(listed(world.viewer, "alert-rules/", **query)) == count
    for query in ("kind=weather", "colour=red", "limit=0"):
        assert world.viewer.get(f"alert-rules/?{query}").status_code == 400
