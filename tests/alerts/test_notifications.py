"""What targets are told of alerts, when, and what they are not."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from alerts import tasks
from alerts.models import Alert, Notification, NotificationTarget
from alerts.services import (
    acknowledge_alert,
    create_silence,
    delete_rule,
    delete_silence,
    resolve_alert,
    sweep,
    update_rule,
    update_target,
)
from alerts.services.notify import CLAIM_S, GIVE_UP_AFTER, RETRY_AFTER_S, claim_message
from fleet.celery import app
from sensors.models import Role
from sensors.services import delete_network, set_member
from tests.alerts.making import (
    at,
    deliver,
    evaluate,
    feed,
    heard,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_target,
    make_threshold,
    make_user,
    offset,
    told,
)

pytestmark = pytest.mark.django_db
HOT, COOL = 51.0, 1.0


@pytest.fixture
def target(network, receiver):
    return make_target(network, receiver.url())


@pytest.fixture
def operator(network):
    user = make_user()
    set_member(network, user=user, role=Role.OPERATOR)
    return user


@pytest.fixture
def rule(network):
    return make_threshold(network, severity="critical")


def fire(sensor, second, value=HOT):
    feed(sensor, [(second, value)], now_s=second)


def clear(sensor, second):
    feed(sensor, [(second, COOL)], now_s=second)


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
    assert len(asked(lambda: sweep(now=at(91)))) == 0
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


# --- Repeats and escalation -----------------------------------------------------------------------------


def test_what_nobody_acknowledges_is_told_again_until_somebody_does(network, sensor, rule, receiver, operator):
    make_target(network, receiver.url(), repeat_interval_s=60, group_wait_s=0)
    fire(sensor, 1)
    deliver(1)
    assert [deliver(second).sent for second in (60, 61, 61, 120, 121)] == [0, 1, 0, 0, 1]
    assert receiver.titles()[1:] == [f"{network.name}: 1 still firing"] * 2
    acknowledge_alert(Alert.objects.get(), user=operator, now=at(130))
    assert deliver(10_000).messages == 0
    numbers = list(Notification.objects.order_by("pk").values_list("event", "number", "state"))
    assert numbers == [
        ("firing", 0, "sent"),
        ("repeat", 1, "sent"),
        ("repeat", 2, "sent"),
        ("repeat", 3, "dropped"),
    ]
    clear(sensor, 10_001)
    assert deliver(10_001).sent == 1


def test_what_is_resolved_is_not_told_again(network, sensor, rule, receiver):
    make_target(network, receiver.url(), repeat_interval_s=60, group_wait_s=0)
    fire(sensor, 1)
    deliver(1)
    clear(sensor, 30)
    deliver(30)
    deliver(10_000)
    assert receiver.titles() == [f"{network.name}: 1 firing", f"{network.name}: 1 resolved"]
    assert told(event="repeat") == [("repeat", "dropped", 0)]


def test_another_repeat_interval_holds_for_what_waits(network, sensor, rule, receiver):
    target = make_target(network, receiver.url(), repeat_interval_s=3_600, group_wait_s=0)
    fire(sensor, 0)
    deliver(0)
    update_target(target, repeat_interval_s=120, now=at(1))
    assert offset(Notification.objects.get(event="repeat").due_at) == 120
    update_target(target, repeat_interval_s=None, now=at(2))
    assert told(event="repeat") == [("repeat", "dropped", 0)]


def test_an_escalation_tells_only_what_is_still_not_acknowledged(network, rule, receiver, operator):
    make_target(network, receiver.url(), escalate_after_s=300)
    ended, seen, left = (make_sensor(network) for _ in range(3))
    for one in (ended, seen, left):
        fire(one, 0)
    acknowledge_alert(Alert.objects.get(sensor=seen), user=operator, now=at(100))
    clear(ended, 200)
    assert deliver(299).messages == 0
    assert deliver(300).sent == 1
    assert receiver.titles() == [f"{network.name}: 1 not acknowledged"]
    assert left.identifier in receiver.messages[0]["message"]
    # The end is told to whom the alert was told.
    for one in (seen, left):
        clear(one, 400)
    deliver(410)
    assert receiver.titles()[1:] == [f"{network.name}: 1 resolved"]
    assert left.identifier in receiver.messages[1]["message"]


def test_an_escalation_counts_from_when_people_could_know(network, sensor, rule, receiver):
    make_target(network, receiver.url(), escalate_after_s=300)
    feed(sensor, [(0, HOT)], now_s=5_000, late_s=4_000)
    assert offset(Notification.objects.get().due_at) == 5_300


# --- Silences -------------------------------------------------------------------------------------------


def silence(operator, sensor, *, until_s, from_s=0):
    return create_silence(
        user=operator,
        matchers={"sensor": sensor.identifier},
        starts_at=at(from_s),
        ends_at=at(until_s),
        now=at(from_s),
    )


@pytest.mark.usefixtures("rule", "target")
def test_a_silenced_alert_is_told_once_when_the_silence_ends(network, sensor, receiver, operator):
    silence(operator, sensor, until_s=100)
    other = make_sensor(network)
    for one in (sensor, other):
        fire(one, 1)
    deliver(11)
    assert receiver.titles() == [f"{network.name}: 1 firing"]
    assert other.identifier in receiver.messages[0]["message"]
    for second in range(20, 100, 10):
        assert deliver(second).messages == 0
    for second in range(100, 131, 2):
        deliver(second)
    assert [sensor.identifier in message["message"] for message in receiver.messages] == [False, True]


def test_a_silence_that_is_deleted_holds_nothing_back(sensor, rule, target, receiver, operator):
    made = silence(operator, sensor, until_s=100_000)
    fire(sensor, 1)
    deliver(11)
    delete_silence(made)
    deliver(21)
    assert len(receiver.messages) == 1


def test_an_alert_that_ends_silenced_is_told_at_no_time(sensor, rule, target, receiver, operator):
    silence(operator, sensor, until_s=100)
    fire(sensor, 1)
    deliver(11)
    clear(sensor, 50)
    deliver(1_000)
    assert receiver.messages == []
    assert told() == [("firing", "dropped", 0)]


def test_the_end_of_an_alert_that_was_told_waits_for_the_end_of_a_later_silence(
    sensor, rule, target, receiver, operator
):
    fire(sensor, 1)
    deliver(11)
    silence(operator, sensor, from_s=20, until_s=100)
    clear(sensor, 50)
    for second in (60, 70, 80, 90):
        assert deliver(second).messages == 0
    for second in (101, 111):
        deliver(second)
    assert receiver.titles() == [f"{sensor.network.name}: 1 firing", f"{sensor.network.name}: 1 resolved"]


# --- Failures -------------------------------------------------------------------------------------------


def test_a_target_that_fails_says_so_and_is_tried_again_later_and_later(sensor, rule, target, receiver):
    receiver.status = 503
    fire(sensor, 1)
    second = 11.0
    for number, pause_s in enumerate((*RETRY_AFTER_S, RETRY_AFTER_S[-1]), start=1):
        assert deliver(second).failed_messages == 1
        target.refresh_from_db()
        assert (target.last_error, target.failures) == ("The server answered with the status 503.", number)
        assert (offset(target.last_failed_at), target.last_sent_at) == (second, None)
        assert told() == [("firing", "waiting", number)]
        assert deliver(second + pause_s - 1).failed_messages == 0
        second += pause_s
    receiver.status = 200
    assert deliver(second).sent == 1
    target.refresh_from_db()
    assert (target.last_error, target.failures, target.retry_at) == ("", 0, None)
    assert Notification.objects.get().last_error == ""


def test_it_is_given_up_after_a_day_and_that_stays_to_be_seen(sensor, rule, target, receiver):
    receiver.status = 503
    fire(sensor, 1)
    deliver(11)
    assert deliver(11 + GIVE_UP_AFTER.total_seconds()).given_up == 1
    (row,) = Notification.objects.all()
    assert (row.state, row.attempts, row.last_error) == ("failed", 2, "The server answered with the status 503.")
    # Nobody was told that it fires, so nobody is told that it ended.
    receiver.status = 200
    clear(sensor, 200_000)
    assert deliver(300_000).messages == 0


def test_one_target_that_fails_does_not_hold_up_the_others(network, sensor, rule, receiver):
    broken = make_target(network, "json://127.0.0.1:1/nobody")
    good = make_target(network, receiver.url())
    fire(sensor, 1)
    done = deliver(11)
    assert (done.messages, done.failed_messages) == (1, 1)
    assert told(target=good) == [("firing", "sent", 1)]
    broken.refresh_from_db()
    assert broken.last_error == "The server refused the connection."


def test_another_address_is_tried_at_once(sensor, rule, target, receiver):
    receiver.status = 404
    fire(sensor, 1)
    for second in (11, 21):
        assert deliver(second).failed_messages == 1
    receiver.status = 200
    update_target(target, url=receiver.url("other"), now=at(22))
    assert deliver(22).sent == 1
    assert receiver.paths[-1] == "/other"


def test_a_disabled_target_is_told_nothing_also_not_later(sensor, rule, target, receiver):
    fire(sensor, 1)
    update_target(target, enabled=False, now=at(2))
    update_target(target, enabled=True, now=at(3))
    assert deliver(1_000).messages == 0
    assert told() == [("firing", "dropped", 0)]
    assert Notification.objects.get().last_error == "The target was disabled."


def test_what_was_claimed_by_a_killed_process_is_sent_when_its_claim_is_over(sensor, rule, target, receiver):
    fire(sensor, 1)
    # Killed here: the claim is committed, nothing was sent.
    assert claim_message(now=at(11)) is not None
    assert told() == [("firing", "waiting", 1)]
    assert [deliver(11 + second).messages for second in (0, 1, CLAIM_S - 1)] == [0, 0, 0]
    assert deliver(11 + CLAIM_S).sent == 1
    assert len(receiver.messages) == 1
    assert told() == [("firing", "sent", 2)]


def test_an_address_that_no_key_opens_is_a_failure_that_says_so(sensor, rule, target, receiver):
    NotificationTarget.objects.update(encrypted_url="gAAAAA")
    fire(sensor, 1)
    deliver(11)
    target.refresh_from_db()
    assert target.last_error == "The address cannot be read with any of NOTIFICATION_KEYS; set it again."


def test_a_deleted_network_takes_its_targets_and_notifications_along(network, sensor, rule, target):
    fire(sensor, 1)
    delete_network(network)
    assert (Notification.objects.count(), NotificationTarget.objects.count(), Alert.objects.count()) == (0, 0, 0)


# --- The edges ------------------------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command("notify", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_delivers_and_says_what_it_did(sensor, rule, target, receiver):
    fire(sensor, 1)
    expected = "1 notifications sent in 1 messages; 0 messages failed, 0 notifications given up.\n"
    assert run() == expected
    assert json.loads(run("--json")) == {"messages": 0, "failed_messages": 0, "sent": 0, "given_up": 0}
    assert len(receiver.messages) == 1


def test_the_command_encrypts_addresses_anew(target, settings):
    old = target.encrypted_url
    settings.NOTIFICATION_KEYS = ["k" * 40]
    NotificationTarget.objects.create(
        network=target.network, name="lost", scheme="json", encrypted_url="gAAAAA", url_changed_at=at(0)
    )
    assert json.loads(run("--reencrypt", "--json")) == {"encrypted": 1, "unreadable": 1}
    target.refresh_from_db()
    assert target.encrypted_url != old


def test_the_task_delivers_and_may_come_twice(sensor, rule, target, receiver):
    fire(sensor, 1)
    for _ in range(2):
        tasks.notify()
    assert len(receiver.messages) == 1
    assert "alerts.tasks.notify" in app.tasks
    entry = app.conf.beat_schedule["tell of alerts"]
    assert (entry["task"], timedelta(seconds=entry["schedule"]) <= timedelta(seconds=5)) == (
        "alerts.tasks.notify",
        True,
    )
