"""Writes what notification targets are to be told of alerts, in the transaction of the alerts' transitions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from alerts.models import Alert, AlertSeverity, AlertState, NotificationTarget

# Held until the end, as the rows written below point at them: whoever deletes one waits for this transaction or is
# waited for. Before the notifications, in that order everywhere.
_TARGETS: Final = """
SELECT id FROM alerts_notificationtarget WHERE enabled AND network_id = ANY(%s) ORDER BY id FOR KEY SHARE
"""

# Counted from now on and not from `fired_at`, which is the sensor's: nobody could have acknowledged it earlier.
_OWE_FIRING: Final = """
INSERT INTO alerts_notification
    (alert_id, target_id, event, number, state, created_at, due_at, attempts, last_error)
SELECT alert.id, target.id, CASE WHEN target.escalate_after_s IS NULL THEN 'firing' ELSE 'escalation' END, 0,
       'waiting', %(now)s,
       %(now)s + COALESCE(target.escalate_after_s, target.group_wait_s) * interval '1 second', 0, ''
FROM alerts_alert AS alert
JOIN alerts_notificationtarget AS target ON target.network_id = alert.network_id AND target.id = ANY(%(targets)s)
WHERE alert.id = ANY(%(alerts)s)
  AND array_position(%(severities)s::text[], alert.severity::text)
      >= array_position(%(severities)s::text[], target.least_severity::text)
ORDER BY alert.id, target.id
ON CONFLICT DO NOTHING
"""

# What was in no message yet has told nobody, and neither has its end to be told.
_OWE_RESOLVED: Final = """
WITH owed AS (
    SELECT id, alert_id, target_id, event, state, attempts FROM alerts_notification
    WHERE alert_id = ANY(%(alerts)s) AND state IN ('waiting', 'sent') ORDER BY id FOR UPDATE
), dropped AS (
    UPDATE alerts_notification AS notification SET state = 'dropped', last_error = %(reason)s
    FROM owed WHERE notification.id = owed.id AND owed.state = 'waiting'
      AND (owed.attempts = 0 OR owed.event = 'repeat')
)
INSERT INTO alerts_notification
    (alert_id, target_id, event, number, state, created_at, due_at, attempts, last_error)
SELECT owed.alert_id, target.id, 'resolved', 0, 'waiting', %(now)s,
       %(now)s + target.group_wait_s * interval '1 second', 0, ''
FROM owed JOIN alerts_notificationtarget AS target ON target.id = owed.target_id
WHERE owed.event IN ('firing', 'escalation') AND (owed.state = 'sent' OR owed.attempts > 0)
  AND target.id = ANY(%(targets)s) AND target.tell_resolved
ORDER BY owed.alert_id, target.id
ON CONFLICT DO NOTHING
"""

RESOLVED_EARLY: Final = "The alert was resolved before it was told."


def with_targets(alerts: QuerySet[Alert]) -> QuerySet[Any]:
    """Return `alerts` with `has_targets`: whether their network has anybody to tell. Saves the query of its own."""
    targets = NotificationTarget.objects.filter(network_id=OuterRef("network_id"), enabled=True)
    return alerts.annotate(has_targets=Exists(targets))


def owe_notifications(alerts: Sequence[Alert], *, now: datetime) -> None:
    """Write what is to be told of the transition that each of `alerts` has just made, as part of it.

    What fires is owed to every enabled target of its network from its least severity on; what was resolved to
    those that were told, or may have been told, that it fired. Of what never fired nobody hears. Alerts that come
    from `with_targets` and have none cost nothing; others one query a call.
    """
    told = [alert for alert in alerts if alert.fired_at is not None and getattr(alert, "has_targets", True)]
    if not told:
        return
    with connection.cursor() as cursor:
        cursor.execute(_TARGETS, [list({alert.network_id for alert in told})])
        targets = [row[0] for row in cursor.fetchall()]
        if not targets:
            return
        # Whoever heard of every turn of an alert that flaps would stop listening; `calm_alerts` tells what still fires.
        firing = _ids([alert for alert in told if not alert.flapping], AlertState.FIRING)
        if firing:
            values: dict[str, Any] = {
                "alerts": firing,
                "targets": targets,
                "now": now,
                "severities": list(AlertSeverity.values),
            }
            cursor.execute(_OWE_FIRING, values)
        resolved = _ids(told, AlertState.RESOLVED)
        if resolved:
            values = {"alerts": resolved, "targets": targets, "now": now, "reason": RESOLVED_EARLY}
            cursor.execute(_OWE_RESOLVED, values)


def _ids(alerts: Collection[Alert], state: AlertState) -> list[int]:
    return [alert.pk for alert in alerts if alert.state == state]
