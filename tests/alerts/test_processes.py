"""Evaluators, sweeps and deliverers as the processes that they are: killed outright, and too many of them at once."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from alerts.models import Alert, EvaluationBatch, LogNote, Notification
from fleet.celery import app
from fleet.stack.valkey import ValkeyServer
from sensors.models import Network
from tests.alerts.making import (
    COOL,
    HOT,
    START,
    heard,
    history,
    make_network,
    make_sensor,
    make_staleness,
    make_target,
    make_threshold,
    sample,
    store,
    told,
)
from tests.alerts.making_logs import log, make_log_rule
from tests.alerts.processes import killed_while_it_writes, running
from tests.alerts.receiver import Receiver
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

EVALUATORS = 8


def now_s() -> float:
    """Return the seconds since START, for processes that go by the clock."""
    return (timezone.now() - START).total_seconds()


def samples_wait(network: Network, second: float) -> None:
    """Let samples wait that open an alert, end it, and open another."""
    sensor = make_sensor(network)
    make_threshold(network)
    for later_s, value in enumerate((HOT, COOL, HOT)):
        store([sample(sensor, second + later_s, value)])


def log_messages_wait(network: Network, second: float) -> None:
    """Let log messages wait that open an alert that is long over, and one that is not."""
    sensor = make_sensor(network)
    make_log_rule(network, count=2, window_s=3_600)
    log(sensor, 1, 2, second - 1, second)


def sensors_are_silent(network: Network, second: float) -> None:
    """Let two sensors be silent of which nobody knows that yet."""
    make_staleness(network)
    for earlier_s in (1_000, 1_001):
        heard(make_sensor(network), second - earlier_s)


@pytest.mark.parametrize(
    ("let_wait", "table"),
    [
        (samples_wait, "alerts_notification"),
        (log_messages_wait, "alerts_alert"),
        (sensors_are_silent, "alerts_alert"),
    ],
)
def test_an_evaluator_killed_while_it_writes_leaves_all_of_it_to_the_next_one(
    let_wait: Callable[[Network, float], None], table: str, receiver: Receiver
) -> None:
    killed, undisturbed = make_network(), make_network()
    for network in (killed, undisturbed):
        make_target(network, receiver.url())
    second = now_s()
    let_wait(killed, second)
    waiting = (EvaluationBatch.objects.count(), LogNote.objects.count())
    killed_while_it_writes(table, "manage.py", "evaluate_alerts")
    assert (Alert.objects.count(), Notification.objects.count()) == (0, 0)
    assert (EvaluationBatch.objects.count(), LogNote.objects.count()) == waiting
    let_wait(undisturbed, second)
    call_command("evaluate_alerts")
    assert len(history(network=killed)) == 2
    assert history(network=killed) == history(network=undisturbed)
    assert told(alert__network=killed) == told(alert__network=undisturbed) != []
    assert (EvaluationBatch.objects.count(), LogNote.objects.count()) == (0, 0)


def test_eight_evaluators_and_two_beats_make_one_alert_and_one_notification_of_each_transition(
    receiver: Receiver, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    network = make_network()
    make_target(network, receiver.url(), group_wait_s=0)
    make_threshold(network)
    make_staleness(network, period_s=1, grace_s=0)
    # No more than one message lists.
    measuring = [make_sensor(network) for _ in range(8)]
    reporting = [make_sensor(network) for _ in range(2)]

    def call_everybody() -> None:
        with app.connection_for_write(own_valkey.url) as broker:
            for name in ("evaluate_lanes", "sweep", "notify"):
                for _ in range(EVALUATORS):
                    app.send_task(f"alerts.tasks.{name}", connection=broker)

    def wait_told(count: int, state: str, kind: str) -> None:
        call_everybody()
        wait_until(lambda: Alert.objects.filter(state=state, rule__kind=kind).count() == count, 60, f"{kind} {state}")
        call_everybody()
        wait_until(lambda: not Notification.objects.filter(state="waiting").exists(), 60, "everything to be told")

    with ExitStack() as stack:
        celery = ("-m", "celery", "-A", "fleet")
        worker = (*celery, "worker", "--pool", "threads", "--concurrency", str(EVALUATORS), "--without-mingle")
        stack.enter_context(running(*worker, REDIS_URL=own_valkey.url))
        for number in range(2):
            beat = (*celery, "beat", "--schedule", str(tmp_path / f"beat-{number}"))
            stack.enter_context(running(*beat, REDIS_URL=own_valkey.url))
        # A line tells whole seconds; each is to be another one.
        begun_s = now_s()
        for second, (state, value, count) in enumerate(
            [("firing", HOT, 8), ("resolved", COOL, 8), ("firing", HOT, 8), ("resolved", COOL, 16)]
        ):
            store([sample(sensor, begun_s + second, value) for sensor in measuring])
            wait_told(count, state, "threshold")
        for turn in range(2):
            for sensor in reporting:
                heard(sensor, now_s())
            if turn:
                wait_told(2, "resolved", "staleness")
            wait_told(2, "firing", "staleness")

    assert Alert.objects.filter(rule__kind="threshold").count() == 8 * 2
    assert Alert.objects.filter(rule__kind="staleness").count() == 2 * 2
    assert Counter(told()) == {("firing", "sent", 1): 8 * 2 + 2 * 2, ("resolved", "sent", 1): 8 * 2 + 2}
    lines = [line for message in receiver.messages for line in message["message"].splitlines()]
    assert len(lines) == len(set(lines)) == 8 * 4 + 2 * 3
