"""Rules as people write them: what is refused, what an edit ends, what is matched."""

import pytest
from django.db import IntegrityError, connection, transaction

from alerts.demo import DEMO_RULES, create_demo_rules
from alerts.models import Alert, Rule, RuleState
from alerts.queries import MATCHES, matching_sensors
from alerts.services import create_rule, delete_rule, find_scope, sweep, update_rule
from sensors.errors import Forbidden, Invalid, NotFound
from sensors.models import Membership
from sensors.services import set_member
from tests.alerts.making import (
    at,
    feed,
    heard,
    history,
    make_bridge_rule,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_threshold,
    make_user,
)

pytestmark = pytest.mark.django_db

LOG = {"kind": "log_severity", "attribute": None, "above": None}
CONFIGURATION = {"kind": "configuration_failure", "attribute": None, "above": None}
THRESHOLD = {"kind": "threshold", "name": "Hot", "attribute": "temperature", "above": 50}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"kind": "weather"}, "kind"),
        ({"severity": "fatal"}, "severity"),
        ({"attribute": ""}, "attribute"),
        ({"attribute": "x" * 201}, "attribute"),
        ({"above": None}, "above"),
        ({"above": float("nan")}, "above"),
        ({"above": float("inf")}, "above"),
        ({"above": "50"}, "above"),
        ({"above": True}, "above"),
        ({"below": 51}, "below"),
        ({"below": float("-inf")}, "below"),
        ({"hysteresis": -1}, "hysteresis"),
        ({"below": 40, "hysteresis": 5.1}, "hysteresis"),
        ({"for_s": -1}, "for_s"),
        ({"for_s": 1.5}, "for_s"),
        ({"for_s": 10**9}, "for_s"),
        ({"keep_firing_s": -1}, "keep_firing_s"),
        ({"period_s": 10}, "period_s"),
        ({"share": 0.5}, "share"),
        ({"labels": {}}, "labels"),
        ({"labels": {"a": {}}}, "labels"),
        ({"labels": ["a"]}, "labels"),
        ({"sensors": []}, "sensors"),
        ({"wind": 1}, "wind"),
        ({"kind": "staleness"}, "attribute"),
        ({"kind": "staleness", "attribute": None}, "above"),
        ({"kind": "staleness", "attribute": None, "above": None, "period_s": 0}, "period_s"),
        ({"kind": "staleness", "attribute": None, "above": None, "grace_s": -1}, "grace_s"),
        ({"kind": "gateway_silence", "attribute": None, "above": None, "share": 0}, "share"),
        ({"kind": "gateway_silence", "attribute": None, "above": None, "share": 1.01}, "share"),
        ({"kind": "gateway_silence", "attribute": None, "above": None, "share": float("nan")}, "share"),
        ({"kind": "gateway_silence", "attribute": None, "above": None, "window_s": 0}, "window_s"),
        ({"kind": "staleness", "attribute": None, "above": None, "window_s": 60}, "window_s"),
        ({"kind": "bridge_away", "attribute": None, "above": None, "period_s": 0}, "period_s"),
        ({"kind": "bridge_away", "attribute": None, "above": None, "grace_s": 1}, "grace_s"),
        ({"kind": "bridge_away", "attribute": None, "above": None, "labels": {"a": "b"}}, "labels"),
        ({"count": 2}, "count"),
        ({"log_severity": "info"}, "log_severity"),
        ({"timeout_s": 10}, "timeout_s"),
        ({"kind": "log_severity"}, "attribute"),
        (LOG | {"count": 0}, "count"),
        (LOG | {"count": 1_001}, "count"),
        (LOG | {"count": 1.5}, "count"),
        (LOG | {"count": True}, "count"),
        (LOG | {"window_s": 0}, "window_s"),
        (LOG | {"window_s": 10**9}, "window_s"),
        (LOG | {"window_s": "60"}, "window_s"),
        (LOG | {"log_severity": "fatal"}, "log_severity"),
        (LOG | {"timeout_s": 10}, "timeout_s"),
        (CONFIGURATION | {"timeout_s": 0}, "timeout_s"),
        (CONFIGURATION | {"timeout_s": 1.5}, "timeout_s"),
        (CONFIGURATION | {"window_s": 10}, "window_s"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(network, changes, field):
    with pytest.raises(Invalid) as caught:
        create_rule(network, author=None, **(THRESHOLD | changes))
    assert caught.value.field == field
    assert Rule.objects.count() == 0


def test_a_threshold_at_the_edge_of_sense_is_accepted(network):
    rule = create_rule(network, author=None, **THRESHOLD, below=40, hysteresis=5)
    assert (rule.severity, rule.enabled, rule.scope, rule.for_s) == ("warning", True, "network", 0)


def test_what_is_not_given_has_a_default(network):
    rule = create_rule(network, author=None, name="Errors", **LOG, count=None, window_s=None)
    assert (rule.log_severity, rule.count, rule.window_s, rule.timeout_s) == ("error", 1, 300, 300)


@pytest.mark.parametrize(
    "columns",
    [
        "above = 'NaN'",
        "above = 'Infinity'",
        "labels = '[]'",
        "hysteresis = -1",
        "count = 0",
        "window_s = 0",
        "timeout_s = 0",
        "log_severity = 'fatal'",
    ],
)
def test_the_database_refuses_what_no_service_lets_through(network, columns):
    make_threshold(network)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE alerts_rule SET {columns}")


def test_sensors_of_another_network_are_refused(network, sensor):
    stranger = make_sensor(make_network())
    with pytest.raises(Invalid, match="in another network") as caught:
        make_threshold(network, sensors=[sensor, stranger])
    assert caught.value.field == "sensors"


def test_a_sensor_that_was_deleted_meanwhile_is_refused(network, sensor):
    gone = make_sensor(network)
    type(gone).objects.filter(pk=gone.pk).delete()
    with pytest.raises(Invalid, match="deleted"):
        make_threshold(network, sensors=[sensor, gone])


# --- Edits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"above": 49.0},
        {"severity": "info"},
        {"for_s": 5},
        {"labels": {"a": "b"}, "scope": "labels"},
        {"attribute": "x"},
    ],
)
def test_an_edit_resolves_what_was_open_and_starts_anew(network, sensor, changes):
    rule = make_threshold(network)
    feed(sensor, [(1, 51.0)])
    update_rule(rule, now=at(10), **changes)
    assert history() == [("resolved", 1, 1, 10, "rule_edited")]
    assert RuleState.objects.count() == 0


