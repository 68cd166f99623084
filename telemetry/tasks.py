"""Scheduled work on telemetry. Each task looks itself at what is due, so that a lost or repeated one is harmless."""

from typing import Final

import structlog
from celery import shared_task
from django.utils import timezone

from telemetry.partitions import ensure_ahead
from telemetry.retention import prune, purge_deleted_sensors
from telemetry.rollups import roll_up

log = structlog.get_logger(__name__)

# Of the 30 between two runs: a backlog leaves most of a core to ingest, and the worker to the other tasks.
ROLL_UP_LIMIT_S: Final = 10.0


@shared_task(name="telemetry.tasks.make_partitions")
def make_partitions() -> None:
    """Make the partitions of this month and the next two."""
    ensure_ahead(now=timezone.now())


@shared_task(name="telemetry.tasks.roll_up_telemetry")
def roll_up_telemetry() -> None:
    """Roll up the hours that are over, and again those to which something came late."""
    done = roll_up(now=timezone.now(), limit_s=ROLL_UP_LIMIT_S)
    if done.steps:
        log.info("telemetry was rolled up", hours=done.hours, again=done.again, measurements=done.measurements)


@shared_task(name="telemetry.tasks.prune_telemetry")
def prune_telemetry() -> None:
    """Delete what is older than its network keeps it."""
    report = prune(now=timezone.now())
    if report.steps:
        log.info("telemetry was pruned", rows=report.rows, steps=len(report.steps))


@shared_task(name="telemetry.tasks.purge_deleted")
def purge_deleted() -> None:
    """Delete the telemetry of deleted sensors."""
    report = purge_deleted_sensors(now=timezone.now())
    if report.steps:
        log.info("deleted sensors were purged", rows=report.rows, steps=len(report.steps))
