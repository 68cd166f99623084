"""A gateway's death is one incident."""

import pytest

from alerts.models import Alert
from alerts.services import resolve_alert, sweep, update_rule
from sensors.services import delete_gateway, delete_sensor, update_sensor
from tests.alerts.making import (
    at,
    drained,
    heard,
    make_gateway,
    make_gateway_rule,
    make_sensor,
    make_staleness,
    make_user,
    offset,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gateway(network):
    return make_gateway(network)


@pytest.fixture
def members(network, gateway):
    """Return three sensors behind the gateway, heard at second 0."""
    sensors = [make_sensor(network, f"m{number}", gateway=gateway) for number in range(3)]
    for sensor in sensors:
        heard(sensor, 0)
    return sensors


def incidents():
    """Return the alerts as (gateway or sensor, state, fired, resolution, members)."""
    return [
        (
            alert.gateway_identifier or alert.sensor_identifier,
            alert.state,
            offset(alert.fired_at),
            alert.resolution,
            alert.members,
        )
        for alert in Alert.objects.order_by("pk")
    ]


def names(sensors):
    return sorted(sensor.identifier for sensor in sensors)


def test_when_all_sensors_of_a_gateway_are_silent_there_is_one_alert_that_lists_them(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network, severity="critical")
    make_sensor(network, gateway=gateway)  # never heard, so it does not count
    assert sweep(now=at(91)).opened == 1
    assert incidents() == [(gateway.identifier, "firing", 91, "", names(members))]
    alert = Alert.objects.get()
    assert (alert.gateway, alert.sensor, alert.severity, offset(alert.started_at)) == (gateway, None, "critical", 90)
    assert sweep(now=at(1_000)).opened == 0


def test_sensors_of_their_own_alert_beside_it(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    alone = make_sensor(network)
    heard(alone, 0)
    assert sweep(now=at(91)).opened == 2
    assert {row[0] for row in incidents()} == {gateway.identifier, alone.identifier}


def test_below_the_share_each_sensor_alerts_for_itself(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    heard(members[0], 50)
    assert sweep(now=at(91)).opened == 2
    assert {row[0] for row in incidents()} == {members[1].identifier, members[2].identifier}


@pytest.mark.parametrize(
    ("share", "silent", "is_alert"), [(0.5, 5, True), (0.5, 4, False), (0.3, 3, True), (0.01, 1, True)]
)
def test_a_share_is_reached_by_so_many_of_those_ever_heard(network, gateway, share, silent, is_alert):
    make_gateway_rule(network, share=share)
    for number in range(10):
        heard(make_sensor(network, gateway=gateway), 0 if number < silent else 80)
    sweep(now=at(91))
    assert len(incidents()) == int(is_alert)


def test_who_falls_silent_later_is_listed_and_held_back_too(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network, share=0.5)
    heard(members[2], 50)
    sweep(now=at(91))
    assert incidents() == [(gateway.identifier, "firing", 91, "", names(members[:2]))]
    sweep(now=at(141))
    assert incidents() == [(gateway.identifier, "firing", 91, "", names(members))]


def test_on_recovery_those_still_silent_alert_at_once(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    sweep(now=at(91))
    heard(members[0], 200)
    sweep(now=at(201))
    assert incidents() == [
        (gateway.identifier, "resolved", 91, "heard", names(members)),
        (members[1].identifier, "firing", 201, "", []),
        (members[2].identifier, "firing", 201, "", []),
    ]
    assert offset(Alert.objects.get(gateway=gateway).resolved_at) == 200
    assert [offset(alert.started_at) for alert in Alert.objects.filter(gateway=None)] == [90, 90]


def test_when_all_are_heard_again_nobody_alerts(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    sweep(now=at(91))
    for sensor in members:
        heard(sensor, 200)
    sweep(now=at(201))
    assert incidents() == [(gateway.identifier, "resolved", 91, "heard", names(members))]
    sweep(now=at(291))
    assert [row[:2] for row in incidents()] == [(gateway.identifier, "resolved"), (gateway.identifier, "firing")]


def test_no_data_never_resolves_a_gateway(network, gateway, members):
    make_gateway_rule(network)
    sweep(now=at(91))
    drained(91)
    sweep(now=at(10_000))
    drained(20_000, steady_s=20_000)
    sweep(now=at(20_000))
    assert incidents() == [(gateway.identifier, "firing", 91, "", names(members))]


def test_alerts_that_were_open_before_stay(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    heard(members[2], 50)
    sweep(now=at(91))
    sweep(now=at(141))
    states = [(row[0], row[1]) for row in incidents()]
    assert states == [
        (members[0].identifier, "firing"),
        (members[1].identifier, "firing"),
        (gateway.identifier, "firing"),
    ]


def test_the_rules_own_times_count_for_the_gateway(network, gateway, members):
    make_gateway_rule(network, period_s=10, grace_s=0)
    sweep(now=at(10))
    assert incidents() == []
    sweep(now=at(11))
    assert len(incidents()) == 1


def test_resolved_by_hand_it_dismisses_its_members_until_they_are_heard(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    sweep(now=at(91))
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(95))
    assert sweep(now=at(1_000)).opened == 0
    for sensor in members:
        heard(sensor, 1_010)
    sweep(now=at(1_011))
    sweep(now=at(1_101))
    assert [(row[0], row[1], row[3]) for row in incidents()] == [
        (gateway.identifier, "resolved", "by_hand"),
        (gateway.identifier, "firing", ""),
    ]


def test_an_edited_rule_ends_its_alert_and_judges_anew(network, gateway, members):
    make_staleness(network)
    rule = make_gateway_rule(network)
    sweep(now=at(91))
    update_rule(rule, enabled=False, now=at(95))
    sweep(now=at(96))
    assert [(row[0], row[3]) for row in incidents()] == [
        (gateway.identifier, "rule_disabled"),
        *((sensor.identifier, "") for sensor in members),
    ]


def test_when_the_last_quiet_voice_leaves_the_gateway_the_rest_counts(network, gateway, members):
    make_gateway_rule(network)
    heard(members[2], 80)
    sweep(now=at(91))
    assert incidents() == []
    delete_sensor(members[2])
    sweep(now=at(92))
    assert incidents() == [(gateway.identifier, "firing", 92, "", names(members[:2]))]


def test_a_gateway_without_sensors_has_no_alert(network, gateway, members):
    make_gateway_rule(network)
    sweep(now=at(91))
    for sensor in members:
        update_sensor(sensor, gateway=None, now=at(92))
    sweep(now=at(92))
    assert incidents() == [(gateway.identifier, "resolved", 91, "out_of_scope", names(members))]


def test_the_alert_of_a_deleted_gateway_is_resolved_and_its_sensors_alert(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    sweep(now=at(91))
    delete_gateway(gateway)
    sweep(now=at(92))
    assert [(row[0], row[1], row[3]) for row in incidents()] == [
        (gateway.identifier, "resolved", "gateway_deleted"),
        *((sensor.identifier, "firing", "") for sensor in members),
    ]


def test_while_the_bridge_is_away_no_gateway_dies(network, gateway, members):
    make_staleness(network)
    make_gateway_rule(network)
    drained(80)
    assert sweep(now=at(10_000)).opened == 0
    drained(10_000, steady_s=10_000)
    assert sweep(now=at(10_000)).opened == 0
