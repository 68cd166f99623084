"""Sensors that were heard."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from sensors.models import Sensor, SensorState


def heard(sensor: Sensor, ago_s: float, **fields: Any) -> None:
    """Let the sensor have been heard so many seconds ago; fields: of its state."""
    SensorState.objects.filter(sensor=sensor).update(last_seen_at=timezone.now() - timedelta(seconds=ago_s), **fields)
