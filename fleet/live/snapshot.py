"""What a socket is shown before it hears of changes: the state of its sensors and their open alerts."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db.models import Q, QuerySet

from alerts.queries import silenced_alerts, visible_alerts
from alerts.rendering import alert_json
from config.queries import with_configuration
from sensors import queries
from sensors.models import Network, Sensor, User

# A page shows fewer at a time; whoever follows more reads the rest over HTTP (`truncated` says so).
MAX_SENSORS: Final = 1000
MAX_ALERTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Subjects:
    """Networks by slug, and sensors by identifier with the slug of their network."""

    networks: frozenset[str] = frozenset()
    sensors: dict[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> set[str]:
        """The slugs of all networks from which something is to be heard."""
        return {*self.networks, *self.sensors.values()}


def resolve(user: User, *, sensors: Collection[str], networks: Collection[str]) -> Subjects:
    """Return those of the named sensors and networks that exist and that `user` may see."""
    found = Subjects()
    if networks:
        slugs = queries.visible_networks(user).filter(slug__in=networks).values_list("slug", flat=True)
        found = Subjects(networks=frozenset(slugs))
    if sensors:
        rows = queries.visible_sensors(user).filter(identifier__in=sensors)
        found = Subjects(found.networks, dict(rows.values_list("identifier", "network__slug")))
    return found


def taken_away(user: User, *, networks: Collection[str]) -> bool:
    """Return whether one of `networks` exists and `user` may not see it."""
    visible = queries.visible_networks(user).values("pk")
    return Network.objects.filter(slug__in=networks).exclude(pk__in=visible).exists()


def snapshot(user: User, subjects: Subjects, *, now: datetime) -> str:
    """Return the frame `snapshot` of `subjects` as JSON text: what `user` may see of them at this moment."""
    sensors = _rows(user, subjects, now=now) if subjects.groups else []
    alerts = _alerts(user, subjects, now=now) if subjects.groups else []
    frame = {
        "type": "snapshot",
        "sensors": [_sensor_json(sensor) for sensor in sensors[:MAX_SENSORS]],
        "alerts": alerts[:MAX_ALERTS],
        "truncated": len(sensors) > MAX_SENSORS or len(alerts) > MAX_ALERTS,
    }
    return msgspec.json.encode(frame).decode()


def _rows(user: User, subjects: Subjects, *, now: datetime) -> list[Sensor]:
    chosen = queries.visible_sensors(user).filter(_of(subjects, sensor="identifier"))
    rows = queries.with_status(chosen, at=queries.judged_at(now)).select_related("network", "state")
    return list(with_configuration(rows).order_by("identifier")[: MAX_SENSORS + 1])


def _alerts(user: User, subjects: Subjects, *, now: datetime) -> list[dict[str, Any]]:
    chosen: QuerySet = visible_alerts(user).filter(_of(subjects, sensor="sensor_identifier"))
    rows = chosen.filter(resolved_at__isnull=True).order_by("-started_at", "-id")[: MAX_ALERTS + 1]
    alerts = list(rows)
    silenced = silenced_alerts(alerts, at=now)
    return [alert_json(alert, is_silenced=alert.pk in silenced) for alert in alerts]


def _of(subjects: Subjects, *, sensor: str) -> Q:
    return Q(network__slug__in=subjects.networks) | Q(**{f"{sensor}__in": list(subjects.sensors)})


def _sensor_json(sensor: Any) -> dict[str, Any]:
    """Return a sensor as in the REST API, without what does not change while one looks.

    sensor: a row of `with_status` and `with_configuration`.
    """
    state = sensor.state
    latest = None
    if state.latest_measured_at is not None:
        latest = {
            "measured_at": state.latest_measured_at,
            "revision": state.latest_revision,
            "value": state.latest_value,
        }
    return {
        "identifier": sensor.identifier,
        "name": sensor.name,
        "network": sensor.network.slug,
        "status": sensor.status,
        "last_seen_at": state.last_seen_at,
        "latest": latest,
        "configuration": {
            "latest_revision": sensor.latest_revision,
            "acknowledged_revision": sensor.acknowledged_revision,
            "running_revision": state.running_revision,
            "state": sensor.configuration_state,
        },
    }
