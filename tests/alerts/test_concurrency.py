"""Many evaluators, sweeps, editors at once: the same transitions as a single one, and nobody deadlocks."""

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from alerts.models import Alert, EvaluationBatch, EvaluationProgress, Resolution, RuleState
from alerts.services import (
    LANES,
    acknowledge_alert,
    evaluate_lane,
    evaluate_waiting,
    lane_of,
    resolve_alert,
    sweep,
    update_rule,
)
from alerts.services.endings import end_alerts
from alerts.services.queue import microseconds, moment
from alerts.services.transitions import firing_alert, open_alerts
from sensors.errors import Conflict
from sensors.models import Sensor
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import (
    at,
    beside,
    feed,
    heard,
    held,
    history,
    make_bridge_rule,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_threshold,
    make_user,
    run_at_once,
    sample,
    store,
)
from tests.alerts.making import (
    evaluate as evaluate_all,
)
from tests.alerts.replaying import replayed, stored, wander
from tests.crashes import crash_at, crash_everywhere
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# The last statement of an evaluation, when everything else is written.
END_OF_A_LANE = 'DELETE FROM "alerts_evaluationbatch"'

RULES = (
    {"above": 50.0, "hysteresis": 1.0},
    {"above": 60.0, "below": 5.0, "for_s": 10},
    {"above": 40.0, "keep_firing_s": 15},
    {"above": 55.0, "hysteresis": 2.0, "for_s": 5, "keep_firing_s": 5},
    {"above": None, "below": 20.0},
)


def test_eight_evaluators_over_all_lanes_make_the_same_transitions_as_one_replay():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(100)]
    rules = [make_threshold(network, **fields) for fields in RULES]
    samples = wander(sensors, samples=60, seed=1)
    assert {lane_of(sensor.pk) for sensor in sensors} == set(range(LANES))
    done = threading.Event()

    def ingest():
        try:
            for start in range(0, len(samples), 370):
                store(samples[start : start + 370])
        finally:
            done.set()

    def work():
        while not done.is_set():
            evaluate_waiting(clock=lambda: at(0))

    with beside(ingest):
        run_at_once(work, 8)
    evaluate_all()
    assert EvaluationBatch.objects.count() == 0
    expected = replayed(rules, samples)
    assert len(expected) > 500
    assert stored() == expected


def test_an_evaluation_ended_at_any_statement_and_repeated_makes_the_same_transitions():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(3)]
    rules = [make_threshold(network, **fields) for fields in RULES]
    samples = wander(sensors, samples=40, seed=2)
    crashes = 0
    for start in range(0, len(samples), 12):
        for lane in store(samples[start : start + 12]):
            before = stored()
            waiting = EvaluationBatch.objects.count()
            assert crash_at(8, lambda lane=lane: evaluate_lane(lane, now=at(0)))
            assert (stored(), EvaluationBatch.objects.count()) == (before, waiting)
            crashes += crash_everywhere(lambda lane=lane: evaluate_lane(lane, now=at(0)))
    assert crashes > 100
    assert stored() == replayed(rules, samples)


@pytest.mark.parametrize("subject", ["sensor", "gateway", "bridges"])
def test_the_database_refuses_a_second_open_alert_of_a_rule_and_the_same_subject(subject):
    network = make_network()
    gateway = make_gateway(network)
    sensor = make_sensor(network, gateway=gateway)
    about = {
        "sensor": {"sensor": sensor, "sensor_identifier": sensor.identifier},
        "gateway": {"gateway": gateway, "gateway_identifier": gateway.identifier},
        "bridges": {},
    }
    rule = make_bridge_rule(network)

    def open_one(now_s: float, **fields) -> None:
        open_alerts([firing_alert(rule, started_at=at(0), fired_at=at(0), now=at(now_s), **fields)], now=at(now_s))

    for fields in about.values():
        open_one(1, **fields)
    with pytest.raises(IntegrityError, match=f"one_open_alert_per_rule_(and|about)_{subject}"), transaction.atomic():
        open_one(2, **about[subject])
    assert Alert.objects.count() == 3
    with transaction.atomic():
        end_alerts(Alert.objects.all(), reason=Resolution.BY_HAND, now=at(3))
    open_one(4, **about[subject])
    assert Alert.objects.filter(resolved_at=None).count() == 1


