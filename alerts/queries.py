"""Every read of rules, alerts, silences and notifications that is shown or evaluated."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Count, QuerySet

from alerts.models import (
    Alert,
    AlertSeverity,
    AlertState,
    Notification,
    NotificationTarget,
    Rule,
    RuleKind,
    RuleScope,
    Silence,
)
from alerts.rendering import ALERT_RELATIONS
from sensors import queries as sensors_queries
from sensors.models import Network, Sensor, Watermark
from sensors.queries import AnyUser

# How often a sensor measures by a row `revision` of config_revision, in seconds: what its values hold under the key
# that the row `network` of its network names, if that is a positive number; else null.
NAMED_INTERVAL_S: Final = """(
    CASE WHEN jsonb_typeof(revision."values" -> NULLIF(network.interval_attribute, '')) = 'number'
         THEN NULLIF(GREATEST((revision."values" -> network.interval_attribute)::numeric, 0), 0)
    END
)"""

# Whether a row `rule` of alerts_rule covers a row `sensor` of sensors_sensor; `sensors_in_scope` in SQL.
MATCHES: Final = """(
    sensor.network_id = rule.network_id
    AND rule.kind <> 'bridge_away'
    AND (rule.kind <> 'gateway_silence' OR sensor.gateway_id IS NOT NULL)
    AND CASE rule.scope
        WHEN 'network' THEN true
        WHEN 'labels' THEN sensor.labels @> rule.labels
        ELSE EXISTS (
            SELECT 1 FROM alerts_rule_sensors AS listed
            WHERE listed.rule_id = rule.id AND listed.sensor_id = sensor.id
        )
    END
)"""


def visible_rules(user: AnyUser) -> QuerySet[Rule]:
    """Return the rules of the networks that `user` may see."""
    return sensors_queries.visible(user, Rule.objects.all())


def visible_alerts(user: AnyUser) -> QuerySet[Alert]:
    """Return the alerts of the networks that `user` may see, with what `alert_json` needs."""
    return sensors_queries.visible(user, Alert.objects.select_related(*ALERT_RELATIONS))


def visible_silences(user: AnyUser) -> QuerySet[Silence]:
    """Return the silences of the networks that `user` may see."""
    return sensors_queries.visible(user, Silence.objects.all())


def visible_targets(user: AnyUser) -> QuerySet[NotificationTarget]:
    """Return the notification targets of the networks that `user` may see."""
    return sensors_queries.visible(user, NotificationTarget.objects.all())


def visible_notifications(user: AnyUser) -> QuerySet[Notification]:
    """Return the notifications of the networks that `user` may see."""
    return sensors_queries.visible(user, Notification.objects.all(), network="target__network_id")


def open_alert_counts(user: AnyUser) -> dict[str, int]:
    """Return how many open alerts `user` may see: `pending`, `firing`, and of those firing each severity.

    All keys are there, also with 0: pending, firing, info, warning, critical.
    """
    counts: dict[str, int] = dict.fromkeys(
        [AlertState.PENDING.value, AlertState.FIRING.value, *AlertSeverity.values], 0
    )
    rows = (
        sensors_queries.visible(user, Alert.objects.filter(resolved_at__isnull=True))
        .order_by()
        .values_list("state", "severity")
        .annotate(number=Count("pk"))
    )
    for state, severity, number in rows:
        counts[state] += number
        if state == AlertState.FIRING:
            counts[severity] += number
    return counts


def matching_sensors(rule: Rule) -> QuerySet[Sensor]:
    """Return the sensors that the saved `rule` covers now; of a gateway rule those behind a gateway."""
    listed = rule.sensors.values("pk") if rule.scope == RuleScope.SENSORS else []
    return sensors_in_scope(rule.network, kind=rule.kind, scope=rule.scope, labels=rule.labels, listed=listed)


def sensors_in_scope(
    network: Network | int,
    *,
    kind: str,
    scope: str,
    labels: Mapping[str, Any] | None = None,
    listed: Any = (),
) -> QuerySet[Sensor]:
    """Return the sensors that a rule of this kind and scope would cover; one about the bridges covers none.

    labels: for the scope labels. listed: ids, or a subquery of them, for the scope sensors.
    """
    if kind == RuleKind.BRIDGE_AWAY:
        return Sensor.objects.none()
    sensors = Sensor.objects.filter(network=network)
    if scope == RuleScope.LABELS:
        sensors = sensors.filter(labels__contains=dict(labels or {}))
    elif scope == RuleScope.SENSORS:
        sensors = sensors.filter(pk__in=listed)
    if kind == RuleKind.GATEWAY_SILENCE:
        sensors = sensors.filter(gateway__isnull=False)
    return sensors


# In whole microseconds, at most what a bigint holds of them.
_INTERVALS: Final = f"""
SELECT sensor_id, trunc(LEAST(interval_s, 1e12) * 1000000)::bigint FROM (
    SELECT DISTINCT ON (revision.sensor_id) revision.sensor_id, {NAMED_INTERVAL_S} AS interval_s
    FROM config_revision AS revision
    JOIN sensors_sensor AS sensor ON sensor.id = revision.sensor_id
    JOIN sensors_network AS network ON network.id = sensor.network_id
    WHERE revision.sensor_id = ANY(%s) AND revision.acknowledged_at IS NOT NULL
    ORDER BY revision.sensor_id, revision.number DESC
) AS acknowledged WHERE interval_s IS NOT NULL
"""  # noqa: S608 - only constants of this module


def expected_intervals_us(sensor_ids: Collection[int]) -> dict[int, int]:
    """Return by sensor how often it measures, in microseconds, where the revision it acknowledged last says so."""
    with connection.cursor() as cursor:
        cursor.execute(_INTERVALS, [list(sensor_ids)])
        return dict(cursor.fetchall())


def active_silences(network_ids: Collection[int], *, at: datetime) -> list[Silence]:
    """Return the silences of these networks that hold at `at`."""
    return list(Silence.objects.filter(network_id__in=network_ids, starts_at__lte=at, ends_at__gt=at).order_by("pk"))


def silenced_alerts(alerts: Collection[Alert], *, at: datetime) -> set[int]:
    """Return the ids of those of `alerts` that are silenced at `at`; two queries at most."""
    silences = active_silences({alert.network_id for alert in alerts}, at=at)
    if not silences:
        return set()
    labels: dict[int, dict[str, Any]] = {}
    if any("label" in silence.matchers for silence in silences):
        labels = dict(Sensor.objects.filter(pk__in={alert.sensor_id for alert in alerts}).values_list("pk", "labels"))
    return {
        alert.pk
        for alert in alerts
        if any(_matches(silence, alert, labels.get(alert.sensor_id or 0, {})) for silence in silences)
    }


def _matches(silence: Silence, alert: Alert, labels: Mapping[str, Any]) -> bool:
    """Return whether all matchers of `silence` hold for `alert`, whose sensor carries `labels`."""
    if silence.network_id != alert.network_id:
        return False
    for name, wanted in silence.matchers.items():
        if name == "label":
            found = _carries(labels, wanted)
        elif name == "sensor":
            found = alert.sensor_identifier == wanted
        elif name == "rule":
            found = alert.rule_id == wanted
        elif name == "severity":
            found = alert.severity == wanted
        else:
            found = name == "network"
        if not found:
            return False
    return True


def _carries(labels: Mapping[str, Any], pair: str) -> bool:
    """Return whether `labels` hold `key:value`; a key may hold colons itself, a value is compared as text."""
    for key, value in labels.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if pair == f"{key}:{text}":
            return True
    return False


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to when silence may be judged, and since when the bridges have heard everything without a break.

    Where no bridge has ever reported, `steady_since` is None and nobody holds anything back. While one has not
    caught up at all, `judged_at` is the year 1, and nobody is silent by it.
    """

    judged_at: datetime
    steady_since: datetime | None


def silence_horizon(now: datetime) -> Horizon:
    """Return how far silence may be judged at `now`.

    Read it before the sensors' states: what was received up to it is then in them.
    """
    marks = Watermark.objects.values_list("drained_until", "steady_since")
    judged_at = sensors_queries.least_mark((drained_until for drained_until, _ in marks), now=now)
    steady = [steady_since for _, steady_since in marks if steady_since is not None]
    if len(steady) < len(marks):
        judged_at = datetime.min.replace(tzinfo=UTC)
    return Horizon(judged_at, max(steady, default=None))
