"""The service's own bridges: their absence is an alert, and nobody else's."""

import pytest
from django.db import IntegrityError, transaction

from alerts.models import Alert, Rule, RuleState
from alerts.queries import matching_sensors
from alerts.rendering import alert_json
from alerts.services import delete_rule, resolve_alert, sweep, update_rule
from sensors.activity import record_tick
from sensors.errors import Invalid
from sensors.models import ServiceTick, Watermark
from sensors.services import delete_sensor
from tests.alerts.making import (
    at,
    drained,
    heard,
    history,
    make_bridge_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_user,
    run_at_once,
)

pytestmark = pytest.mark.django_db
MICROSECOND = 0.000_001


def shown(offset_s, *, shard="0/1", connected=True):
    """Let the bridge of `shard` show that it works."""
    record_tick(f"bridge {shard}", now=at(offset_s), detail={"connected": connected})


def detail():
    return Alert.objects.get(resolved_at=None).detail


def test_it_fires_strictly_after_its_period_without_news_from_the_bridge(network):
    assert make_bridge_rule(network).period_s == 60
    drained(0)
    assert sweep(now=at(60)).opened == 0
    assert sweep(now=at(60 + MICROSECOND)).opened == 1
    assert sweep(now=at(61)).opened == 0
    assert history() == [("firing", 60, 60 + MICROSECOND, None, "")]


def test_it_is_about_neither_a_sensor_nor_a_gateway(network, sensor):
    rule = make_bridge_rule(network, period_s=10, severity="critical")
    drained(0)
    sweep(now=at(11))
    alert = Alert.objects.select_related("network").get()
    event = alert_json(alert, is_silenced=False)
    assert (event["rule"], event["sensor"], event["gateway"], event["members"]) == (rule.pk, None, None, [])
    assert (event["network"], event["severity"], str(alert)) == (network.slug, "critical", "Bridge away: bridges")
    assert (matching_sensors(rule).count(), RuleState.objects.count()) == (0, 0)


def test_it_ends_when_the_bridge_is_near_again(network):
    make_bridge_rule(network)
    drained(0)
    sweep(now=at(61))
    drained(100)
    assert sweep(now=at(161)).resolved == 0
    assert sweep(now=at(160)).resolved == 1
    assert history() == [("resolved", 60, 61, 160, "heard")]
    sweep(now=at(161))
    assert history()[1] == ("firing", 160, 161, None, "")


def test_the_bridge_furthest_behind_counts_and_all_that_are_behind_are_named(network):
    make_bridge_rule(network)
    drained(100, shard="0/3")
    drained(30, shard="1/3")
    drained(20, shard="2/3")
    sweep(now=at(81))
    assert history() == [("firing", 80, 81, None, "")]
    assert detail() == "Bridge 2/3 is away."
    sweep(now=at(100))
    assert detail() == "Bridge 1/3 is away. Bridge 2/3 is away."


def test_many_bridges_are_counted_and_not_all_named(network):
    make_bridge_rule(network)
    for index in range(7):
        drained(0, shard=f"{index}/7")
        shown(0, shard=f"{index}/7")
    sweep(now=at(100))
    assert detail().endswith("Bridge 3/7 is away; it was last at work at 2026-03-01 12:00:00 UTC. 3 more are behind.")


def test_a_bridge_that_drains_a_backlog_is_told_from_one_that_is_away(
    network, events, django_capture_on_commit_callbacks
):
    make_bridge_rule(network)
    drained(0)
    shown(5)
    seen = []
    with django_capture_on_commit_callbacks(execute=True):
        for second, connected in ((61, None), (70, False), (71, None), (80, True), (81, True), (82, True)):
            if connected is not None:
                shown(second, connected=connected)
            sweep(now=at(second))
            seen.append(detail())
    away = "Bridge 0/1 is away; it was last at work at 2026-03-01 12:00:05 UTC."
    unconnected = "Bridge 0/1 runs, but is not connected to the broker."
    draining = "Bridge 0/1 runs and works through a backlog."
    assert seen == [away, unconnected, unconnected, draining, draining, draining]
    assert [body["detail"] for *_, body in events] == [away, unconnected, draining]


def test_meanwhile_no_sensor_falls_silent_and_none_recovers(network, sensor):
    make_staleness(network)
    make_bridge_rule(network)
    heard(sensor, 0)
    drained(0)
    sweep(now=at(10_000))
    assert history() == [("firing", 60, 10_000, None, "")]
    assert Alert.objects.get().sensor is None


def test_where_no_bridge_ever_ran_none_is_away(network):
    make_bridge_rule(network)
    assert sweep(now=at(10_000)).opened == 0


