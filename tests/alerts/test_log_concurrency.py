"""Many who count log messages at once, and processes that end at any moment: the transitions of a single one."""

import threading

import pytest

from alerts.models import Alert, LogNote
from alerts.services import evaluate_log_lane, update_rule
from tests.alerts.making import at, beside, drained, held, history, make_network, make_sensor, run_at_once
from tests.alerts.making_logs import count, entry, make_log_rule, note
from tests.alerts.replaying import chatter, replayed_logs, stored
from tests.crashes import crash_at, crash_everywhere
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

RULES = ({"count": 3, "window_s": 10}, {"count": 1, "window_s": 5}, {"count": 2, "window_s": 30})


def test_many_evaluators_make_the_transitions_of_one():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(20)]
    rules = [make_log_rule(network, **fields) for fields in RULES]
    # Nothing ends by the clock meanwhile.
    drained(0)
    messages = chatter(sensors, messages=40, seed=3)
    batches = [messages[start : start + 90] for start in range(0, len(messages), 90)]
    done = threading.Event()

    def ingest():
        try:
            for batch in batches:
                note(batch)
        finally:
            done.set()

    def work():
        while not done.is_set():
            count(0)

    with beside(ingest):
        run_at_once(work, 6)
    count(0)
    assert LogNote.objects.count() == 0
    expected = replayed_logs(rules, batches)
    assert len(expected) > 300
    assert stored() == expected
    drained(10**6)
    run_at_once(lambda: count(10**6), 4)
    count(10**6)
    assert Alert.objects.filter(state="resolved", resolution="cleared").count() == len(expected)


def test_a_lane_whose_messages_somebody_counts_is_left_to_them():
    network = make_network()
    sensor = make_sensor(network)
    make_log_rule(network, count=2)
    (lane,) = note([entry(sensor, 1), entry(sensor, 2)])
    with held(lambda: evaluate_log_lane(lane, now=at(3)), before='DELETE FROM "alerts_lognote"'):
        assert evaluate_log_lane(lane, now=at(3)) is None
    assert history() == [("firing", 2, 2, None, "")]


def test_a_count_ended_at_any_statement_and_repeated_makes_the_same_transitions():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(3)]
    rules = [make_log_rule(network, **fields) for fields in RULES]
    drained(0)
    messages = chatter(sensors, messages=25, seed=4)
    batches = [messages[start : start + 15] for start in range(0, len(messages), 15)]
    crashes = 0
    for batch in batches:
        for lane in note(batch):
            before = stored()
            waiting = LogNote.objects.count()
            assert crash_at(8, lambda lane=lane: evaluate_log_lane(lane, now=at(0)))
            assert (stored(), LogNote.objects.count()) == (before, waiting)
            crashes += crash_everywhere(lambda lane=lane: evaluate_log_lane(lane, now=at(0)))
    assert crashes > 100
    assert stored() == replayed_logs(rules, batches)


def test_an_edit_while_messages_are_counted_is_followed_by_nothing_of_the_old_form():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(20)]
    rule = make_log_rule(network, window_s=1)
    drained(0)
    done = threading.Event()

    def ingest():
        second = 0
        while not done.is_set():
            second += 2
            note([entry(sensor, second) for sensor in sensors])

    def edit():
        try:
            for number in (1_000, 1, 1_000):
                if number == 1_000:
                    wait_until(lambda: Alert.objects.filter(resolved_at=None).exists(), timeout_s=30)
                update_rule(rule, count=number, now=at(10**6))
        finally:
            done.set()

    def work():
        while not done.is_set():
            count(0)

    with beside(ingest, edit):
        run_at_once(work, 4)
    count(0)
    assert Alert.objects.filter(resolution="cleared").count() > 0
    assert Alert.objects.exclude(state="resolved").count() == 0
