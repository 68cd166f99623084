"""Rules about log messages: what is counted of whom, when alerts open and end, by one worker and by many."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, LogNote, Rule, RuleState
from alerts.services import (
    delete_rule,
    evaluate_log_lane,
    lane_of,
    resolve_alert,
    sweep,
    update_rule,
)
from alerts.services.log_notes import RANKS
from alerts.services.queue import microseconds
from fleet.ingest.batch import ingest_batch
from fleet.ingest.routes import InboundMessage
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import at, drained, history, make_network, make_sensor, make_user
from tests.alerts.making_logs import count, log, make_log_rule

pytestmark = pytest.mark.django_db


# --- When it fires -----------------------------------------------------------------------------------


def test_it_fires_at_the_message_that_fills_the_window(network, sensor):
    rule = make_log_rule(network, count=3, severity="critical")
    log(sensor, 0, 20)
    count(20)
    assert history() == []
    log(sensor, 50)
    assert count(50) == 1
    assert history() == [("firing", 50, 50, None, "")]
    alert = Alert.objects.get()
    assert (alert.rule, alert.sensor, alert.severity, alert.value) == (rule, sensor, "critical", 3)
    assert (alert.backfilled, alert.sensor_identifier) == (False, sensor.identifier)
    assert alert.rule_snapshot["count"] == 3
    assert LogNote.objects.count() == 0


def test_messages_that_lie_too_far_apart_fire_nothing(network, sensor):
    make_log_rule(network, count=2)
    log(sensor, 0, 61, 122)
    count(122)
    assert history() == []


def test_messages_of_the_severity_and_of_worse_ones_count(network, sensor):
    for severity in RANKS:
        make_log_rule(network, log_severity=severity)
    log(sensor, 1, severity="warning")
    count(1)
    found = Alert.objects.order_by("pk").values_list("rule_snapshot__log_severity", flat=True)
    assert list(found) == ["info", "warning"]


def test_messages_of_one_batch_are_counted_in_the_order_of_the_sensors_clock(network, sensor):
    make_log_rule(network)
    log(sensor, 500, 0)
    count(500)
    assert history() == [("resolved", 0, 0, 60, "cleared"), ("firing", 500, 500, None, "")]


def test_late_is_what_took_more_than_a_minute(network, sensor):
    make_log_rule(network)
    log(sensor, 0, late_s=60)
    log(sensor, 1_000, late_s=61)
    count(1_061)
    assert list(Alert.objects.order_by("started_at").values_list("backfilled", flat=True)) == [False, True]


def test_a_rule_counts_for_its_network_its_sensors_or_its_labels(network):
    ours = make_sensor(network, labels={"floor": "2"})
    other, stranger = make_sensor(network), make_sensor(make_network())
    make_log_rule(network)
    make_log_rule(network, sensors=[ours])
    make_log_rule(network, labels={"floor": "2"})
    make_log_rule(network, enabled=False)
    for sensor in (ours, other, stranger):
        log(sensor, 0)
    count(0)
    assert [Alert.objects.filter(sensor=one).count() for one in (ours, other, stranger)] == [3, 1, 0]
    assert LogNote.objects.count() == 0


def test_the_value_follows_in_steps_and_is_exact_at_the_end(network, sensor):
    make_log_rule(network)
    log(sensor, 0)
    count(0)
    log(sensor, 1, 2)
    count(9)
    assert Alert.objects.get().value == 1
    log(sensor, 3)
    count(10)
    assert Alert.objects.get().value == 4
    log(sensor, 4)
    count(11)
    count(65)
    alert = Alert.objects.get()
    assert (alert.state, alert.value) == ("resolved", 5)


# --- When it ends ------------------------------------------------------------------------------------


def test_it_ends_a_window_after_the_last_message_that_filled_one(network, sensor):
    make_log_rule(network, count=2)
    log(sensor, 0, 10)
    count(11)
    log(sensor, 50)
    count(110)
    assert history() == [("firing", 10, 10, None, "")]
    count(110.001)
    assert history() == [("resolved", 10, 10, 110, "cleared")]
    assert count(1_000) == 0
    assert RuleState.objects.count() == 0


def test_a_later_message_shows_that_the_episode_before_was_over(network, sensor):
    make_log_rule(network)
    drained(0)
    log(sensor, 0)
    count(0)
    log(sensor, 5_000)
    count(5_000)
    assert history() == [("resolved", 0, 0, 60, "cleared"), ("firing", 5_000, 5_000, None, "")]


def test_a_clock_that_is_behind_ends_nothing_early(network, sensor):
    make_log_rule(network)
    log(sensor, 0, late_s=3_600)
    for now_s in (3_600, 3_660):
        count(now_s)
        assert history() == [("firing", 0, 0, None, "")]
    count(3_661)
    assert history() == [("resolved", 0, 0, 60, "cleared")]


def test_while_the_bridge_is_away_nothing_ends(network, sensor):
    make_log_rule(network)
    log(sensor, 0)
    drained(10)
    for now_s in (10, 1_000, 1_000_000):
        count(now_s)
        assert history() == [("firing", 0, 0, None, "")]
    drained(60)
    count(1_000_000)
    assert history() == [("firing", 0, 0, None, "")]
    drained(61)
    count(1_000_000)
    assert history() == [("resolved", 0, 0, 60, "cleared")]


def test_after_the_bridge_was_away_a_whole_window_is_waited_for(network, sensor):
    make_log_rule(network)
    log(sensor, 0)
    drained(10)
    count(10)
    for drained_s in (1_000, 1_060):
        drained(drained_s, steady_s=1_000)
        count(2_000)
        assert history() == [("firing", 0, 0, None, "")]
    drained(1_061, steady_s=1_000)
    count(2_000)
    assert history() == [("resolved", 0, 0, 60, "cleared")]


def test_resolved_by_hand_it_opens_again_with_the_next_full_window(network, sensor):
    make_log_rule(network, count=2)
    log(sensor, 0, 1)
    count(2)
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(3))
    count(4)
    assert history() == [("resolved", 1, 1, 3, "by_hand")]
    log(sensor, 50)
    count(51)
    assert history() == [("resolved", 1, 1, 3, "by_hand"), ("firing", 50, 50, None, "")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rule, sensor: update_rule(rule, now=at(5), count=2), "rule_edited"),
        (lambda rule, sensor: update_rule(rule, now=at(5), enabled=False), "rule_disabled"),
        (lambda rule, sensor: delete_rule(rule, now=at(5)), "rule_deleted"),
        (lambda rule, sensor: Rule.objects.filter(pk=rule.pk).update(enabled=False), "rule_disabled"),
        (lambda rule, sensor: rule.delete(), "rule_deleted"),
        (lambda rule, sensor: update_sensor(sensor, labels={}, now=at(5)), "out_of_scope"),
        (lambda rule, sensor: delete_sensor(sensor), "sensor_deleted"),
    ],
)
def test_what_ends_an_alert_about_log_messages_besides_messages(network, change, reason):
    sensor = make_sensor(network, labels={"floor": "1"})
    rule = make_log_rule(network, labels={"floor": "1"})
    log(sensor, 0)
    count(0)
    change(rule, sensor)
    sweep(now=at(5))
    assert history() == [("resolved", 0, 0, 5, reason)]
    assert RuleState.objects.count() == 0
    count(1_000)
    assert len(history()) == 1


def test_who_left_the_scope_while_their_messages_were_counted_is_found_out(network):
    sensor = make_sensor(network, labels={"floor": "1"})
    make_log_rule(network, labels={"floor": "1"})
    log(sensor, 0)
    update_sensor(sensor, labels={}, now=at(5))
    sweep(now=at(5))
    # As an evaluation leaves it that began before the sensor was edited and was committed after the sweep.
    type(sensor).objects.filter(pk=sensor.pk).update(labels={"floor": "1"})
    count(6)
    type(sensor).objects.filter(pk=sensor.pk).update(labels={})
    count(100)
    assert history() == [("resolved", 0, 0, 100, "out_of_scope")]
    assert RuleState.objects.count() == 0


def test_what_waits_of_a_deleted_sensor_is_dropped(network, sensor):
    make_log_rule(network)
    log(sensor, 0)
    delete_sensor(sensor)
    assert count(0) == 1
    assert (Alert.objects.count(), LogNote.objects.count()) == (0, 0)


# --- From the wire --------------------------------------------------------------------------------------


def message(sensor, offset_s, severity="error", **options):
    item = {"severity": severity, "revision": 0, "timestamp": at(offset_s).timestamp(), "subject": "x"}
    payload = json.dumps({"log_messages": [item]}).encode()
    return InboundMessage(f"log-messages/{sensor.identifier}", payload, at(offset_s + 1), **options)


def test_only_new_messages_count_and_only_where_a_rule_waits_for_them(network, sensor):
    stranger = make_sensor(make_network())
    assert ingest_batch([message(sensor, 0)], now=at(1)).lanes == set()
    make_log_rule(network, log_severity="warning")
    batch = [message(sensor, 1), message(sensor, 2, "info"), message(sensor, 3, "warning"), message(stranger, 4)]
    assert ingest_batch(batch, now=at(5)).lanes == {lane_of(sensor.pk)}
    assert ingest_batch(batch, now=at(6)).lanes == set()
    assert ingest_batch([message(sensor, 7, retained=True)], now=at(8)).lanes == set()
    noted = LogNote.objects.order_by("pk").values_list("sensor_id", "rank", "measured_us", "received_us")
    assert list(noted) == [
        (sensor.pk, 2, microseconds(at(1)), microseconds(at(2))),
        (sensor.pk, 1, microseconds(at(3)), microseconds(at(4))),
    ]
    count(9)
    assert history() == [("firing", 1, 1, None, "")]


# --- Cost and live events ------------------------------------------------------------------------------


def statements(network, *, sensors, rules):
    for _ in range(rules):
        make_log_rule(network)
    made = []
    while len(made) < sensors:
        made += [candidate for candidate in [make_sensor(network)] if lane_of(candidate.pk) == 0]
    for second in (1, 2):
        for sensor in made:
            log(sensor, second)
        with CaptureQueriesContext(connection) as captured:
            assert evaluate_log_lane(0, now=at(2)).messages == sensors
    return len(captured)


def test_messages_cost_the_same_statements_whatever_their_number(db):
    small = statements(make_network(), sensors=1, rules=1)
    assert small == statements(make_network(), sensors=10, rules=5)
    assert small <= 14


def test_live_views_hear_of_each_episode_once(network, sensor, events, django_capture_on_commit_callbacks):
    make_log_rule(network)
    with django_capture_on_commit_callbacks(execute=True):
        log(sensor, 0)
        for now_s in (0, 1, 61, 62):
            count(now_s)
    assert [(kind, who, body["state"]) for _, who, kind, body in events] == [
        ("alert", sensor.identifier, "firing"),
        ("alert", sensor.identifier, "resolved"),
    ]