def test_a_bridge_that_never_caught_up_is_away_since_the_rule_was_made(network):
    Rule.objects.filter(pk=make_bridge_rule(network).pk).update(created_at=at(0))
    Watermark.objects.create(shard="0/1")
    sweep(now=at(60))
    assert history() == []
    sweep(now=at(61))
    assert history() == [("firing", 60, 61, None, "")]


def test_several_rules_alert_each_on_its_own_and_each_once(network):
    make_bridge_rule(network, period_s=10)
    second = make_bridge_rule(network, period_s=100)
    drained(0)
    for second_s in (11, 12, 101, 102):
        sweep(now=at(second_s))
    assert history() == [("firing", 10, 11, None, ""), ("firing", 100, 101, None, "")]
    twin = Alert.objects.get(rule=second)
    twin.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


@pytest.mark.django_db(transaction=True)
def test_eight_sweeps_at_once_open_one_alert_and_resolve_it_once(events):
    make_bridge_rule(make_network())
    drained(0)
    run_at_once(lambda: sweep(now=at(61)), 8)
    assert history() == [("firing", 60, 61, None, "")]
    drained(61)
    run_at_once(lambda: sweep(now=at(62)), 8)
    assert history() == [("resolved", 60, 61, 62, "heard")]
    assert [body["state"] for *_, body in events] == ["firing", "resolved"]


def test_alerts_of_deleted_sensors_are_told_from_it(network):
    """A deleted sensor leaves alerts without a sensor too, and several of them by one rule."""
    make_staleness(network)
    make_bridge_rule(network)
    drained(100)
    sensors = [make_sensor(network) for _ in range(2)]
    for sensor in sensors:
        heard(sensor, 0)
    sweep(now=at(161))
    assert [row[0] for row in history()] == ["firing"] * 3
    for sensor in sensors:
        delete_sensor(sensor)
    sweep(now=at(162))
    assert sorted(history()) == [
        ("firing", 160, 161, None, ""),
        ("resolved", 90, 100, 162, "sensor_deleted"),
        ("resolved", 90, 100, 162, "sensor_deleted"),
    ]


# --- What people do -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["sensors", "labels"])
def test_it_holds_for_a_whole_network(network, sensor, scope):
    with pytest.raises(Invalid) as caught:
        make_bridge_rule(network, **{scope: [sensor] if scope == "sensors" else {"a": "b"}})
    assert caught.value.field == scope
    rule = make_bridge_rule(network)
    with pytest.raises(Invalid):
        update_rule(rule, labels={"a": "b"}, scope="labels", now=at(0))
    assert update_rule(rule, period_s=None, now=at(0)).period_s == 60


def test_resolved_by_hand_it_opens_again_only_by_a_new_absence(network):
    make_bridge_rule(network)
    drained(0)
    sweep(now=at(61))
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(70))
    for second in (71, 1_000):
        assert sweep(now=at(second)).opened == 0
    drained(1_010)
    sweep(now=at(1_011))
    sweep(now=at(1_071))
    assert history() == [("resolved", 60, 61, 70, "by_hand"), ("firing", 1_070, 1_071, None, "")]


def test_an_edit_ends_it_and_judges_anew(network):
    rule = make_bridge_rule(network)
    drained(0)
    sweep(now=at(61))
    update_rule(rule, period_s=30, now=at(62))
    sweep(now=at(63))
    assert sorted(history()) == [("firing", 30, 63, None, ""), ("resolved", 60, 61, 62, "rule_edited")]


@pytest.mark.parametrize("is_deleted", [True, False])
def test_it_ends_with_its_rule(network, is_deleted):
    rule = make_bridge_rule(network)
    drained(0)
    sweep(now=at(61))
    if is_deleted:
        delete_rule(rule, now=at(62))
    else:
        update_rule(rule, enabled=False, now=at(62))
    assert sweep(now=at(63)).opened == 0
    assert [row[4] for row in history()] == ["rule_deleted" if is_deleted else "rule_disabled"]


@pytest.mark.parametrize("change", ["disabled", "deleted"])
def test_a_rule_changed_around_the_services_is_noticed_by_the_sweep(network, change):
    rule = make_bridge_rule(network)
    drained(0)
    sweep(now=at(61))
    if change == "disabled":
        Rule.objects.filter(pk=rule.pk).update(enabled=False)
    else:
        Rule.objects.filter(pk=rule.pk).delete()
    sweep(now=at(63))
    assert history() == [("resolved", 60, 61, 63, f"rule_{change}")]


def test_ticks_of_other_parts_say_nothing_of_a_bridge(network):
    make_bridge_rule(network)
    drained(0)
    for name in ("worker", "waiting bridge 0/1", "bridge 0/2"):
        record_tick(name, now=at(100), detail={"connected": True})
    sweep(now=at(100))
    assert detail() == "Bridge 0/1 is away."
    assert ServiceTick.objects.count() == 3
