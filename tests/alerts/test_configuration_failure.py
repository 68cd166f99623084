"""Rules about configurations: refused or unanswered newest revisions, judged up to the bridges' watermark."""

import pytest
from django.db import connection

from alerts.models import Alert, Rule, RuleState, ScopeChange
from alerts.queries import silence_horizon
from alerts.services import create_rule, delete_rule, resolve_alert, sweep, update_rule
from alerts.services.configurations import open_failures
from config.services import Answer, create_revision, mark_published, record_acknowledgements
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import at, drained, history, make_network, make_sensor, make_user, run_at_once
from tests.crashes import crash_everywhere

pytestmark = pytest.mark.django_db
MICROSECOND = 0.000_001


def make_configuration_rule(network, **options):
    """Return a rule that gives sensors 100 s to acknowledge."""
    fields = {"name": "Not configured", "timeout_s": 100, **options}
    return create_rule(network, kind="configuration_failure", author=None, **fields)


def revise(sensor, offset_s):
    return create_revision(sensor, values={}, author=None, now=at(offset_s))


def answer(sensor, number, offset_s, *, success):
    record_acknowledgements([Answer(sensor.pk, number, success)], now=at(offset_s))


def values():
    return list(Alert.objects.order_by("started_at", "pk").values_list("value", flat=True))


# --- When it fires -----------------------------------------------------------------------------------


def test_a_revision_that_is_not_acknowledged_in_time_fires_strictly_after_its_time(network, sensor):
    rule = make_configuration_rule(network, severity="critical")
    revise(sensor, 0)
    for now_s in (0, 99, 100):
        assert sweep(now=at(now_s)).opened == 0
    assert sweep(now=at(100 + MICROSECOND)).opened == 1
    assert history() == [("firing", 100, 100 + MICROSECOND, None, "")]
    alert = Alert.objects.get()
    assert (alert.rule, alert.sensor, alert.severity, alert.value) == (rule, sensor, "critical", 0)
    assert alert.rule_snapshot["timeout_s"] == 100
    assert sweep(now=at(1_000)).opened == 0


@pytest.mark.parametrize("watermark_s", [None, 3])
def test_a_refused_revision_fires_at_once(network, sensor, watermark_s):
    make_configuration_rule(network)
    if watermark_s is not None:
        drained(watermark_s)
    revise(sensor, 0)
    revise(sensor, 1)
    answer(sensor, 1, 5, success=False)
    sweep(now=at(6))
    assert (history(), values()) == ([("firing", 5, 5, None, "")], [1])


def test_a_revision_that_is_acknowledged_in_time_fires_nothing(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(1))
    assert RuleState.objects.count() == 1
    answer(sensor, 0, 50, success=True)
    sweep(now=at(1_000))
    assert (history(), RuleState.objects.count(), ScopeChange.objects.count()) == ([], 0, 0)


def test_the_time_is_counted_from_the_publication_if_that_is_later(network, sensor):
    make_configuration_rule(network)
    revision = revise(sensor, 0)
    sweep(now=at(1))
    mark_published([revision.pk], now=at(50))
    for now_s in (101, 150):
        sweep(now=at(now_s))
        assert history() == []
    sweep(now=at(151))
    assert history() == [("firing", 150, 151, None, "")]


