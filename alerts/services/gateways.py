"""One alert for a gateway instead of one for each of its sensors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from alerts.models import Alert, Resolution, Rule
from alerts.queries import Horizon
from alerts.services.announce import announce_alerts
from alerts.services.endings import resolve
from alerts.services.incidents import Silent, fallen_silent, still_silent
from alerts.services.periods import PERIOD_AND_GRACE
from alerts.services.transitions import firing_alert, open_alerts
from sensors.models import Gateway

# Only gateways with a silent sensor or an open alert: what is well costs nothing.
_TOUCHED: Final = """
SELECT state.rule_id, sensor.gateway_id FROM alerts_rulestate AS state
JOIN alerts_rule AS rule ON rule.id = state.rule_id AND rule.kind = 'gateway_silence'
JOIN sensors_sensor AS sensor ON sensor.id = state.sensor_id
WHERE state.silent_since IS NOT NULL AND sensor.gateway_id IS NOT NULL
UNION
SELECT rule_id, gateway_id FROM alerts_alert
WHERE resolved_at IS NULL AND gateway_id IS NOT NULL AND rule_id IS NOT NULL
"""

_LOCK: Final = """
SELECT rule.id, gateway.id FROM unnest(%s::bigint[], %s::bigint[]) AS touched (rule_id, gateway_id)
JOIN alerts_rule AS rule ON rule.id = touched.rule_id
JOIN sensors_gateway AS gateway ON gateway.id = touched.gateway_id
WHERE rule.enabled
FOR SHARE OF rule SKIP LOCKED FOR KEY SHARE OF gateway SKIP LOCKED
"""

# Silent sensors by when they were heard last. Who was never heard counts nowhere: it cannot have fallen silent.
_COUNT: Final = f"""
SELECT touched.rule_id, touched.gateway_id, alert.id, alert.members,
       count(seen.last_seen_at) AS heard,
       array_agg(sensor.identifier ORDER BY state.silent_since, sensor.identifier)
           FILTER (WHERE state.silent_since IS NOT NULL),
       array_agg(state.silent_since ORDER BY state.silent_since, sensor.identifier)
           FILTER (WHERE state.silent_since IS NOT NULL),
       array_agg(state.silent_since + {PERIOD_AND_GRACE} ORDER BY state.silent_since, sensor.identifier)
           FILTER (WHERE state.silent_since IS NOT NULL),
       max(seen.last_seen_at),
       (SELECT max(earlier.fired_at) FROM alerts_alert AS earlier
        WHERE earlier.rule_id = touched.rule_id AND earlier.gateway_id = touched.gateway_id
          AND earlier.resolution = 'by_hand')
FROM unnest(%s::bigint[], %s::bigint[]) AS touched (rule_id, gateway_id)
JOIN alerts_rule AS rule ON rule.id = touched.rule_id
LEFT JOIN alerts_alert AS alert ON alert.rule_id = touched.rule_id AND alert.gateway_id = touched.gateway_id
    AND alert.resolved_at IS NULL
LEFT JOIN (
    alerts_rulestate AS state
    JOIN sensors_sensor AS sensor ON sensor.id = state.sensor_id
    JOIN sensors_sensorstate AS seen ON seen.sensor_id = state.sensor_id
) ON state.rule_id = touched.rule_id AND sensor.gateway_id = touched.gateway_id
GROUP BY touched.rule_id, touched.gateway_id, alert.id
ORDER BY touched.rule_id, touched.gateway_id
"""  # noqa: S608 - only constants of this app


@dataclass(frozen=True, slots=True)
class GatewaysJudged:
    """How many alerts were opened and resolved, and which gateways could not be judged now."""

    opened: int = 0
    resolved: int = 0
    unjudged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Count:
    """How one gateway is doing by one rule.

    listed: the members of its open alert. heard: how many of its sensors ever were. silent: by when they were heard
    last. dismissed_at: when the newest alert fired that an operator resolved.
    """

    rule_id: int
    gateway_id: int
    alert_id: int | None
    listed: frozenset[str]
    heard: int
    silent: tuple[Silent, ...]
    last_seen_at: datetime | None
    dismissed_at: datetime | None

    @classmethod
    def load(cls, columns: Sequence[Any]) -> "_Count":
        """Return what a row of `_COUNT` says."""
        rule_id, gateway_id, alert_id, listed, heard, identifiers, since, overdue, *times = columns
        silent = tuple(map(Silent, identifiers or [], since or [], overdue or []))
        # As raw SQL gives it, jsonb is text.
        return cls(rule_id, gateway_id, alert_id, frozenset(json.loads(listed or "[]")), heard, silent, *times)


def judge_gateways(horizon: Horizon, *, now: datetime) -> GatewaysJudged:
    """Open, update and resolve the alerts of gateways; call it when everybody who is due was judged."""
    with connection.cursor() as cursor:
        cursor.execute(_TOUCHED)
        touched = set(cursor.fetchall())
        if not touched:
            return GatewaysJudged()
        cursor.execute(_LOCK, _columns(touched))
        locked = set(cursor.fetchall())
        # Counted after the lock: an editor may have changed the rule just before it.
        cursor.execute(_COUNT, _columns(locked))
        counts = [_Count.load(row) for row in cursor.fetchall()]
    rules = Rule.objects.select_related("network").in_bulk({count.rule_id for count in counts})
    to_open, resolved = [], 0
    for count in counts:
        rule = rules[count.rule_id]
        if count.alert_id is None:
            found = fallen_silent(
                count.silent,
                heard=count.heard,
                share=rule.share,
                window_s=rule.window_s,
                dismissed_at=count.dismissed_at,
            )
            if found:
                to_open.append((count, found))
        elif found := still_silent(
            count.silent, listed=count.listed, heard=count.heard, share=rule.share, window_s=rule.window_s
        ):
            _update_members(count.alert_id, count, found, now=now)
        else:
            reason = Resolution.HEARD if count.heard else Resolution.OUT_OF_SCOPE
            ended_at = count.last_seen_at if count.heard and count.last_seen_at else now
            resolved += len(resolve([count.alert_id], reason=reason, at=ended_at, now=now))
    _open(to_open, rules, horizon, now=now)
    unjudged = {gateway_id for _, gateway_id in touched - locked}
    return GatewaysJudged(len(to_open), resolved, tuple(sorted(unjudged)))


def _columns(pairs: set[tuple[int, int]]) -> list[list[int]]:
    ordered = sorted(pairs)
    return [[rule_id for rule_id, _ in ordered], [gateway_id for _, gateway_id in ordered]]


def _update_members(alert_id: int, count: _Count, found: Sequence[Silent], *, now: datetime) -> None:
    members = _names(found)
    if count.listed != set(members):
        Alert.objects.filter(pk=alert_id, resolved_at__isnull=True).update(members=members, updated_at=now)
        announce_alerts([alert_id], now=now)


def _names(found: Sequence[Silent]) -> list[str]:
    return sorted(each.identifier for each in found)


def _open(
    counts: list[tuple[_Count, Sequence[Silent]]], rules: dict[int, Rule], horizon: Horizon, *, now: datetime
) -> None:
    gateways = Gateway.objects.in_bulk({count.gateway_id for count, _ in counts})
    alerts = [
        firing_alert(
            rules[count.rule_id],
            gateway=gateways[count.gateway_id],
            gateway_identifier=gateways[count.gateway_id].identifier,
            members=_names(found),
            started_at=max(each.overdue_at for each in found),
            fired_at=horizon.judged_at,
            now=now,
        )
        for count, found in counts
    ]
    open_alerts(alerts, now=now)
