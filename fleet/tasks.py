"""Tasks of the project itself."""

from datetime import UTC, datetime

from celery import shared_task

from sensors.activity import record_tick


@shared_task(name="fleet.tasks.tick")
def tick() -> None:
    """Record that a worker takes tasks and reaches the database."""
    record_tick("worker", now=datetime.now(UTC))
