"""Rules about values: which samples make an episode, and what each of them leaves in the database."""

import math

import pytest

from alerts.models import Alert
from alerts.services import delete_rule, sweep, update_rule
from config.models import Revision
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import (
    at,
    drained,
    evaluate,
    feed,
    heard,
    history,
    make_rate,
    make_sensor,
    make_threshold,
    sample,
    store,
)

pytestmark = pytest.mark.django_db


def acknowledge_interval(sensor, interval_s, *, number=0, acknowledged=True):
    Revision.objects.create(
        sensor=sensor,
        number=number,
        values={"interval_s": interval_s},
        created_at=at(0),
        acknowledged_at=at(0) if acknowledged else None,
    )


def test_an_episode_is_one_alert_from_its_first_sample_to_its_last(network, sensor):
    rule = make_threshold(network, severity="critical", hysteresis=0.5)
    feed(sensor, [(10, 20.0), (20, 51.0)])
    alert = Alert.objects.get()
    assert (alert.rule, alert.sensor, alert.network) == (rule, sensor, network)
    assert (alert.severity, alert.value, alert.state, alert.backfilled) == ("critical", 51.0, "firing", False)
    assert (alert.sensor_identifier, alert.rule_name, alert.rule_snapshot["above"]) == (sensor.identifier, "Hot", 50.0)
    feed(sensor, [(30, 60.0), (40, 49.9)])
    assert history() == [("firing", 20, 20, None, "")]
    feed(sensor, [(50, 49.5)])
    assert history() == [("resolved", 20, 20, 50, "cleared")]
    feed(sensor, [(60, 70.0)])
    assert history() == [("resolved", 20, 20, 50, "cleared"), ("firing", 60, 60, None, "")]
    assert [alert.value for alert in Alert.objects.order_by("pk")] == [60.0, 70.0]


def test_a_pending_alert_is_shown_and_fires_or_leaves_no_row(network, sensor):
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0)])
    assert history() == [("pending", 0, None, None, "")]
    feed(sensor, [(30, 20.0)])
    assert history() == []
    feed(sensor, [(40, 51.0)])
    feed(sensor, [(70, 51.0)])
    assert history() == [("pending", 40, None, None, "")]
    feed(sensor, [(100, 55.0)])
    assert history() == [("firing", 40, 100, None, "")]


def test_no_clock_completes_a_for(network, sensor):
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0)], now_s=1)
    assert evaluate(now_s=10_000) == 0
    assert history() == [("pending", 0, None, None, "")]


def test_keep_firing_survives_from_batch_to_batch(network, sensor):
    make_threshold(network, keep_firing_s=60)
    for offset_s, value in [(0, 51.0), (10, 20.0), (40, 20.0), (69, 20.0)]:
        feed(sensor, [(offset_s, value)])
    assert history() == [("firing", 0, 0, None, "")]
    feed(sensor, [(70, 20.0)])
    assert history() == [("resolved", 0, 0, 70, "cleared")]


def test_a_gap_restarts_a_pending_alert_by_the_interval_of_the_acknowledged_configuration(network, sensor):
    acknowledge_interval(sensor, 10)
    acknowledge_interval(sensor, 3600, number=1, acknowledged=False)
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0), (20, 51.0)])
    feed(sensor, [(41, 51.0), (61, 51.0)])
    assert history() == [("pending", 41, None, None, "")]


@pytest.mark.parametrize("interval_s", ["10", True, 0, -5, None])
def test_an_interval_that_is_no_positive_number_is_none(network, sensor, interval_s):
    acknowledge_interval(sensor, interval_s)
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0), (6000, 51.0)])
    assert history() == [("firing", 0, 6000, None, "")]


def test_late_samples_open_and_close_alerts_at_their_own_times_marked_backfilled(network, sensor):
    make_threshold(network)
    feed(sensor, [(10, 51.0), (20, 20.0), (30, 52.0)], late_s=61)
    assert history() == [("resolved", 10, 10, 20, "cleared"), ("firing", 30, 30, None, "")]
    assert list(Alert.objects.values_list("backfilled", flat=True)) == [True, True]
    feed(sensor, [(40, 20.0), (50, 51.0)], late_s=60)
    assert [alert.backfilled for alert in Alert.objects.order_by("started_at")] == [True, True, False]


def test_how_late_is_late_follows_the_interval(network, sensor):
    acknowledge_interval(sensor, 60)
    make_threshold(network)
    feed(sensor, [(10, 51.0), (11, 1.0)], late_s=120)
    feed(sensor, [(20, 51.0)], late_s=121)
    assert [alert.backfilled for alert in Alert.objects.order_by("started_at")] == [False, True]


def test_a_sample_older_than_the_last_evaluated_one_changes_nothing(network, sensor):
    make_threshold(network)
    feed(sensor, [(100, 20.0)])
    feed(sensor, [(50, 99.0)])
    feed(sensor, [(100, 99.0)])
    assert history() == []


