"""What the tests of the reading side share."""

from datetime import datetime, timedelta
from typing import Any

from sensors.models import Sensor, SensorState
from telemetry.models import RejectedMessage
from tests.api.callers import Caller
from tests.telemetry.rows import T0

# Of a list that fits on one page.
PAGE = {"next": None, "previous": None}


def at(seconds: float) -> datetime:
    """Return the moment so many seconds after T0."""
    return T0 + timedelta(seconds=seconds)


def iso(moment: datetime) -> str:
    """Return `moment` as the API writes it."""
    return moment.isoformat().replace("+00:00", "Z")


def set_latest(sensor: Sensor, value: dict[str, Any], *, measured_at: datetime = T0) -> None:
    """Make `value` the sensor's newest measurement, as ingest does."""
    SensorState.objects.filter(sensor=sensor).update(
        latest_measured_at=measured_at, latest_received_at=at(1), latest_revision=4, latest_value=value
    )


def reject(sensor: Sensor | None, **fields: Any) -> RejectedMessage:
    """Keep a rejected message."""
    values = {
        "topic": "measurements/x",
        "digest": bytes(16),
        "sensor_id": sensor and sensor.pk,
        "reason": "malformed_json",
        "detail": "no JSON",
        "count": 3,
        "first_at": at(0),
        "last_at": at(60),
        "payload": b"temp=21",
        "payload_bytes": 7,
    }
    return RejectedMessage.objects.create(**(values | fields))


def follow(caller: Caller, path: str) -> list[list[Any]]:
    """Return the results of every page from `path` on."""
    pages = []
    address: str | None = path
    while address is not None:
        page = caller.get(address).json()
        pages.append(page["results"])
        address = page["next"]
    return pages
