"""Alerts over HTTP, exactly as the public surface promises."""

from datetime import timedelta

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.models import Alert, Silence
from alerts.services import sweep
from tests.alerts.making import at, feed, heard, make_sensor, make_threshold
from tests.api.callers import listed

pytestmark = pytest.mark.django_db


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
