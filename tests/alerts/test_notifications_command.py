"""`manage.py notify` and the task that tells of alerts."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command

from alerts import tasks
from alerts.models import NotificationTarget
from fleet.celery import app
from tests.alerts.making import at, fire

pytestmark = pytest.mark.django_db


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
