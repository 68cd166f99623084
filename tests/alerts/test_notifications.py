"""Which transitions targets are told of, together in which messages, and what they are not told."""

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, Notification
from alerts.services import acknowledge_alert, delete_rule, resolve_alert, sweep, update_rule
from tests.alerts.making import (
    COOL,
    HOT,
    at,
    clear,
    deliver,
    evaluate,
    feed,
    fire,
    heard,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_target,
    make_threshold,
    told,
)

pytestmark = pytest.mark.django_db


# --- What is a transition ------------------------------------------------------------------------------


def test_what_fires_and_what_ends_is_told_once(sensor, rule, target, receiver, settings):
    settings.PUBLIC_URL = "https://fleet.example.org"
    fire(sensor, 1)
    assert deliver(10).messages == 0
    assert deliver(11).sent == 1
    clear(sensor, 100)
    deliver(110)
    for second in (111, 200, 100_000):
        deliver(second)
    number = Alert.objects.get().pk
    slug = sensor.network.name
    assert receiver.titles() == [f"{slug}: 1 firing", f"{slug}: 1 resolved"]
    first, last = receiver.messages
    link = f"\nhttps://fleet.example.org/alerts/{number}/"
    assert first["message"] == (
        f"FIRING (critical): Hot, {sensor.identifier}, value 51, since 2026-03-01 12:00:01 UTC{link}"
    )
    assert last["message"] == (
        f"RESOLVED (critical): Hot, {sensor.identifier}, value 51,"
        f" from 2026-03-01 12:00:01 to 2026-03-01 12:01:40 UTC, cleared{link}"
    )
    assert (first["type"], last["type"]) == ("failure", "success")
    assert told() == [("firing", "sent", 1), ("resolved", "sent", 1)]


def test_a_pending_alert_notifies_nobody(network, sensor, target, operator):
    make_threshold(network, for_s=60)
    fire(sensor, 0)
    clear(sensor, 10)
    fire(sensor, 20)
    resolve_alert(Alert.objects.get(), user=operator, now=at(21))
    assert told() == []
    fire(sensor, 30)
    fire(sensor, 90)
    assert told() == [("firing", "waiting", 0)]


def test_a_past_episode_that_has_ended_notifies_nobody_and_one_that_still_burns_once(network, sensor, rule, target):
    feed(sensor, [(1, HOT), (2, COOL), (3, HOT), (4, COOL), (5, HOT)], now_s=5_000, late_s=4_000)
    assert Alert.objects.filter(backfilled=True).count() == 3
    assert told() == [("firing", "waiting", 0)]


def test_names_values_members_and_acknowledgements_are_no_transitions(network, sensor, rule, target, operator):
    gateway = make_gateway(network)
    behind = [make_sensor(network, gateway=gateway) for _ in range(2)]
    make_gateway_rule(network, share=0.5)
    fire(sensor, 1)
    heard(behind[0], 0)
    heard(behind[1], 50)
    sweep(now=at(91))
    before = Notification.objects.count()
    feed(sensor, [(30, 60.0)], now_s=30)
    update_rule(rule, name="Very hot", now=at(31))
    acknowledge_alert(Alert.objects.get(rule=rule), user=operator, now=at(32))
    sweep(now=at(150))
    assert len(Alert.objects.get(gateway=gateway).members) == 2
    assert Notification.objects.count() == before == 2


@pytest.mark.usefixtures("target")
def test_every_kind_of_alert_and_every_way_to_end_is_told(network, sensor, rule, operator, receiver):
    gateway = make_gateway(network)
    behind = make_sensor(network, gateway=gateway)
    make_staleness(network, sensors=[sensor])
    watched = make_gateway_rule(network)
    for one in (sensor, behind):
        heard(one, 0)
    fire(sensor, 1)
    sweep(now=at(91))
    deliver(101)
    heard(sensor, 150)
    sweep(now=at(151))
    resolve_alert(Alert.objects.get(rule=rule), user=operator, now=at(152))
    delete_rule(watched, now=at(153))
    deliver(163)
    bodies = "\n".join(message["message"] for message in receiver.messages)
    assert Notification.objects.filter(event="firing", state="sent").count() == 3
    assert Notification.objects.filter(event="resolved", state="sent").count() == 3
    assert f"{gateway.identifier} (silent sensors: 1)" in bodies
    for reason in ("heard", "by hand", "rule deleted"):
        assert f"UTC, {reason}" in bodies


