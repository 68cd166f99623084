"""Tasks of the project itself."""

from datetime import UTC, datetime

import structlog
from celery import shared_task

from fleet.accounts.sessions import forget_sessions
from sensors.activity import record_tick

log = structlog.get_logger(__name__)


@shared_task(name="fleet.tasks.tick")
def tick() -> None:
    """Record that a worker takes tasks and reaches the database."""
    record_tick("worker", now=datetime.now(UTC))


@shared_task(name="fleet.tasks.forget_sessions")
def forget() -> None:
    """Forget people's sessions that are over: nothing else does."""
    log.info("sessions were forgotten", number=forget_sessions(now=datetime.now(UTC)))