def test_only_the_newest_revision_counts(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    revise(sensor, 10)
    answer(sensor, 0, 20, success=False)
    sweep(now=at(110))
    assert history() == []
    answer(sensor, 1, 110, success=True)
    sweep(now=at(1_000))
    assert history() == []


def test_a_sensor_without_a_revision_never_fires(network, sensor):
    make_configuration_rule(network)
    # It may say that it could not apply what was never made.
    answer(sensor, 0, 1, success=False)
    assert sweep(now=at(1_000_000)).opened == 0
    assert RuleState.objects.count() == 0


def test_a_new_rule_holds_for_revisions_that_were_there_before(network):
    refused, unanswered, recent, well = (make_sensor(network) for _ in range(4))
    for sensor in (refused, unanswered, well):
        revise(sensor, 0)
    answer(refused, 0, 5, success=False)
    answer(well, 0, 5, success=True)
    sweep(now=at(400))
    revise(recent, 450)
    make_configuration_rule(network)
    make_configuration_rule(network, enabled=False)
    assert sweep(now=at(500)).opened == 2
    assert history(sensor=refused) == [("firing", 5, 5, None, "")]
    assert history(sensor=unanswered) == [("firing", 100, 500, None, "")]
    assert sweep(now=at(551)).opened == 1
    assert history(sensor=recent) == [("firing", 550, 551, None, "")]


def test_a_rule_holds_for_its_network_its_sensors_or_its_labels(network):
    ours = make_sensor(network, labels={"floor": "2"})
    other, stranger = make_sensor(network), make_sensor(make_network())
    make_configuration_rule(network)
    make_configuration_rule(network, sensors=[ours])
    make_configuration_rule(network, labels={"floor": "2"})
    for sensor in (ours, other, stranger):
        revise(sensor, 0)
    sweep(now=at(101))
    assert [Alert.objects.filter(sensor=one).count() for one in (ours, other, stranger)] == [3, 1, 0]


# --- When it ends ------------------------------------------------------------------------------------


def test_it_ends_when_the_sensor_acknowledges_the_revision_after_all(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(101))
    answer(sensor, 0, 150, success=False)
    sweep(now=at(151))
    assert history() == [("firing", 100, 101, None, "")]
    answer(sensor, 0, 200, success=True)
    assert sweep(now=at(201)).resolved == 1
    assert history() == [("resolved", 100, 101, 200, "applied")]
    assert RuleState.objects.count() == 0


def test_a_newer_revision_ends_it_and_has_its_own_time(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(101))
    revise(sensor, 150)
    sweep(now=at(151))
    assert history() == [("resolved", 100, 101, 150, "superseded")]
    sweep(now=at(250))
    assert len(history()) == 1
    sweep(now=at(251))
    assert history()[1] == ("firing", 250, 251, None, "")
    assert values() == [0, 1]


def test_a_newer_revision_that_is_acknowledged_at_once_ends_it_too(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(101))
    revise(sensor, 150)
    answer(sensor, 1, 151, success=True)
    sweep(now=at(1_000))
    assert history() == [("resolved", 100, 101, 150, "superseded")]


def test_resolved_by_hand_it_opens_again_only_by_a_refusal_or_a_newer_revision(network, sensor):
    make_configuration_rule(network)
    user = make_user()
    revise(sensor, 0)
    sweep(now=at(101))
    resolve_alert(Alert.objects.get(), user=user, now=at(110))
    update_sensor(sensor, labels={"floor": "1"}, now=at(120))
    sweep(now=at(1_000))
    assert history() == [("resolved", 100, 101, 110, "by_hand")]
    answer(sensor, 0, 1_001, success=False)
    sweep(now=at(1_002))
    assert history()[1] == ("firing", 1_001, 1_001, None, "")
    resolve_alert(Alert.objects.get(resolved_at=None), user=user, now=at(1_003))
    sweep(now=at(1_500))
    revise(sensor, 2_000)
    sweep(now=at(2_101))
    assert history()[2:] == [("firing", 2_100, 2_101, None, "")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rule, sensor: update_rule(rule, now=at(200), timeout_s=10_000), "rule_edited"),
        (lambda rule, sensor: update_rule(rule, now=at(200), enabled=False), "rule_disabled"),
        (lambda rule, sensor: delete_rule(rule, now=at(200)), "rule_deleted"),
        (lambda rule, sensor: Rule.objects.filter(pk=rule.pk).update(enabled=False), "rule_disabled"),
        (lambda rule, sensor: rule.delete(), "rule_deleted"),
        (lambda rule, sensor: update_sensor(sensor, labels={}, now=at(200)), "out_of_scope"),
        (lambda rule, sensor: delete_sensor(sensor), "sensor_deleted"),
    ],
)
def test_what_ends_an_alert_about_a_configuration_besides_answers(network, change, reason):
    sensor = make_sensor(network, labels={"floor": "1"})
    rule = make_configuration_rule(network, labels={"floor": "1"})
    revise(sensor, 0)
    sweep(now=at(101))
    change(rule, sensor)
    sweep(now=at(200))
    assert history() == [("resolved", 100, 101, 200, reason)]


def test_an_edit_judges_what_is_still_unanswered_anew(network, sensor):
    rule = make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(101))
    update_rule(rule, timeout_s=300, now=at(200))
    sweep(now=at(300))
    assert history() == [("resolved", 100, 101, 200, "rule_edited")]
    sweep(now=at(301))
    assert history()[1] == ("firing", 300, 301, None, "")


