"""Scheduled work on claims. A task that is lost or repeated is harmless: the next one does the same."""

import structlog
from celery import shared_task
from django.utils import timezone

from sensors.services import sweep_claims

log = structlog.get_logger(__name__)


@shared_task(name="sensors.tasks.sweep_claims")
def sweep() -> None:
    """End claims that nobody decided, and forget passwords that were fetched."""
    swept = sweep_claims(now=timezone.now())
    if swept.given_up or swept.forgotten or swept.passwords:
        log.info("claims were swept", given_up=swept.given_up, forgotten=swept.forgotten, passwords=swept.passwords)
