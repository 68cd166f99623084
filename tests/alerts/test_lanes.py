"""The durable queue of samples: which wait, which rules hold for them, and what a batch costs."""

import math

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Alert, EvaluationBatch, EvaluationProgress
from alerts.services import LANES, evaluate_lane, lane_of, watched_attributes
from alerts.services.queue import SAMPLES_PER_ROW, decode_blocks, microseconds, waiting_samples
from sensors.models import Sensor
from sensors.services import delete_sensor
from tests.alerts.making import (
    Sample,
    at,
    evaluate,
    feed,
    history,
    make_network,
    make_rate,
    make_sensor,
    make_threshold,
    sample,
    store,
)

pytestmark = pytest.mark.django_db


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


# --- Cost ----------------------------------------------------------------------------------------------


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
