"""The thin edges: Celery's tasks and the command for installations without it."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from alerts import tasks
from alerts.models import Alert, EvaluationBatch
from fleet.celery import app
from sensors.models import SensorState
from tests.alerts.making import make_staleness, make_threshold, sample, store

pytestmark = pytest.mark.django_db


def run(*arguments):
    out = StringIO()
    call_command("evaluate_alerts", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def work(network, sensor):
    """Let one sample and one silent sensor wait."""
    make_threshold(network)
    make_staleness(network)
    store([sample(sensor, 1, 51.0)])
    SensorState.objects.filter(pk=sensor.pk).update(last_seen_at=timezone.now() - timedelta(hours=1))


def test_the_command_evaluates_sweeps_and_says_what_it_did(work):
    assert run() == (
        "1 samples evaluated in 1 transactions.\n1 sensors looked at, 1 newly silent, 1 alerts opened, 0 resolved.\n"
    )
    assert Alert.objects.count() == 2
    assert EvaluationBatch.objects.count() == 0


def test_the_command_prints_json(work):
    done = json.loads(run("--json"))
    assert done["evaluated"] == {"samples": 1, "transactions": 1}
    assert (done["swept"]["silent"], done["swept"]["opened"], done["swept"]["is_busy"]) == (1, 1, False)
    again = json.loads(run("--json"))
    assert (again["evaluated"]["samples"], again["swept"]["opened"]) == (0, 0)


def test_the_tasks_do_what_waits_and_may_come_twice(work):
    for _ in range(2):
        tasks.evaluate_lanes()
        tasks.sweep()
    assert Alert.objects.count() == 2


def test_a_hint_names_its_lanes_and_leaves_the_others(network, sensor):
    make_threshold(network)
    lanes = store([sample(sensor, 1, 51.0)])
    tasks.evaluate_lanes([lane for lane in range(16) if lane not in lanes])
    assert Alert.objects.count() == 0
    tasks.evaluate_lanes(list(lanes))
    assert Alert.objects.count() == 1


def test_the_names_by_which_the_tasks_are_called_stay():
    assert {"alerts.tasks.evaluate_lanes", "alerts.tasks.sweep"} <= set(app.tasks)