def test_a_silence_rule_watches_on_after_an_edit(network, sensor):
    rule = make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(1))
    update_rule(rule, severity="critical", now=at(2))
    sweep(now=at(91))
    assert history() == [("firing", 90, 91, None, "")]
    assert Alert.objects.get().severity == "critical"


def test_a_pending_alert_leaves_no_row_when_its_rule_is_edited(network, sensor):
    rule = make_threshold(network, for_s=60)
    feed(sensor, [(1, 51.0)])
    update_rule(rule, above=49.0, now=at(10))
    assert history() == []


def test_a_new_name_ends_nothing_and_shows_on_open_alerts(network, sensor):
    rule = make_threshold(network)
    feed(sensor, [(1, 51.0), (2, 1.0), (3, 51.0)])
    update_rule(rule, name="Warm", now=at(10))
    assert history() == [("resolved", 1, 1, 2, "cleared"), ("firing", 3, 3, None, "")]
    assert list(Alert.objects.order_by("pk").values_list("rule_name", flat=True)) == ["Hot", "Warm"]


def test_an_edit_that_changes_nothing_ends_nothing(network, sensor):
    rule = make_threshold(network, sensors=[sensor])
    feed(sensor, [(1, 51.0)])
    update_rule(rule, above=50.0, name="Hot", sensors=[sensor], now=at(10))
    assert history() == [("firing", 1, 1, None, "")]


