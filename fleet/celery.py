"""The Celery application and its schedule: evaluation of alerts, sweeps, notifications, retention.

No correctness rests on a task being delivered: what is to be done waits in PostgreSQL, and every tick looks there.
A tick that nobody took in time is dropped (`expires`), so that a worker that comes back finds no pile of them.
"""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_init, worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")

app = Celery("fleet")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_scheduler = "fleet.beat:TickingScheduler"
app.conf.beat_schedule = {
    # The aim is an alert within a second of its message; the bridge's hint usually comes first.
    "evaluate what waits": {"task": "alerts.tasks.evaluate_lanes", "schedule": 1.0, "options": {"expires": 3}},
    # An overdue sensor is to be seen within 2 s.
    "sweep the silent": {"task": "alerts.tasks.sweep", "schedule": 1.0, "options": {"expires": 3}},
    # Alerts wait some seconds for others anyway, to be told in one message.
    "tell of alerts": {"task": "alerts.tasks.notify", "schedule": 2.0, "options": {"expires": 6}},
    "worker's tick": {"task": "fleet.tasks.tick", "schedule": 2.0, "options": {"expires": 10}},
    "make partitions": {
        "task": "telemetry.tasks.make_partitions",
        "schedule": crontab(minute="17"),
        "options": {"expires": 3600},
    },
    # What is not rolled up yet costs readers time, never a value. One that is not taken in time does as the next one.
    "roll up": {"task": "telemetry.tasks.roll_up_telemetry", "schedule": 30.0, "options": {"expires": 30}},
    "purge deleted sensors": {
        "task": "telemetry.tasks.purge_deleted",
        "schedule": crontab(minute="*/5"),
        "options": {"expires": 300},
    },
    # A password that a device has fetched is kept for 15 minutes, if need be; not much longer.
    "sweep claims": {"task": "sensors.tasks.sweep_claims", "schedule": crontab(), "options": {"expires": 60}},
    "forget sessions": {
        "task": "fleet.tasks.forget_sessions",
        "schedule": crontab(hour="3", minute="7"),
        "options": {"expires": 3600},
    },
    "prune telemetry": {
        "task": "telemetry.tasks.prune_telemetry",
        "schedule": crontab(hour="2", minute="37"),
        "options": {"expires": 3600},
    },
}


@worker_init.connect
@beat_init.connect
def refuse_unsafe_settings(**_options: Any) -> None:
    """Stop here rather than run with settings that production must not have."""
    from fleet.checks import refuse_unsafe_settings as refuse  # noqa: PLC0415 - settings are ready only now

    refuse()


@worker_init.connect
@beat_init.connect
def limit_connections(**_options: Any) -> None:
    """Let the database end what a lost connection would leave behind, the lock of a lane above all."""
    from sensors.database import limit_connections as limit  # noqa: PLC0415 - settings are ready only now

    limit()


@worker_ready.connect
def collect_less(**_options: Any) -> None:
    """Let Python look for garbage less often."""
    from fleet.garbage import collect_less as less  # noqa: PLC0415 - imported when everything else is

    less()
