"""Scheduled work on claims and invitations. A task that is lost or repeated is harmless: the next one does the same."""

import structlog
from celery import shared_task
from django.utils import timezone

from sensors.services import forget_invitations, sweep_claims

log = structlog.get_logger(__name__)


@shared_task(name="sensors.tasks.sweep_claims")
def sweep() -> None:
    """End claims that nobody decided, and forget passwords that were fetched and invitations that are long over."""
    now = timezone.now()
    swept = sweep_claims(now=now)
    if swept.given_up or swept.forgotten or swept.passwords:
        log.info("claims were swept", given_up=swept.given_up, forgotten=swept.forgotten, passwords=swept.passwords)
    if forgotten := forget_invitations(now=now):
        log.info("invitations were forgotten", number=forgotten)