def test_a_disabled_rule_resolves_its_alerts_and_stays_quiet_until_it_is_enabled(network, sensor):
    rule = make_threshold(network)
    feed(sensor, [(1, 51.0)])
    update_rule(rule, enabled=False, now=at(10))
    feed(sensor, [(11, 52.0)])
    assert history() == [("resolved", 1, 1, 10, "rule_disabled")]
    update_rule(rule, enabled=True, now=at(20))
    feed(sensor, [(21, 52.0)])
    assert history()[1] == ("firing", 21, 21, None, "")


def test_a_deleted_rule_resolves_its_alerts_which_keep_what_it_was(network, sensor):
    rule = make_threshold(network)
    feed(sensor, [(1, 51.0)])
    delete_rule(rule, now=at(10))
    assert history() == [("resolved", 1, 1, 10, "rule_deleted")]
    alert = Alert.objects.get()
    assert (alert.rule, alert.rule_name, alert.rule_snapshot["above"]) == (None, "Hot", 50.0)
    with pytest.raises(NotFound):
        delete_rule(rule, now=at(11))


def test_an_alert_never_ends_before_it_fired(network, sensor):
    rule = make_threshold(network)
    feed(sensor, [(100, 51.0)])
    delete_rule(rule, now=at(10))
    assert history() == [("resolved", 100, 100, 100, "rule_deleted")]


@pytest.mark.parametrize("field", ["kind", "network", "created_by"])
def test_kind_and_network_never_change(network, field):
    with pytest.raises(Invalid) as caught:
        update_rule(make_threshold(network), now=at(0), **{field: "staleness"})
    assert caught.value.field == field


@pytest.mark.parametrize("change", [{"severity": "info"}, {"grace_s": 10}, {"labels": None, "scope": "network"}])
def test_an_edit_of_a_silence_rule_goes_on_watching(network, change):
    sensor = make_sensor(network, labels={"floor": "1"})
    rule = make_staleness(network, period_s=60, grace_s=30, labels={"floor": "1"})
    heard(sensor, 0)
    sweep(now=at(1))
    update_rule(rule, now=at(2), **change)
    sweep(now=at(3))
    sweep(now=at(91))
    assert [row[0] for row in history()] == ["firing"]


def test_a_refused_edit_changes_nothing(network, sensor):
    rule = make_threshold(network, below=0.0)
    feed(sensor, [(1, 51.0)])
    with pytest.raises(Invalid):
        update_rule(rule, above=-1.0, now=at(10))
    assert history() == [("firing", 1, 1, None, "")]
    rule.refresh_from_db()
    assert rule.above == 50.0


def test_a_rule_disabled_around_the_services_is_noticed_by_the_sweep(network, sensor):
    staleness, threshold = make_staleness(network), make_threshold(network)
    heard(sensor, 0)
    feed(sensor, [(1, 51.0)])
    sweep(now=at(100))
    Rule.objects.filter(pk__in=[staleness.pk, threshold.pk]).update(enabled=False)
    assert sweep(now=at(110)).resolved == 2
    assert [row[4] for row in history()] == ["rule_disabled", "rule_disabled"]


def test_a_rule_deleted_around_the_services_is_noticed_by_the_sweep(network, sensor):
    rule = make_threshold(network)
    feed(sensor, [(1, 51.0)])
    rule.delete()
    sweep(now=at(110))
    assert history() == [("resolved", 1, 1, 110, "rule_deleted")]


def test_changes_of_the_list_are_followed_by_the_sweep(network, sensor):
    other = make_sensor(network)
    rule = make_staleness(network, sensors=[sensor])
    sweep(now=at(0))
    update_rule(rule, sensors=[other], now=at(1))
    sweep(now=at(1))
    assert list(RuleState.objects.values_list("sensor", flat=True)) == [other.pk]
    rule.sensors.set([sensor, other])
    sweep(now=at(2))
    assert RuleState.objects.count() == 2