def test_a_lane_that_somebody_evaluates_is_left_to_them():
    network = make_network()
    sensor = make_sensor(network)
    make_threshold(network)
    store([sample(sensor, second, value) for second, value in ((1, 51.0), (2, 1.0))])
    with held(lambda: evaluate_lane(lane_of(sensor.pk), now=at(3)), before=END_OF_A_LANE):
        assert evaluate_lane(lane_of(sensor.pk), now=at(3)) is None
        assert evaluate_lane(lane_of(sensor.pk + 1), now=at(3)) == 0
    assert history() == [("resolved", 1, 1, 2, "cleared")]


def test_a_sweep_leaves_to_another_what_that_one_is_at():
    network = make_network()
    make_staleness(network)
    heard(make_sensor(network), 0)
    with held(lambda: sweep(now=at(91)), before='INSERT INTO "alerts_alert"'):
        assert sweep(now=at(91)).is_busy
    assert history() == [("firing", 90, 91, None, "")]
    assert not sweep(now=at(92)).is_busy


def test_one_lane_that_fails_does_not_hold_up_the_others():
    network = make_network()
    make_threshold(network)
    sensors = [make_sensor(network) for _ in range(LANES)]
    store([sample(sensor, 1, 51.0) for sensor in sensors])
    EvaluationBatch.objects.filter(lane=3).update(samples=b"\xc1")
    assert evaluate_all() == LANES - 1
    assert Alert.objects.count() == LANES - 1
    assert EvaluationBatch.objects.count() == 1


def test_eight_sweeps_at_once_open_one_alert_each_and_resolve_each_once(events):
    network = make_network()
    gateway = make_gateway(network)
    make_staleness(network)
    make_gateway_rule(network)
    alone = [make_sensor(network) for _ in range(30)]
    behind = [make_sensor(network, gateway=gateway) for _ in range(10)]
    for sensor in (*alone, *behind):
        heard(sensor, 0)

    def work():
        for second in range(91, 95):
            sweep(now=at(second))

    run_at_once(work, 8)
    sweep(now=at(95))
    assert Alert.objects.filter(state="firing").count() == Alert.objects.count() == 31
    for sensor in (*alone, *behind):
        heard(sensor, 100)
    run_at_once(lambda: sweep(now=at(101)), 8)
    sweep(now=at(101))
    assert {row[4] for row in history()} == {"heard"}
    assert Alert.objects.count() == 31
    seen = [(body["id"], body["state"]) for _, _, kind, body in events if kind == "alert"]
    assert len(seen) == len(set(seen)) == 62


def test_a_sweep_ended_at_any_statement_and_repeated_makes_the_same_alerts():
    network = make_network()
    gateway = make_gateway(network)
    make_staleness(network)
    make_gateway_rule(network)
    alone = make_sensor(network)
    behind = [make_sensor(network, gateway=gateway) for _ in range(3)]
    steps = [(91, [alone]), (200, [behind[0]]), (300, [])]
    for second, now_heard in steps:
        for sensor in now_heard:
            heard(sensor, second - 1)
        if second == 91:
            for sensor in (alone, *behind):
                heard(sensor, 0)
        assert crash_everywhere(lambda second=second: sweep(now=at(second))) > 10
    seen = sorted((row[0], row[1], row[2], row[3], row[4]) for row in history())
    assert seen == sorted(
        [
            ("firing", 90.0, 91.0, None, ""),  # alone
            ("resolved", 90.0, 91.0, 199.0, "heard"),  # the gateway
            ("firing", 90.0, 200.0, None, ""),  # two that stayed silent when it was back
            ("firing", 90.0, 200.0, None, ""),
            ("firing", 289.0, 300.0, None, ""),  # the gateway again
        ]
    )


