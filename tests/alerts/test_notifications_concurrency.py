"""Many deliverers at once, and one that is killed in the middle."""

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.models import Alert, Notification, NotificationTarget
from alerts.services import deliver_notifications, evaluate_waiting
from alerts.services.notify import CLAIM_S
from tests.alerts.making import (
    at,
    deliver,
    feed,
    make_network,
    make_sensor,
    make_target,
    make_threshold,
    run_at_once,
    sample,
    store,
    told,
)
from tests.alerts.processes import running
from tests.alerts.receiver import receiving

pytestmark = pytest.mark.django_db(transaction=True)


def test_eight_deliverers_at_once_tell_each_transition_once(receiver):
    networks = [make_network() for _ in range(3)]
    for network in networks:
        for path in ("a", "b"):
            make_target(network, receiver.url(f"{network.slug}-{path}"), group_wait_s=0)
        make_threshold(network)
    sensors = [make_sensor(network) for network in networks for _ in range(4)]
    for second in range(1, 7):
        store([sample(sensor, second, 51.0 if second % 2 else 1.0) for sensor in sensors], now=at(second))
        run_at_once(lambda second=second: evaluate_waiting(clock=lambda: at(second)), 8)
        receiver.gate.clear()
        returned: list[int] = []

        def work(second=second, returned=returned):
            deliver(second)
            returned.append(second)
            # Two are at it and wait for an answer; the others have found nothing that they may send.
            if len(returned) == 6:
                receiver.gate.set()

        run_at_once(work, 8)
        assert deliver(second).messages == 0
    assert Alert.objects.filter(state="resolved").count() == 3 * 12
    assert set(told()) == {("firing", "sent", 1), ("resolved", "sent", 1)}
    lines = [
        (path, line)
        for path, message in zip(receiver.paths, receiver.messages, strict=True)
        for line in message["message"].splitlines()
    ]
    assert len(lines) == len(set(lines)) == Notification.objects.count() == 2 * 12 * 6
    assert len(receiver.messages) == 6 * 6
    assert NotificationTarget.objects.filter(claimed_until__isnull=False).count() == 0


def test_a_deliverer_killed_while_it_sends_repeats_that_one_message_at_most(receiver):
    network = make_network()
    sensor = make_sensor(network)
    make_threshold(network)
    make_target(network, receiver.url(), group_wait_s=0)
    feed(sensor, [(1, 51.0)], now_s=1)
    receiver.gate.clear()
    with running("manage.py", "notify"):
        assert receiver.arrived.wait(60)
    receiver.gate.set()
    assert told() == [("firing", "waiting", 1)]
    now = timezone.now()
    assert deliver_notifications(clock=lambda: now).messages == 0
    later = now + timedelta(seconds=CLAIM_S)
    assert deliver_notifications(clock=lambda: later).sent == 1
    assert deliver_notifications(clock=lambda: later + timedelta(days=1)).messages == 0
    assert len(receiver.messages) == 2
    assert told() == [("firing", "sent", 2)]


def test_a_target_that_hangs_holds_up_its_network_only(receiver):
    slow_network, network = make_network(), make_network()
    with receiving() as slow:
        slow.gate.clear()
        make_target(slow_network, slow.url(), group_wait_s=0)
        make_target(slow_network, receiver.url("same-network"), group_wait_s=0)
        make_target(network, receiver.url("other-network"), group_wait_s=0)
        for one in (slow_network, network):
            make_threshold(one)
            feed(make_sensor(one), [(1, 51.0)], now_s=1)

        def first():
            deliver(1)

        def second():
            assert slow.arrived.wait(20)
            deliver(1)
            assert receiver.paths == ["/other-network"]
            slow.gate.set()

        works = [first, second]

        def either():
            works.pop()()

        run_at_once(either, 2)
    assert sorted(receiver.paths) == ["/other-network", "/same-network"]
    assert set(told()) == {("firing", "sent", 1)}