def test_a_target_hears_only_of_its_network_and_from_its_least_severity_on(network, sensor, receiver):
    make_threshold(network, severity="warning")
    severe = make_target(network, receiver.url(), least_severity="critical")
    alike = make_target(network, receiver.url(), least_severity="warning")
    make_target(make_network(), receiver.url())
    make_target(network, receiver.url(), enabled=False)
    fire(sensor, 1)
    assert [row.target for row in Notification.objects.all()] == [alike]
    assert not Notification.objects.filter(target=severe).exists()


def test_a_target_that_wants_no_ends_is_told_none(network, sensor, rule, receiver):
    make_target(network, receiver.url(), tell_resolved=False)
    fire(sensor, 1)
    deliver(11)
    clear(sensor, 20)
    assert told() == [("firing", "sent", 1)]


def test_a_transition_that_is_rolled_back_owes_nothing(sensor, rule, target):
    def stop(execute, sql, params, many, context):
        if sql.startswith('DELETE FROM "alerts_evaluationbatch"'):
            raise OperationalError("the server went away")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(stop):
        fire(sensor, 1)
    assert (Alert.objects.count(), told()) == (0, [])
    evaluate(2)
    assert (Alert.objects.count(), told()) == (1, [("firing", "waiting", 0)])


def test_without_targets_a_transition_costs_one_query_at_most(network, sensor, rule):
    others = [make_sensor(network) for _ in range(3)]

    def asked(work):
        with CaptureQueriesContext(connection) as captured:
            work()
        return [
            query["sql"]
            for query in captured
            if query["sql"]
            .lstrip()
            .startswith(("SELECT id FROM alerts_notif", "INSERT INTO alerts_notif", "WITH owed"))
        ]

    assert len(asked(lambda: fire(sensor, 1))) == 1
    assert len(asked(lambda: clear(sensor, 2))) == 0
    assert len(asked(lambda: [feed(one, [(1, HOT), (2, COOL), (3, HOT)], now_s=3) for one in others[:1]])) == 1
    make_staleness(network)
    for one in (sensor, *others):
        heard(one, 0)
    assert len(asked(lambda: sweep(now=at(91)))) == 1
    assert Alert.objects.filter(resolved_at=None).count() == 5


# --- Grouping and ends ---------------------------------------------------------------------------------


def test_what_happens_within_the_window_is_one_message(network, rule, target, receiver):
    sensors = [make_sensor(network) for _ in range(11)]
    for second, one in enumerate(sensors):
        fire(one, second)
    # The first one opened the window at 0, so it closes at 10, for those of the last second too.
    assert deliver(10).messages == 1
    assert receiver.titles() == [f"{network.name}: 11 firing"]
    assert receiver.messages[0]["message"].count("FIRING") == 10
    assert receiver.messages[0]["message"].endswith("… and 1 more.")
    assert set(told()) == {("firing", "sent", 1)}


def test_an_alert_that_ends_within_the_window_is_not_told_at_all(sensor, rule, target, receiver):
    fire(sensor, 1)
    clear(sensor, 5)
    deliver(1_000)
    assert receiver.messages == []
    assert told() == [("firing", "dropped", 0)]
    assert Notification.objects.get().last_error == "The alert was resolved before it was told."


def test_an_end_is_told_to_those_who_may_have_been_told_the_beginning(sensor, rule, target, receiver):
    receiver.status = 503
    fire(sensor, 1)
    deliver(11)
    clear(sensor, 12)
    assert told() == [("firing", "waiting", 1), ("resolved", "waiting", 0)]
    receiver.status = 204
    deliver(30)
    assert told() == [("firing", "sent", 2), ("resolved", "sent", 1)]
    # Both at once are one line: the end, which says since when it fired.
    assert receiver.titles()[1:] == [f"{sensor.network.name}: 1 resolved"]


def test_a_target_made_while_an_alert_fires_hears_neither_of_it_nor_of_its_end(network, sensor, rule, receiver):
    fire(sensor, 1)
    make_target(network, receiver.url())
    clear(sensor, 20)
    assert told() == []
