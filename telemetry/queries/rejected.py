"""What came in and could not be stored."""

from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from sensors.models import Sensor
from sensors.queries import AnyUser, sees_everything, visible_sensors
from telemetry.models import RejectedMessage


def visible_rejected(
    user: AnyUser,
    *,
    reason: str | None = None,
    sensor: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> QuerySet[Any]:
    """Return the rejected messages that `user` may see, with `sensor` (identifier or None), the last one first.

    Those of a known sensor: who may see the sensor. All others, and those of deleted sensors: staff.
    In a range is what came at least once between `start` and `end`, as far as first and last time tell.
    """
    rejected = RejectedMessage.objects.all()
    if not sees_everything(user):
        rejected = rejected.filter(sensor_id__in=visible_sensors(user).values("pk"))
    if sensor is not None:
        rejected = rejected.filter(sensor_id__in=visible_sensors(user).filter(identifier=sensor).values("pk"))
    if reason is not None:
        rejected = rejected.filter(reason=reason)
    if start is not None:
        rejected = rejected.filter(last_at__gte=start)
    if end is not None:
        rejected = rejected.filter(first_at__lt=end)
    identifiers = Sensor.objects.filter(pk=OuterRef("sensor_id")).values("identifier")
    return rejected.annotate(sensor=Subquery(identifiers)).order_by("-last_at", "-id")
