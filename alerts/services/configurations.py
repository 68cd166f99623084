"""Sensors whose newest revision is refused, or not acknowledged in time, and their alerts. Costs what is due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection

from alerts.models import Alert, Resolution, Rule, RuleState
from alerts.queries import MATCHES, Horizon
from alerts.services.endings import resolve
from alerts.services.transitions import firing_alert, open_alerts

# Alerts opened in one transaction: 1,600 took 0.9 s on a busy machine.
OPENED_PER_TRANSACTION: Final = 1_000

_NEWEST: Final = """LATERAL (
    SELECT number, created_at, published_at, acknowledged_at, failed_at FROM config_revision
    WHERE sensor_id = sensor.id ORDER BY number DESC LIMIT 1
) AS newest"""

# What changed for nobody stays: an alert that an operator ended is not opened again by the same revision.
_WATCH: Final = f"""
INSERT INTO alerts_rulestate AS state (rule_id, sensor_id, waiting, revision, refused, due_at)
SELECT rule.id, sensor.id, false, newest.number, newest.failed_at IS NOT NULL,
       COALESCE(newest.failed_at, newest.created_at + rule.timeout_s * interval '1 second')
FROM (
    SELECT rule.id AS rule_id, sensor.id AS sensor_id
    FROM sensors_sensor AS sensor JOIN alerts_rule AS rule ON {MATCHES}
    WHERE sensor.id = ANY(%(sensors)s) AND rule.enabled AND rule.kind = 'configuration_failure'
    UNION
    SELECT rule.id, sensor.id
    FROM alerts_rule AS rule JOIN sensors_sensor AS sensor ON {MATCHES}
    WHERE rule.id = ANY(%(rules)s) AND rule.enabled AND rule.kind = 'configuration_failure'
) AS pair
JOIN alerts_rule AS rule ON rule.id = pair.rule_id
JOIN sensors_sensor AS sensor ON sensor.id = pair.sensor_id
CROSS JOIN {_NEWEST}
WHERE newest.acknowledged_at IS NULL
ORDER BY rule.id, sensor.id
ON CONFLICT (rule_id, sensor_id) DO UPDATE SET
    revision = excluded.revision, refused = excluded.refused, due_at = excluded.due_at
WHERE (state.revision, state.refused) IS DISTINCT FROM (excluded.revision, excluded.refused)
"""  # noqa: S608 - only constants of this app

_FORGET: Final = f"""
DELETE FROM alerts_rulestate AS state USING alerts_rule AS rule, sensors_sensor AS sensor CROSS JOIN {_NEWEST}
WHERE state.sensor_id = ANY(%(sensors)s) AND rule.id = state.rule_id AND sensor.id = state.sensor_id
  AND rule.kind = 'configuration_failure' AND newest.acknowledged_at IS NOT NULL
"""  # noqa: S608 - only constants of this app

# The alert's value is the number of the revision that it is about.
_ENDED: Final = f"""
SELECT alert.id, newest.number <> alert.value,
       CASE WHEN newest.number <> alert.value THEN newest.created_at ELSE newest.acknowledged_at END
FROM alerts_alert AS alert
JOIN alerts_rule AS rule ON rule.id = alert.rule_id AND rule.kind = 'configuration_failure'
JOIN sensors_sensor AS sensor ON sensor.id = alert.sensor_id
CROSS JOIN {_NEWEST}
WHERE alert.resolved_at IS NULL AND alert.sensor_id = ANY(%(sensors)s)
  AND (newest.number <> alert.value OR newest.acknowledged_at IS NOT NULL)
ORDER BY alert.id
"""  # noqa: S608 - only constants of this app

# Rows that somebody holds are left for the next sweep. A refusal is a fact; only a missing answer needs the watermark.
_DUE: Final = f"""
SELECT state.id, rule.id, sensor.id, sensor.identifier, newest.number, newest.failed_at,
       GREATEST(newest.created_at, newest.published_at, %(steady_since)s::timestamptz)
           + rule.timeout_s * interval '1 second'
