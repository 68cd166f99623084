"""Repeats and escalations of what nobody acknowledges."""

import pytest

from alerts.models import Alert, Notification
from alerts.services import acknowledge_alert, update_target
from tests.alerts.making import HOT, at, clear, deliver, feed, fire, make_sensor, make_target, offset, told

pytestmark = pytest.mark.django_db


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