def test_the_value_of_a_firing_alert_follows_in_steps_and_at_its_end(network, sensor):
    make_threshold(network)
    feed(sensor, [(1, 51.0)], now_s=1)
    feed(sensor, [(2, 52.0)], now_s=10)
    assert Alert.objects.get().value == 51.0
    feed(sensor, [(3, 53.0)], now_s=11)
    assert Alert.objects.get().value == 53.0
    feed(sensor, [(4, 54.0)], now_s=12)
    feed(sensor, [(5, 20.0)], now_s=13)
    assert Alert.objects.get().value == 54.0


def test_what_follows_the_end_in_the_same_evaluation_leaves_the_value_of_the_end(network, sensor):
    make_threshold(network)
    feed(sensor, [(1, 51.0)], now_s=1)
    for second in (100, 101):
        store([sample(sensor, second, 20.0)])
    evaluate(101)
    assert (history(), Alert.objects.get().value) == ([("resolved", 1, 1, 100, "cleared")], 51.0)


def test_a_rule_about_change_looks_from_sample_to_sample_over_any_batches(network, sensor):
    make_rate(network, above=5.0, below=-5.0, hysteresis=1.0)
    feed(sensor, [(0, 20.0), (60, 24.0)])
    assert history() == []
    feed(sensor, [(120, 30.0)])
    assert [(*history()[0], Alert.objects.get().value)] == [("firing", 120, 120, None, "", 6.0)]
    feed(sensor, [(180, 34.5)])
    assert history() == [("firing", 120, 120, None, "")]
    feed(sensor, [(240, 35.0), (250, 20.0)])
    assert history() == [("resolved", 120, 120, 240, "cleared"), ("firing", 250, 250, None, "")]


def test_a_rule_about_change_starts_with_the_second_sample_after_it_was_made(network, sensor):
    make_threshold(network)
    feed(sensor, [(0, 20.0)])
    make_rate(network, above=5.0)
    feed(sensor, [(60, 40.0)])
    assert history() == []
    feed(sensor, [(120, 49.0)])
    assert history() == [("firing", 120, 120, None, "")]


@pytest.mark.parametrize("value", [math.nan, math.inf, "99", True, None])
def test_what_is_no_number_is_no_step_of_a_rate(network, sensor, value):
    make_rate(network, above=5.0)
    feed(sensor, [(0, 20.0), (60, value), (120, 29.0)])
    assert history() == []
    feed(sensor, [(180, value), (240, 40.0)])
    assert history() == [("firing", 240, 240, None, "")]


def test_rules_about_a_value_and_its_change_go_side_by_side(network, sensor):
    hot = make_threshold(network)
    fast = make_rate(network, above=5.0)
    feed(sensor, [(0, 20.0), (60, 51.0), (120, 52.0), (180, 20.0)])
    assert history(rule=hot) == [("resolved", 60, 60, 180, "cleared")]
    assert history(rule=fast) == [("resolved", 60, 60, 120, "cleared")]
    feed(sensor, [(180, 99.0), (170, 99.0)])
    assert Alert.objects.count() == 2


def test_no_data_ends_no_episode_of_a_value(network, sensor):
    make_threshold(network)
    make_rate(network, above=5.0)
    feed(sensor, [(0, 20.0), (60, 51.0)])
    heard(sensor, 60)
    for second in (1_000, 10**6):
        drained(second)
        sweep(now=at(second))
        evaluate(second)
    assert history() == [("firing", 60, 60, None, "")] * 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rule, sensor: update_rule(rule, now=at(5), above=50.5), "rule_edited"),
        (lambda rule, sensor: update_rule(rule, now=at(5), enabled=False), "rule_disabled"),
        (lambda rule, sensor: delete_rule(rule, now=at(5)), "rule_deleted"),
        (lambda rule, sensor: update_sensor(sensor, labels={}, now=at(5)), "out_of_scope"),
        (lambda rule, sensor: delete_sensor(sensor), "sensor_deleted"),
    ],
)
def test_what_ends_an_alert_about_a_value_besides_samples(network, change, reason):
    sensor = make_sensor(network, labels={"floor": "1"})
    rule = make_threshold(network, labels={"floor": "1"})
    feed(sensor, [(0, 51.0)])
    change(rule, sensor)
    sweep(now=at(5))
    assert history() == [("resolved", 0, 0, 5, reason)]


def test_live_views_hear_of_each_transition_and_of_nothing_else(
    network, sensor, events, django_capture_on_commit_callbacks
):
    make_threshold(network, for_s=10)
    with django_capture_on_commit_callbacks(execute=True):
        feed(sensor, [(0, 51.0)])
        feed(sensor, [(5, 51.0)])
        feed(sensor, [(10, 51.0)])
        feed(sensor, [(20, 51.0)])
        feed(sensor, [(30, 20.0)])
        feed(sensor, [(40, 51.0)])
        feed(sensor, [(45, 20.0)])
    seen = [(kind, place, who, body["state"], body["resolution"]) for place, who, kind, body in events]
    mine = ("alert", network.slug, sensor.identifier)
    assert seen == [
        (*mine, "pending", ""),
        (*mine, "firing", ""),
        (*mine, "resolved", "cleared"),
        (*mine, "pending", ""),
        (*mine, "resolved", "cleared"),
    ]
    assert Alert.objects.count() == 1
