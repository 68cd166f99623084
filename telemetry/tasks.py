"""Scheduled work on telemetry. Each task looks itself at what is due, so that a lost or repeated one is harmless."""

import structlog
from celery import shared_task
from django.utils import timezone

from telemetry.partitions import ensure_ahead
from telemetry.retention import prune, purge_deleted_sensors

log = structlog.get_logger(__name__)


@shared_task(name="telemetry.tasks.make_partitions")
def make_partitions() -> None:
    """Make the partitions of this month and the next two."""
    ensure_ahead(now=timezone.now())


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
