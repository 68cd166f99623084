"""Evaluation over the durable queue: what ends up in the database, from which samples, by which rules."""

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, EvaluationBatch, EvaluationProgress
from alerts.services import LANES, delete_rule, evaluate_lane, lane_of, sweep, update_rule, watched_attributes
from alerts.services.queue import SAMPLES_PER_ROW, decode_blocks, microseconds, waiting_samples
from config.models import Revision
from sensors.models import Sensor
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import (
    Sample,
    at,
    drained,
    evaluate,
    feed,
    heard,
    history,
    make_network,
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


# --- The queue -----------------------------------------------------------------------------------


def test_samples_wait_in_the_lane_of_their_sensor_until_they_are_evaluated(network):
    sensors = [make_sensor(network) for _ in range(5)]
    lanes = store([sample(sensor, 1, 20.0) for sensor in sensors])
    assert lanes == {sensor.pk % LANES for sensor in sensors} == set(waiting_samples(range(LANES)))
    assert sum(EvaluationBatch.objects.values_list("sample_count", flat=True)) == 5
    assert evaluate() == 5
    assert (EvaluationBatch.objects.count(), waiting_samples(range(LANES))) == (0, {})


def test_a_lane_that_nobody_filled_is_evaluated_to_nothing(network):
    assert evaluate_lane(3, now=at(0)) == 0


def test_what_is_no_finite_number_is_not_queued(sensor):
    values = {"a": math.nan, "b": True, "c": "1", "d": None, "e": math.inf}
    assert store([Sample(sensor.pk, at(0), at(0), values)]) == set()
    assert EvaluationBatch.objects.count() == 0


def test_whole_numbers_of_any_size_are_evaluated(network, sensor):
    make_threshold(network, above=1e20)
    feed(sensor, [(1, 7), (2, 10**30)])
    assert Alert.objects.get().value == 1e30


def test_a_flood_is_cut_into_rows_and_evaluated_in_order(network, sensor):
    make_threshold(network)
    count = SAMPLES_PER_ROW * 3 + 1
    store([sample(sensor, second, 51.0 if second % 2 else 20.0) for second in range(count)])
    assert EvaluationBatch.objects.count() == 4
    assert evaluate() == count
    assert Alert.objects.count() == count // 2
    assert Alert.objects.filter(state="firing").count() == 0


def test_entries_of_one_message_are_evaluated_in_the_order_of_the_sensors_clock(network, sensor):
    make_threshold(network)
    store([sample(sensor, 30, 20.0), sample(sensor, 10, 51.0), sample(sensor, 20, 52.0)])
    evaluate()
    assert history() == [("resolved", 10, 10, 30, "cleared")]


def test_samples_without_a_number_are_left_out_and_the_others_stay_together(sensor):
    mixed = [
        Sample(sensor.pk, at(3), at(3), {"a": 3.0, "b": "x"}),
        Sample(sensor.pk, at(1), at(1), {"a": None, "b": True}),
        Sample(sensor.pk, at(2), at(2), {"b": 2}),
        Sample(sensor.pk, at(1), at(1), {"a": 1.0, "b": 1.5}),
    ]
    store(mixed)
    (row,) = EvaluationBatch.objects.all()
    assert row.sample_count == 3
    (block,) = decode_blocks([row.samples])
    assert block.measured == [microseconds(at(second)) for second in (1, 2, 3)]
    assert block.columns == {"a": [1.0, None, 3.0], "b": [1.5, 2, None]}


def test_only_attributes_of_enabled_threshold_rules_are_watched(network):
    other = make_network()
    make_threshold(network, attribute="a")
    make_threshold(network, attribute="b")
    make_threshold(network, attribute="b", above=60.0)
    make_threshold(network, attribute="c", enabled=False)
    make_threshold(other, attribute="d")
    assert watched_attributes([network.pk]) == {network.pk: frozenset("ab")}
    assert watched_attributes([network.pk, other.pk, 0])[other.pk] == frozenset("d")
    assert watched_attributes([]) == {}


# --- Which rules hold ------------------------------------------------------------------------------


def test_a_rule_holds_for_its_network_its_sensors_or_its_labels(network):
    in_scope = make_sensor(network, labels={"floor": "2", "side": "north"})
    other = make_sensor(network, labels={"floor": "3"})
    stranger = make_sensor(make_network(), labels={"floor": "2"})
    make_threshold(network, name="all")
    make_threshold(network, name="listed", sensors=[in_scope])
    make_threshold(network, name="labels", labels={"floor": "2"})
    make_threshold(network, name="off", enabled=False)
    make_threshold(network, name="both labels", labels={"floor": "2", "side": "south"})
    for sensor in (in_scope, other, stranger):
        feed(sensor, [(1, 51.0)])
    found = sorted(Alert.objects.values_list("rule_name", "sensor_identifier"))
    assert found == sorted(
        [("all", in_scope.identifier), ("all", other.identifier)]
        + [(name, in_scope.identifier) for name in ("listed", "labels")]
    )


def test_a_sensor_is_held_against_the_rules_of_every_scope_that_covers_it(network):
    mine, other, moved = (make_sensor(network, labels={"floor": "2", "n": n}) for n in (1, True, 2))
    elsewhere = make_network()
    for name, scope in {
        "all": {},
        "floor": {"labels": {"floor": "2"}},
        "number": {"labels": {"n": 1.0}},
        "list": {"sensors": [mine, moved]},
        "other list": {"sensors": [other]},
    }.items():
        make_threshold(network, name=f"{name} warns", **scope)
        make_threshold(network, name=f"{name} is quiet", above=60.0, **scope)
        make_threshold(network, name=f"{name} dries up", attribute="humidity", above=None, below=10.0, **scope)
    make_threshold(elsewhere, name="elsewhere warns")
    make_threshold(network, name="floor is dry", attribute="humidity", above=None, below=50.0, labels={"floor": "2"})
    make_rate(network, name="all change", above=100.0)
    make_rate(network, name="list changes", above=10.0, sensors=[mine])
    Sensor.objects.filter(pk=moved.pk).update(network=elsewhere)
    for second, value in ((0, 20.0), (60, 55.0)):
        values = {"temperature": value, "humidity": 40.0}
        store([Sample(sensor.pk, at(second), at(second), values) for sensor in (mine, other, moved)])
    evaluate()
    found = {sensor.pk: set() for sensor in (mine, other, moved)}
    for rule_name, sensor_id in Alert.objects.values_list("rule_name", "sensor"):
        found[sensor_id].add(rule_name)
    assert found == {
        mine.pk: {"all warns", "floor warns", "floor is dry", "number warns", "list warns", "list changes"},
        other.pk: {"all warns", "floor warns", "floor is dry", "other list warns"},
        moved.pk: {"elsewhere warns"},
    }


def test_a_sample_without_the_attribute_changes_nothing(network, sensor):
    make_threshold(network)
    feed(sensor, [(1, 51.0)])
    feed(sensor, [(2, 1.0)], attribute="humidity")
    assert history() == [("firing", 1, 1, None, "")]
    assert EvaluationProgress.objects.get().newest == {"temperature": microseconds(at(1))}


def test_a_rule_holds_for_what_still_waits_when_it_is_made(network, sensor):
    store([sample(sensor, 1, 51.0)])
    make_threshold(network)
    make_threshold(network, attribute="humidity", below=10.0, above=None)
    evaluate()
    assert history() == [("firing", 1, 1, None, "")]


# --- Episodes ----------------------------------------------------------------------------------------


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


def test_samples_of_a_deleted_sensor_are_dropped_and_its_neighbours_evaluated(network):
    make_threshold(network)
    gone = make_sensor(network)
    stays = make_sensor(network)
    while lane_of(stays.pk) != lane_of(gone.pk):
        stays = make_sensor(network)
    store([sample(gone, 1, 51.0), sample(stays, 1, 51.0)])
    delete_sensor(gone)
    evaluate()
    assert Alert.objects.get().sensor == stays


# --- Cost and live events ------------------------------------------------------------------------------


def statements(network, *, sensors, rules):
    for number in range(rules):
        make_threshold(network, name=f"r{number}", attribute=f"a{number % 5}")
    made = []
    while len(made) < sensors:
        made += [candidate for candidate in [make_sensor(network)] if lane_of(candidate.pk) == 0]
    values = {f"a{number}": 51.0 for number in range(5)}
    for second in (1, 2):
        store([Sample(one.pk, at(second), at(second), values) for one in made])
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert evaluate_lane(0, now=at(0)) == sensors
    return len(captured)


def test_a_batch_costs_the_same_statements_whatever_its_size(db):
    small = statements(make_network(), sensors=1, rules=1)
    large = statements(make_network(), sensors=20, rules=10)
    assert small == large
    assert large <= 11


def looks_at_alerts():
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq_scan + idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'alerts_alert'")
        return cursor.fetchone()[0]


def test_open_alerts_are_found_at_once_however_many_rules_there_are(network, sensor):
    for number in range(100):
        make_threshold(network, name=f"r{number}")
    feed(sensor, [(1, 51.0)])
    assert Alert.objects.count() == 100
    before = looks_at_alerts()
    feed(sensor, [(2, 51.0)])
    assert looks_at_alerts() - before <= 2


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