# --- Scopes ----------------------------------------------------------------------------------------------


def test_both_ways_of_matching_agree(network):
    gateway = make_gateway(network)
    sensors = [
        make_sensor(network, labels={"floor": "2"}),
        make_sensor(network, labels={"floor": "2", "n": 1}, gateway=gateway),
        make_sensor(network, labels={"floor": 2}),
        make_sensor(network, gateway=gateway),
        make_sensor(make_network(), labels={"floor": "2"}),
    ]
    rules = [
        make_threshold(network),
        make_threshold(network, labels={"floor": "2"}),
        make_threshold(network, labels={"floor": "2", "n": 1.0}),
        make_threshold(network, sensors=sensors[1:3]),
        make_gateway_rule(network),
        make_gateway_rule(network, labels={"floor": "2"}),
        make_bridge_rule(network),
    ]
    counts = []
    for rule in rules:
        by_orm = set(matching_sensors(rule).values_list("pk", flat=True))
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT sensor.id FROM alerts_rule AS rule, sensors_sensor AS sensor WHERE rule.id = %s AND {MATCHES}",
                [rule.pk],
            )
            assert {row[0] for row in cursor.fetchall()} == by_orm
        counts.append(len(by_orm))
    assert counts == [4, 2, 1, 2, 2, 1, 0]


def test_a_scope_is_found_within_what_the_caller_operates(network, sensor):
    user = make_user()
    set_member(network, user=user, role="operator")
    stranger = make_sensor(make_network())
    assert find_scope(user, network=network.slug).network == network
    assert find_scope(user, sensors=[sensor.identifier]).sensors == [sensor]
    # The only network that they operate.
    assert find_scope(user, labels={"a": "b"}).network == network
    for arguments, field in [
        ({}, "network"),
        ({"network": "nowhere"}, "network"),
        ({"sensors": []}, "sensors"),
        ({"sensors": [stranger.identifier]}, "sensors"),
        ({"sensors": [sensor.identifier], "labels": {"a": "b"}}, "labels"),
        ({"labels": {}}, "labels"),
    ]:
        with pytest.raises(Invalid) as caught:
            find_scope(user, **arguments)
        assert caught.value.field == field


def test_with_several_networks_labels_need_one_and_sensors_must_share_one(network, sensor):
    user, second = make_user(), make_network()
    for place in (network, second):
        set_member(place, user=user, role="operator")
    with pytest.raises(Invalid) as caught:
        find_scope(user, labels={"a": "b"})
    assert caught.value.field == "network"
    assert find_scope(user, network=second.slug, labels={"a": "b"}).network == second
    other = make_sensor(second)
    for arguments in ({}, {"network": network.slug}, {"network": second.slug}):
        with pytest.raises(Invalid) as caught:
            find_scope(user, sensors=[sensor.identifier, other.identifier], **arguments)
        assert caught.value.field == "sensors"


def test_who_only_reads_makes_no_rules(network, sensor):
    user = make_user()
    set_member(network, user=user, role="viewer")
    for arguments in ({"network": network.slug}, {"sensors": [sensor.identifier]}):
        with pytest.raises(Forbidden):
            find_scope(user, **arguments)
    with pytest.raises(Invalid):
        find_scope(user, labels={"a": "b"})
    assert Membership.objects.count() == 1


def test_the_demo_rules_are_made_once_and_never_come_back(network):
    made = create_demo_rules(network)
    assert len(made) == len(DEMO_RULES) == 7
    limits = {rule.attribute: (rule.below, rule.above) for rule in made if rule.kind == "threshold"}
    assert limits == {
        "temperature": (0, 50),
        "humidity": (10, 90),
        "voltage": (200, 240),
        "current": (0, 10),
        "pressure": (900, 1100),
    }
    delete_rule(made[0], now=at(0))
    assert create_demo_rules(network) == []
    assert Rule.objects.count() == 6
