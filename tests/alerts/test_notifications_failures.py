"""Targets that fail, are disabled or are deleted, and what was claimed by a process that was killed."""

import pytest

from alerts.models import Alert, Notification, NotificationTarget
from alerts.services import update_target
from alerts.services.notify import CLAIM_S, GIVE_UP_AFTER, RETRY_AFTER_S, claim_message
from sensors.services import delete_network
from tests.alerts.making import at, clear, deliver, fire, make_target, offset, told

pytestmark = pytest.mark.django_db


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
