"""What Celery runs: all look at what is there, so a lost or doubled message changes nothing."""

from collections.abc import Sequence

from celery import shared_task
from django.utils import timezone

from alerts import services


@shared_task
def evaluate_lanes(lanes: Sequence[int] | None = None) -> None:
    """Evaluate what waits in `lanes`, or wherever something waits."""
    services.evaluate_waiting(clock=timezone.now, lanes=lanes)
    services.evaluate_logs(clock=timezone.now, lanes=lanes)


@shared_task
def sweep() -> None:
    """Judge silence and tell live views of changed statuses."""
    services.sweep(now=timezone.now())


@shared_task
def notify() -> None:
    """Tell notification targets what they are owed."""
    services.deliver_notifications(clock=timezone.now)
