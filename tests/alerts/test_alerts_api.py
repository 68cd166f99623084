"""Rules, alerts and silences over HTTP, exactly as the public surface promises."""

from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlencode

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.models import Alert, Rule, Silence
from alerts.services import sweep
from sensors.models import Role
from tests.alerts.making import at, feed, heard, make_sensor, make_staleness, make_threshold
from tests.api.callers import Caller, make_network, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db):
    """Return a network with callers by role, one sensor, and a stranger with a network of their own."""
    network, users = make_network("plant", viewer=Role.VIEWER, operator=Role.OPERATOR)
    elsewhere, others = make_network("yard", stranger=Role.OWNER)
    return SimpleNamespace(
        network=network,
        sensor=make_sensor(network, labels={"floor": "2"}),
        elsewhere=elsewhere,
        viewer=Caller(users["viewer"]),
        operator=Caller(users["operator"]),
        stranger=Caller(others["stranger"]),
        staff=Caller(make_user("staff", is_staff=True)),
        nobody=Caller(),
    )


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


def listed(caller, path, **query):
    answer = caller.get(f"{path}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


# --- Rules -------------------------------------------------------------------------------------------


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


# --- Alerts ------------------------------------------------------------------------------------------


def test_an_alert_shows_exactly_what_was_promised_and_the_live_event_is_the_same(
    world, events, django_capture_on_commit_callbacks
):
    rule = make_threshold(world.network, severity="critical")
    with django_capture_on_commit_callbacks(execute=True):
        feed(world.sensor, [(1.5, 51.0)])
    (shown,) = listed(world.viewer, "alerts/")
    assert world.viewer.get(f"alerts/{shown['id']}/").json() == shown
    ((network, sensor, kind, event),) = events
    assert (network, sensor, kind) == (world.network.slug, world.sensor.identifier, "alert")
    assert msgspec.json.decode(msgspec.json.encode(event)) == shown
    snapshot = shown.pop("rule_snapshot")
    assert (snapshot["above"], snapshot["kind"], snapshot["scope"]) == (50.0, "threshold", "network")
    assert shown == {
        "id": Alert.objects.get().pk,
        "rule": rule.pk,
        "rule_name": "Hot",
        "network": world.network.slug,
        "sensor": world.sensor.identifier,
        "gateway": None,
        "members": [],
        "detail": "",
        "state": "firing",
        "severity": "critical",
        "value": 51.0,
        "started_at": "2026-03-01T12:00:01.500000Z",
        "fired_at": "2026-03-01T12:00:01.500000Z",
        "resolved_at": None,
        "resolution": "",
        "resolved_by": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "acknowledgement": "",
        "backfilled": False,
        "flapping": False,
        "silenced": False,
    }


def test_alerts_are_filtered_and_newest_first(world):
    other = make_sensor(world.network)
    hot = make_threshold(world.network)
    make_threshold(world.network, name="Slow", for_s=60, severity="info")
    feed(world.sensor, [(1, 51.0), (2, 1.0), (3, 51.0)])
    feed(other, [(4, 51.0)])
    everything = listed(world.viewer, "alerts/")
    assert [row["started_at"] for row in everything] == sorted((row["started_at"] for row in everything), reverse=True)
    for query, count in [
        ({}, 5),
        ({"state": "firing"}, 2),
        ({"state": "pending"}, 2),
        ({"state": "resolved"}, 1),
        ({"state": ["pending", "firing"]}, 4),
        ({"severity": "info"}, 2),
        ({"sensor": other.identifier}, 2),
        ({"sensor": [other.identifier, world.sensor.identifier]}, 5),
        ({"rule": hot.pk}, 3),
        ({"gateway": "g"}, 0),
        ({"flapping": "false"}, 5),
        ({"flapping": "true"}, 0),
        ({"network": world.network.slug}, 5),
        ({"network": world.elsewhere.slug}, 0),
        ({"start": at(3).isoformat()}, 4),
        ({"end": at(3).isoformat()}, 1),
    ]:
        assert len(listed(world.viewer, "alerts/", **query)) == count, query
    for query in ("state=burning", "severity=fatal", "colour=red", "rule=x", "start=yesterday", "limit=1001"):
        assert world.viewer.get(f"alerts/?{query}").status_code == 400, query


def test_every_page_of_alerts_is_reached_once(world):
    make_threshold(world.network)
    feed(world.sensor, [(second, 51.0 if second % 2 else 1.0) for second in range(1, 20)])
    seen, path = [], "alerts/?limit=3"
    while path:
        page = world.viewer.get(path).json()
        seen += [row["id"] for row in page["results"]]
        path = page["next"]
    assert seen == list(Alert.objects.order_by("-started_at").values_list("pk", flat=True))
    assert len(seen) == 10


@pytest.mark.parametrize("path", ["alerts/", "alert-rules/", "silences/"])
def test_a_list_costs_the_same_queries_for_1_and_50_rows(world, path):
    def grow(count):
        for number in range(count):
            sensor = make_sensor(world.network)
            make_threshold(world.network, sensors=[sensor])
            feed(sensor, [(number, 51.0)])
            Silence.objects.create(
                network=world.network,
                matchers={"label": f"a:{number}"},
                starts_at=timezone.now(),
                ends_at=timezone.now() + timedelta(hours=1),
            )

    def cost():
        with CaptureQueriesContext(connection) as captured:
            listed(world.viewer, path)
        return len(captured)

    grow(1)
    few = cost()
    grow(49)
    assert len(listed(world.viewer, path)) == 50
    assert cost() == few


def test_an_alert_is_acknowledged_and_resolved_by_operators(world, events, django_capture_on_commit_callbacks):
    make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)])
    path = f"alerts/{Alert.objects.get().pk}/"
    for caller, status in [(world.nobody, 401), (world.stranger, 404), (world.viewer, 403)]:
        for verb in ("acknowledge", "resolve"):
            assert caller.post(f"{path}{verb}/", {}).status_code == status
    assert world.operator.post(f"{path}acknowledge/", {"comment": 5}).status_code == 400
    assert world.operator.post(f"{path}acknowledge/", {"remark": "x"}).json().keys() == {"remark"}
    with django_capture_on_commit_callbacks(execute=True):
        shown = world.operator.post(f"{path}acknowledge/", {"comment": "On it"}).json()
    name = world.operator.user.username
    assert (shown["acknowledged_by"], shown["acknowledgement"], shown["state"]) == (name, "On it", "firing")
    assert shown["acknowledged_at"].endswith("Z")
    assert world.operator.post(f"{path}acknowledge/").status_code == 200
    assert world.staff.post(f"{path}acknowledge/").status_code == 409
    with django_capture_on_commit_callbacks(execute=True):
        shown = world.operator.post(f"{path}resolve/").json()
    assert (shown["state"], shown["resolution"], shown["resolved_by"]) == ("resolved", "by_hand", name)
    assert world.operator.post(f"{path}resolve/").status_code == 409
    assert world.operator.post(f"{path}acknowledge/").status_code == 409
    assert [(kind, body["state"]) for _, _, kind, body in events] == [("alert", "firing"), ("alert", "resolved")]
    assert world.operator.delete(path).status_code == 405


