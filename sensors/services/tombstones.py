"""What deleted sensors left behind at the broker."""

from collections.abc import Iterable
from datetime import datetime

from sensors.models import SensorTombstone


def to_clear(limit: int = 1_000, *, after: int = 0) -> list[SensorTombstone]:
    """Return the deleted sensors whose retained message may still be at the broker, oldest first, past id `after`."""
    return list(SensorTombstone.objects.filter(cleared_at__isnull=True, id__gt=after).order_by("id")[:limit])


def mark_cleared(ids: Iterable[int], *, now: datetime) -> int:
    """Record that the broker confirmed the empty message of these; return how many were new."""
    return SensorTombstone.objects.filter(id__in=list(ids), cleared_at__isnull=True).update(cleared_at=now)