FROM alerts_rulestate AS state
JOIN alerts_rule AS rule ON rule.id = state.rule_id AND rule.kind = 'configuration_failure' AND rule.enabled
JOIN sensors_sensor AS sensor ON sensor.id = state.sensor_id
CROSS JOIN {_NEWEST}
WHERE (state.due_at < %(judged_at)s OR (state.refused AND state.due_at IS NOT NULL))
  AND newest.number = state.revision AND newest.acknowledged_at IS NULL
ORDER BY state.id LIMIT %(limit)s
FOR UPDATE OF state SKIP LOCKED FOR SHARE OF rule SKIP LOCKED FOR KEY SHARE OF sensor SKIP LOCKED
"""  # noqa: S608 - only constants of this app

_POSTPONE: Final = """
UPDATE alerts_rulestate AS state SET due_at = later.due_at
FROM unnest(%s::bigint[], %s::timestamptz[]) AS later (id, due_at) WHERE state.id = later.id
"""


def watch_revisions(cursor: Any, *, rules: Sequence[int], sensors: Sequence[int], now: datetime) -> int:
    """Wait for the answers of the sensors that these rules cover, and of these sensors, by every rule (ids).

    Inside the sweep's lock, in a transaction that keeps them from being edited and deleted. The alert of a revision
    that one of `sensors` acknowledged is resolved, and so is that of a revision that is not the newest any more; the
    newest has its own time. Returns how many were resolved.
    """
    cursor.execute(_FORGET, {"sensors": sensors})
    cursor.execute(_WATCH, {"rules": rules, "sensors": sensors})
    cursor.execute(_ENDED, {"sensors": sensors})
    by_end: dict[tuple[Resolution, datetime], list[int]] = {}
    for alert_id, is_superseded, ended_at in cursor.fetchall():
        reason = Resolution.SUPERSEDED if is_superseded else Resolution.APPLIED
        by_end.setdefault((reason, ended_at), []).append(alert_id)
    return sum(len(resolve(ids, reason=reason, at=at, now=now)) for (reason, at), ids in by_end.items())


def open_failures(horizon: Horizon, *, now: datetime, limit: int = OPENED_PER_TRANSACTION) -> tuple[int, int]:
    """Open the alerts of revisions that were refused, or not acknowledged in time; return (looked at, opened).

    Inside the sweep's lock. The time is counted from the revision's making or publication, whichever is later, and
    anew from the end of the bridges' last absence; it is over strictly after `timeout_s`, by the watermark.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"judged_at": horizon.judged_at, "steady_since": horizon.steady_since, "limit": limit})
        rows = cursor.fetchall()
        later = [(row[0], row[6]) for row in rows if row[5] is None and row[6] >= horizon.judged_at]
        if later:
            cursor.execute(_POSTPONE, [list(column) for column in zip(*later, strict=True)])
    postponed = {state_id for state_id, _ in later}
    failed = [row for row in rows if row[0] not in postponed]
    if not failed:
        return len(rows), 0
    RuleState.objects.filter(pk__in=[row[0] for row in failed]).update(due_at=None)
    # Opened when the time was over; the sensor refused it since.
    is_open = set(
        Alert.objects.filter(
            rule__in={row[1] for row in failed}, sensor__in={row[2] for row in failed}, resolved_at__isnull=True
        ).values_list("rule_id", "sensor_id")
    )
    rules = Rule.objects.select_related("network").in_bulk({row[1] for row in failed})
    alerts = [
        firing_alert(
            rules[rule_id],
            sensor_id=sensor_id,
            sensor_identifier=identifier,
            value=float(number),
            started_at=failed_at or overdue_at,
            # A refusal is known at once.
            fired_at=failed_at or horizon.judged_at,
            now=now,
        )
        for _, rule_id, sensor_id, identifier, number, failed_at, overdue_at in failed
        if (rule_id, sensor_id) not in is_open
    ]
    return len(rows), open_alerts(alerts, now=now)