def waiting() -> int:
    """Return how many connections to this database wait for a lock that somebody else has or comes to have first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0]


def test_who_begins_to_evaluate_after_an_editor_came_goes_after_the_edit():
    network = make_network()
    early, late = make_sensor(network), make_sensor(network)
    assert lane_of(early.pk) != lane_of(late.pk)
    rule = make_threshold(network)
    store([sample(sensor, 1, 51.0) for sensor in (early, late)])
    evaluation = held(lambda: evaluate_lane(lane_of(early.pk), now=at(1)), before=END_OF_A_LANE)
    with evaluation as go_on, beside(lambda: update_rule(rule, above=1_000.0, now=at(2))):
        wait_until(lambda: waiting() == 1, what="the editor, who waits for the evaluation")
        with beside(lambda: evaluate_lane(lane_of(late.pk), now=at(3))):
            wait_until(lambda: waiting() == 2, what="the next evaluation, which waits for the editor")
            go_on()
    assert history(sensor=early) == [("resolved", 1, 1, 2, "rule_edited")]
    assert history(sensor=late) == []
    assert EvaluationBatch.objects.count() == 0


def test_an_edit_under_load_gets_its_turn_and_the_old_form_opens_nothing_after_it():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(40)]
    rule = make_threshold(network)
    done = threading.Event()

    def ingest():
        second = 0
        while not done.is_set():
            second += 1
            store([sample(sensor, second, 51.0 if second % 2 else 1.0) for sensor in sensors])

    def evaluated():
        """Return how far the samples were evaluated: moves on while evaluators are at work."""
        return list(EvaluationProgress.objects.order_by("pk").values_list("newest", flat=True))

    def edit():
        try:
            wait_until(lambda: Alert.objects.filter(resolution="cleared").count() > 100, 60, "evaluation under load")
            for above in (1_000.0, 50.0, 1_000.0):
                before = evaluated()
                update_rule(rule, above=above, now=at(10**6))
                wait_until(lambda before=before: evaluated() != before, 60, "the next evaluation")
        finally:
            done.set()

    def work():
        while not done.is_set():
            evaluate_waiting(clock=lambda: at(0))

    with beside(ingest, edit):
        run_at_once(work, 6)
    evaluate_all()
    assert Alert.objects.filter(resolution="cleared").count() > 100
    assert Alert.objects.exclude(state="resolved").count() == 0
    # Nothing is open, so no rule has anything to remember of a sensor.
    assert RuleState.objects.count() == 0


def test_sensors_are_deleted_and_edited_under_load_without_deadlocks():
    network = make_network()
    sensors = [make_sensor(network) for _ in range(30)]
    make_threshold(network)
    make_threshold(network, above=40.0)
    make_staleness(network, period_s=1, grace_s=0)
    done = threading.Event()

    def change():
        try:
            for number, sensor in enumerate(sensors[:20]):
                if number % 2:
                    delete_sensor(sensor)
                else:
                    update_sensor(sensor, period_s=number + 1, now=at(number))
        finally:
            done.set()

    for sensor in sensors:
        heard(sensor, 0)

    def work():
        second = 0
        mine = threading.get_ident() % 7
        while not done.is_set():
            second += 1
            store([sample(one, second, 51.0 if second % 2 else 1.0) for one in sensors if one.pk])
            evaluate_waiting(clock=lambda: at(0))
            sweep(now=at(second + mine))

    with beside(change):
        run_at_once(work, 4)
    evaluate_all()
    sweep(now=at(10_000))
    assert Alert.objects.filter(sensor=None, resolved_at=None).count() == 0
    assert Sensor.objects.count() == 20


def test_of_many_who_resolve_or_acknowledge_at_once_one_does():
    network = make_network()
    sensor = make_sensor(network)
    make_threshold(network)
    feed(sensor, [(1, 51.0)])
    alert = Alert.objects.get()
    users = [make_user() for _ in range(8)]
    outcomes: list[str] = []

    def attempt(action):
        user = users.pop()
        try:
            action(alert, user=user, now=at(5))
            outcomes.append("done")
        except Conflict:
            outcomes.append("conflict")

    run_at_once(lambda: attempt(acknowledge_alert), 4)
    assert sorted(outcomes) == ["conflict"] * 3 + ["done"]
    outcomes.clear()
    run_at_once(lambda: attempt(resolve_alert), 4)
    assert sorted(outcomes) == ["conflict"] * 3 + ["done"]


def test_a_hand_that_resolves_while_an_evaluation_runs_is_not_overruled():
    network = make_network()
    sensor = make_sensor(network)
    make_threshold(network)
    feed(sensor, [(1, 51.0)])
    alert = Alert.objects.get()
    store([sample(sensor, 2, 1.0)])
    user = make_user()

    class ResolveBeforeTheUpdate:
        def __call__(self, execute, sql, params, many, context):
            if sql.lstrip().startswith("DELETE FROM alerts_rulestate"):
                run_at_once(lambda: resolve_alert(alert, user=user, now=at(1.5)), 1)
            return execute(sql, params, many, context)

    with connection.execute_wrapper(ResolveBeforeTheUpdate()):
        evaluate_all()
    assert history() == [("resolved", 1, 1, 1.5, "by_hand")]
    assert moment(microseconds(at(1.5))) == at(1.5)
