"""Which alerts are of a rule and sensor (or gateway) that fire and resolve too often."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import connection

from alerts.queries import Horizon
from alerts.services.announce import announce_transitions

# Few enough that a transaction takes part of a second; each is an update and a live event.
CALMED_PER_TRANSACTION: Final = 1_000

# The last transition that still makes it too often, by the newest episodes of the same rule and subject up to this
# one: few enough rows, whatever its history is. An episode makes two transitions, the newest perhaps one.
_MARK: Final = """
WITH rate AS (
    SELECT alert.id, COALESCE(alert.resolved_at, alert.fired_at) AS at, (
        SELECT moment FROM (
            SELECT unnest(ARRAY[episode.fired_at, episode.resolved_at]) AS moment FROM (
                (
                    SELECT fired_at, resolved_at FROM alerts_alert AS other
                    WHERE other.rule_id = alert.rule_id AND other.sensor_id = alert.sensor_id
                      AND other.started_at <= alert.started_at AND other.fired_at IS NOT NULL
                    ORDER BY other.started_at DESC LIMIT %(episodes)s
                )
                UNION ALL
                (
                    SELECT fired_at, resolved_at FROM alerts_alert AS other
                    WHERE other.rule_id = alert.rule_id AND other.sensor_id IS NULL
                      AND other.gateway_id = alert.gateway_id
                      AND other.started_at <= alert.started_at AND other.fired_at IS NOT NULL
                    ORDER BY other.started_at DESC LIMIT %(episodes)s
                )
            ) AS episode
        ) AS transition
        WHERE moment IS NOT NULL ORDER BY moment DESC OFFSET %(transitions)s LIMIT 1
    ) + %(window_s)s * interval '1 second' AS until
    FROM alerts_alert AS alert
    WHERE alert.id = ANY(%(ids)s) AND alert.fired_at IS NOT NULL
)
UPDATE alerts_alert AS alert SET
    flapping = COALESCE(rate.until >= rate.at, false),
    flapping_until = CASE WHEN rate.until >= rate.at THEN rate.until END
FROM rate WHERE alert.id = rate.id AND (alert.flapping OR rate.until >= rate.at)
RETURNING alert.id, alert.flapping
"""

_CALM: Final = """
WITH calm AS (
    SELECT id FROM alerts_alert WHERE flapping AND flapping_until < %(judged_at)s
    ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE alerts_alert AS alert SET flapping = false, flapping_until = NULL, updated_at = %(now)s
FROM calm WHERE alert.id = calm.id
RETURNING alert.id
"""


def mark_flapping(alert_ids: Collection[int]) -> set[int]:
    """Mark those of the alerts, which just fired or were resolved, that flap; return them.

    Inside the transaction of their transition, and before live views are told of it. An alert flaps when its rule and
    sensor (or gateway) made more than FLAPPING_TRANSITIONS transitions within FLAPPING_WINDOW_S up to its own last
    one; it fired and it was resolved are one each, at the alert's own times. Pending alerts made none.
    """
    if not alert_ids:
        return set()
    most = settings.FLAPPING_TRANSITIONS
    parameters: dict[str, Any] = {
        "ids": sorted(alert_ids),
        "transitions": most,
        "episodes": most // 2 + 2,
        "window_s": settings.FLAPPING_WINDOW_S,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MARK, parameters)
        return {alert_id for alert_id, is_flapping in cursor.fetchall() if is_flapping}


def calm_alerts(horizon: Horizon, *, now: datetime, limit: int = CALMED_PER_TRANSACTION) -> int:
    """Take the mark from alerts whose rate has fallen by the bridges' watermark; return from how many."""
    with connection.cursor() as cursor:
        cursor.execute(_CALM, {"judged_at": horizon.judged_at, "limit": limit, "now": now})
        calmed = sorted(alert_id for (alert_id,) in cursor.fetchall())
    announce_transitions(calmed, now=now)
    return len(calmed)