@pytest.mark.parametrize("number", ["0", "999999", "9" * 18, "9" * 30, "x"])
def test_what_is_no_alert_is_404(world, number):
    assert world.viewer.get(f"alerts/{number}/").status_code == 404
    assert world.operator.post(f"alerts/{number}/resolve/").status_code == 404


def test_a_gateways_alert_names_it_and_its_members(world):
    from tests.alerts.making import make_gateway, make_gateway_rule  # noqa: PLC0415

    gateway = make_gateway(world.network)
    member = make_sensor(world.network, gateway=gateway)
    make_gateway_rule(world.network)
    heard(member, 0)
    sweep(now=at(91))
    (shown,) = listed(world.viewer, "alerts/", gateway=gateway.identifier)
    assert (shown["sensor"], shown["gateway"], shown["members"]) == (None, gateway.identifier, [member.identifier])


# --- Silences -----------------------------------------------------------------------------------------


def test_a_silence_shows_on_the_alerts_that_it_matches(world):
    make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)])
    ends_at = (timezone.now() + timedelta(hours=1)).isoformat()
    body = {"matchers": {"sensor": world.sensor.identifier}, "ends_at": ends_at, "comment": "Maintenance"}
    answer = world.operator.post("silences/", body)
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert (shown["network"], shown["matchers"], shown["comment"]) == (
        world.network.slug,
        body["matchers"],
        "Maintenance",
    )
    assert shown["created_by"] == world.operator.user.username
    path = f"silences/{shown['id']}/"
    assert world.viewer.get(path).json() == shown
    assert listed(world.viewer, "silences/", active="true") == [shown]
    assert listed(world.viewer, "alerts/")[0]["silenced"] is True
    ended = world.operator.patch(path, {"ends_at": timezone.now().isoformat()})
    assert ended.status_code == 200, ended.content
    assert listed(world.viewer, "silences/", active="true") == []
    assert listed(world.viewer, "silences/", active="false") == [ended.json()]
    assert listed(world.viewer, "alerts/")[0]["silenced"] is False
    assert world.operator.delete(path).status_code == 204
    assert listed(world.viewer, "silences/") == []


def test_access_to_silences(world):
    ends_at = (timezone.now() + timedelta(hours=1)).isoformat()
    body = {"matchers": {"network": world.network.slug}, "ends_at": ends_at}
    assert world.nobody.post("silences/", body).status_code == 401
    assert world.stranger.post("silences/", body).json().keys() == {"matchers"}
    assert world.viewer.post("silences/", body).status_code == 403
    made = world.operator.post("silences/", body).json()
    path = f"silences/{made['id']}/"
    assert [world.stranger.get(path).status_code, world.stranger.delete(path).status_code] == [404, 404]
    assert [world.viewer.get(path).status_code, world.viewer.delete(path).status_code] == [200, 403]
    for change, field in [({"matchers": {"severity": "info"}}, "matchers"), ({"ends_at": "soon"}, "ends_at")]:
        assert world.operator.patch(path, change).json().keys() == {field}
    assert Silence.objects.count() == 1
