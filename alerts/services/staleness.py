"""Who is silent, who is heard again, and the alerts of single sensors."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import connection

from alerts.models import Rule, RuleState
from alerts.queries import Horizon
from alerts.services.periods import ALLOWED, IS_WATCHED, PERIOD_AND_GRACE, UNHEARD_SINCE
from alerts.services.transitions import firing_alert, open_alerts, record_transitions

# Due sensors of one transaction: about 100 ms when all of them are only looked at and set to their next moment.
JUDGED_PER_TRANSACTION: Final = 5_000
# Alerts opened in one transaction; opening one costs about 0.4 ms, most of it outside the database.
OPENED_PER_TRANSACTION: Final = 2_000

# Rows that somebody holds are left for the next sweep, so nothing here waits for a lock. In these statements each row
# is looked up by its key, whatever the planner believes: its statistics are of rows that have been moved on since, and
# where many of them seemed to be due it read whole tables for a few.
_RECOVER: Final = f"""
WITH heard AS (
    SELECT state.id, seen.last_seen_at FROM alerts_rulestate AS state
    CROSS JOIN LATERAL (SELECT * FROM sensors_sensorstate WHERE sensor_id = state.sensor_id LIMIT 1) AS seen
    WHERE state.silent_since IS NOT NULL AND seen.last_seen_at > state.silent_since
    FOR UPDATE OF state SKIP LOCKED
)
UPDATE alerts_rulestate AS state SET
    silent_since = NULL, waiting = false,
    check_at = GREATEST(heard.last_seen_at, %(steady_since)s) + {PERIOD_AND_GRACE}
FROM heard, alerts_rule AS rule, sensors_sensor AS sensor
WHERE state.id = heard.id AND state.id = ANY(ARRAY(SELECT id FROM heard))
  AND rule.id = state.rule_id AND sensor.id = state.sensor_id
RETURNING state.rule_id, state.sensor_id, heard.last_seen_at
"""  # noqa: S608 - only constants of this app

# An alert never ends before it fired, and an operator's word stands.
_RESOLVE_HEARD: Final = """
WITH heard AS (
    SELECT alert.id, new.last_seen_at FROM alerts_alert AS alert
    JOIN unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) AS new (rule_id, sensor_id, last_seen_at)
        ON alert.rule_id = new.rule_id AND alert.sensor_id = new.sensor_id
    WHERE alert.resolved_at IS NULL
    ORDER BY alert.id FOR UPDATE OF alert
)
UPDATE alerts_alert AS alert SET
    state = 'resolved', resolution = 'heard', resolved_at = GREATEST(alert.fired_at, heard.last_seen_at),
    updated_at = %s
FROM heard WHERE alert.id = heard.id
RETURNING alert.id
"""

# Strictly after period and grace, counted anew from the end of the bridges' last absence. Who was never heard and is
# not silent is looked at again a period later at the latest: by then a first message may be that old.
_JUDGE: Final = f"""
WITH due AS (
    SELECT id, rule_id, sensor_id FROM alerts_rulestate
    WHERE check_at < %(judged_at)s ORDER BY check_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), looked_at AS (
    SELECT due.id, rule.kind, {UNHEARD_SINCE} AS unheard_since,
           CASE WHEN {IS_WATCHED} THEN GREATEST({UNHEARD_SINCE}, %(steady_since)s) + {ALLOWED} END AS silent_after,
           CASE WHEN seen.last_seen_at IS NULL THEN %(judged_at)s + {PERIOD_AND_GRACE} END AS look_again_at
    FROM due
    JOIN alerts_rule AS rule ON rule.id = due.rule_id
    JOIN sensors_sensor AS sensor ON sensor.id = due.sensor_id
    JOIN sensors_sensorstate AS seen ON seen.sensor_id = due.sensor_id
    JOIN sensors_network AS network ON network.id = sensor.network_id
), judged AS (
    SELECT *, COALESCE(silent_after < %(judged_at)s, false) AS is_silent FROM looked_at
)
UPDATE alerts_rulestate AS state SET
    silent_since = CASE WHEN is_silent THEN unheard_since END,
    waiting = is_silent AND kind = 'staleness',
    check_at = CASE WHEN NOT is_silent THEN LEAST(silent_after, look_again_at) END