def test_a_sensor_that_enters_the_scope_is_judged_by_its_newest_revision(network, sensor):
    make_configuration_rule(network, labels={"floor": "1"})
    revise(sensor, 0)
    sweep(now=at(1_000))
    update_sensor(sensor, labels={"floor": "1"}, now=at(1_001))
    sweep(now=at(1_001))
    assert history() == [("firing", 100, 1_001, None, "")]


# --- The bridges' watermark ----------------------------------------------------------------------------


def test_while_the_bridge_is_away_no_time_is_counted_against_the_sensor(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    drained(100)
    for now_s in (101, 10_000):
        sweep(now=at(now_s))
        assert history() == []
    drained(101)
    sweep(now=at(10_001))
    assert history() == [("firing", 100, 101, None, "")]


def test_after_the_bridge_was_away_the_whole_time_is_given(network, sensor):
    make_configuration_rule(network)
    revise(sensor, 0)
    for drained_s in (1_000, 1_100):
        drained(drained_s, steady_s=1_000)
        sweep(now=at(drained_s))
        assert history() == []
    drained(1_101, steady_s=1_000)
    sweep(now=at(1_101))
    assert history() == [("firing", 1_100, 1_101, None, "")]


# --- Cost, many at once, and an end at any moment --------------------------------------------------------


def test_what_was_judged_is_not_looked_at_again(network):
    make_configuration_rule(network)
    for second in range(10):
        revise(make_sensor(network), second * 10)
    sweep(now=at(0))
    horizon = silence_horizon(at(121))
    assert open_failures(horizon, now=at(121)) == (3, 3)
    assert open_failures(horizon, now=at(121)) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_many_sweeps_open_one_alert_each_and_resolve_each_once(events):
    network = make_network()
    make_configuration_rule(network)
    sensors = [make_sensor(network) for _ in range(20)]
    for number, sensor in enumerate(sensors):
        revise(sensor, 0)
        if number % 2:
            answer(sensor, 0, 5, success=False)

    def work():
        for now_s in range(99, 103):
            sweep(now=at(now_s))

    run_at_once(work, 6)
    sweep(now=at(103))
    assert Alert.objects.filter(state="firing").count() == Alert.objects.count() == 20
    for sensor in sensors:
        answer(sensor, 0, 110, success=True)
    run_at_once(lambda: sweep(now=at(111)), 6)
    sweep(now=at(111))
    assert {row[3:] for row in history()} == {(110, "applied")}
    assert Alert.objects.count() == 20
    seen = [(body["id"], body["state"]) for _, _, kind, body in events if kind == "alert"]
    assert len(seen) == len(set(seen)) == 40


@pytest.mark.django_db(transaction=True)
def test_a_sweep_ended_at_any_statement_makes_the_same_configuration_alerts():
    network = make_network()
    make_configuration_rule(network)
    late, refusing, slow = (make_sensor(network) for _ in range(3))
    for sensor in (late, refusing, slow):
        revise(sensor, 0)
    answer(refusing, 0, 5, success=False)
    assert crash_everywhere(lambda: sweep(now=at(101))) > 10
    assert Alert.objects.count() == 3
    answer(slow, 0, 150, success=True)
    revise(late, 160)
    assert crash_everywhere(lambda: sweep(now=at(200))) > 10
    assert sorted(history()) == sorted(
        [
            ("firing", 5, 5, None, ""),
            ("resolved", 100, 101, 150, "applied"),
            ("resolved", 100, 101, 160, "superseded"),
        ]
    )
    crash_everywhere(lambda: sweep(now=at(261)))
    assert history(sensor=late)[1] == ("firing", 260, 261, None, "")


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_is_stored_while_alerts_are_opened_ends_its_alert():
    network = make_network()
    sensor = make_sensor(network)
    make_configuration_rule(network)
    revise(sensor, 0)
    sweep(now=at(1))

    class AnswerBeforeTheInsert:
        def __call__(self, execute, sql, params, many, context):
            if sql.startswith('INSERT INTO "alerts_alert"'):
                run_at_once(lambda: answer(sensor, 0, 101, success=True), 1)
            return execute(sql, params, many, context)

    with connection.execute_wrapper(AnswerBeforeTheInsert()):
        sweep(now=at(101))
    sweep(now=at(102))
    assert history() == [("resolved", 100, 101, 101, "applied")]