FROM judged WHERE state.id = judged.id AND state.id = ANY(ARRAY(SELECT id FROM due))
RETURNING is_silent
"""  # noqa: S608 - only constants of this app

_TO_OPEN: Final = f"""
SELECT state.id, rule.id, sensor.id, sensor.identifier, state.silent_since + {ALLOWED}
FROM alerts_rulestate AS state
JOIN alerts_rule AS rule ON rule.id = state.rule_id
JOIN sensors_sensor AS sensor ON sensor.id = state.sensor_id
JOIN sensors_sensorstate AS seen ON seen.sensor_id = state.sensor_id
JOIN sensors_network AS network ON network.id = sensor.network_id
WHERE state.waiting AND rule.enabled
  AND (sensor.gateway_id IS NULL OR sensor.gateway_id <> ALL(%(unjudged_gateways)s))
  -- The gateway's own alert speaks for every sensor that its rule covers.
  AND NOT EXISTS (
      SELECT 1 FROM alerts_alert AS alert
      JOIN alerts_rulestate AS covered ON covered.rule_id = alert.rule_id AND covered.sensor_id = state.sensor_id
      WHERE alert.gateway_id = sensor.gateway_id AND alert.resolved_at IS NULL
  )
ORDER BY state.id LIMIT %(limit)s
FOR UPDATE OF state SKIP LOCKED FOR SHARE OF rule SKIP LOCKED FOR KEY SHARE OF sensor SKIP LOCKED
"""  # noqa: S608 - only constants of this app


def recover_heard(horizon: Horizon, *, now: datetime) -> int:
    """Take whoever was heard since out of silence; return how many alerts that resolved."""
    with connection.cursor() as cursor:
        cursor.execute(_RECOVER, {"steady_since": horizon.steady_since})
        heard = cursor.fetchall()
        if not heard:
            return 0
        cursor.execute(_RESOLVE_HEARD, [*(list(column) for column in zip(*heard, strict=True)), now])
        resolved = [row[0] for row in cursor.fetchall()]
    record_transitions(resolved, now=now)
    return len(resolved)


def judge_due(horizon: Horizon, *, limit: int = JUDGED_PER_TRANSACTION) -> tuple[int, int]:
    """Look at those whose moment has come; return how many were looked at and how many are silent.

    Whoever was heard in time gets their next moment. Opens nothing: alerts are opened once everybody who is due
    was judged, so that a gateway is seen whole.
    """
    with connection.cursor() as cursor:
        cursor.execute(_JUDGE, {"judged_at": horizon.judged_at, "steady_since": horizon.steady_since, "limit": limit})
        rows = cursor.fetchall()
    return len(rows), sum(is_silent for (is_silent,) in rows)


def open_waiting(
    horizon: Horizon, *, unjudged_gateways: Sequence[int], now: datetime, limit: int = OPENED_PER_TRANSACTION
) -> int:
    """Open the alerts of silent sensors that no gateway's alert speaks for; return how many.

    unjudged_gateways: gateways whose rule is being edited at this moment; their sensors wait for the next sweep.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TO_OPEN, {"unjudged_gateways": list(unjudged_gateways), "limit": limit})
        rows = cursor.fetchall()
    if not rows:
        return 0
    rules = Rule.objects.select_related("network").in_bulk({row[1] for row in rows})
    RuleState.objects.filter(pk__in=[row[0] for row in rows]).update(waiting=False)
    alerts = [
        firing_alert(
            rules[rule_id],
            sensor_id=sensor_id,
            sensor_identifier=identifier,
            started_at=overdue_at,
            fired_at=horizon.judged_at,
            now=now,
        )
        for _, rule_id, sensor_id, identifier, overdue_at in rows
    ]
    return open_alerts(alerts, now=now)
