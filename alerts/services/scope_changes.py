"""Keeps the states of silence and configuration rules in step with sensors and revisions; costs what changed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from alerts.models import Alert, Resolution
from alerts.queries import MATCHES, Horizon
from alerts.services.configurations import watch_revisions
from alerts.services.endings import end_alerts
from alerts.services.periods import ALLOWED, CHECK_AT, IS_WATCHED, UNHEARD_SINCE, store_configured_periods

# Few enough that a transaction takes part of a second; a new rule is one note, whatever it covers.
CHANGES_PER_TRANSACTION: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Changed:
    """Ids of the rules and sensors whose matching may have changed."""

    rules: list[int]
    sensors: list[int]

    @property
    def parameters(self) -> dict[str, Any]:
        return {"rules": self.rules, "sensors": self.sensors}


def match_changes(horizon: Horizon, *, now: datetime, limit: int = CHANGES_PER_TRANSACTION) -> tuple[int, int]:
    """Match changed sensors and rules anew; return how many notes of changes were taken, and alerts resolved.

    Inside the sweep's lock. Both sides leave their notes in their own transactions, and each note is followed up
    after both: whichever of a rule and a sensor is committed later sees the other. The same holds for revisions and
    the answers to them; where these leave the sensor's period as it is, only rules about configurations look at it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM alerts_scopechange WHERE id IN ("
            "  SELECT id FROM alerts_scopechange ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED"
            ") RETURNING rule_id, sensor_id, of_configuration",
            [limit],
        )
        notes = cursor.fetchall()
        if not notes:
            return 0, 0
        rules = sorted({rule_id for rule_id, _, _ in notes if rule_id is not None})
        sensors = sorted({sensor_id for _, sensor_id, _ in notes if sensor_id is not None})
        _lock(cursor, rules=rules, sensors=sensors)
        moved = store_configured_periods(cursor, sensors)
        moved |= {sensor_id for _, sensor_id, of_configuration in notes if sensor_id and not of_configuration}
        changed = _Changed(rules=rules, sensors=sorted(moved))
        cursor.execute(_REMOVE_STATES, changed.parameters)
        resolved = _end_uncovered(cursor, changed, now=now) + _judge_again(cursor, changed, horizon, now=now)
        cursor.execute(_INSERT_STATES, {**changed.parameters, "judged_at": horizon.judged_at})
        resolved += watch_revisions(cursor, rules=rules, sensors=sensors, now=now)
    return len(notes), resolved


def _lock(cursor: Any, *, rules: Collection[int], sensors: Collection[int]) -> None:
    """Wait for who is deleting or editing the sensors, their networks, and the rules that may cover them.

    Skipped here, they would be missed for good.
    """
    cursor.execute("SELECT 1 FROM sensors_sensor WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [sensors])
    # As arrays: of a table that was just filled the planner knows nothing, and would look through it by network.
    cursor.execute(
        "SELECT 1 FROM sensors_network WHERE id = ANY(ARRAY("
        "  SELECT DISTINCT network_id FROM sensors_sensor WHERE id = ANY(%s)"
        ")) ORDER BY id FOR SHARE",
        [sensors],
    )
    cursor.execute(
        "SELECT 1 FROM alerts_rule WHERE id = ANY(%s) OR network_id = ANY(ARRAY("
        "  SELECT DISTINCT network_id FROM sensors_sensor WHERE id = ANY(%s)"
        ")) ORDER BY id FOR SHARE",
        [rules, sensors],
    )


# One index for each side; an OR over both would read the whole table.
_TOUCHED_STATES: Final = """(
    SELECT id FROM alerts_rulestate WHERE sensor_id = ANY(%(sensors)s)
    UNION
    SELECT id FROM alerts_rulestate WHERE rule_id = ANY(%(rules)s)
)"""
_TOUCHED_ALERTS: Final = """(
    SELECT id FROM alerts_alert WHERE resolved_at IS NULL AND sensor_id = ANY(%(sensors)s)
    UNION
    SELECT id FROM alerts_alert WHERE resolved_at IS NULL AND sensor_id IS NOT NULL AND rule_id = ANY(%(rules)s)
)"""

_REMOVE_STATES: Final = f"""
DELETE FROM alerts_rulestate AS state USING alerts_rule AS rule, sensors_sensor AS sensor
WHERE state.id IN {_TOUCHED_STATES}
  AND rule.id = state.rule_id AND sensor.id = state.sensor_id AND NOT (rule.enabled AND {MATCHES})
"""  # noqa: S608 - only constants of this app

_UNCOVERED_ALERTS: Final = f"""
SELECT alert.id, rule.enabled FROM alerts_alert AS alert
JOIN alerts_rule AS rule ON rule.id = alert.rule_id
JOIN sensors_sensor AS sensor ON sensor.id = alert.sensor_id
WHERE alert.id IN {_TOUCHED_ALERTS} AND NOT (rule.enabled AND {MATCHES})
"""  # noqa: S608 - only constants of this app

# Judged by the clock: who is not silent even by it is surely not, and whoever may be stays as they are.
_NO_LONGER_SILENT: Final = f"""
UPDATE alerts_rulestate AS state SET silent_since = NULL, waiting = false, check_at = {CHECK_AT}
FROM alerts_rule AS rule, sensors_sensor AS sensor, sensors_sensorstate AS seen, sensors_network AS network
WHERE state.id IN {_TOUCHED_STATES} AND state.silent_since IS NOT NULL
  AND rule.id = state.rule_id AND sensor.id = state.sensor_id AND seen.sensor_id = state.sensor_id
  AND network.id = sensor.network_id
  AND (NOT {IS_WATCHED} OR {UNHEARD_SINCE} + {ALLOWED} >= %(now)s)
RETURNING state.rule_id, state.sensor_id
"""  # noqa: S608 - only constants of this app

_CHECK_EARLIER: Final = f"""
UPDATE alerts_rulestate AS state SET check_at = {CHECK_AT}
FROM alerts_rule AS rule, sensors_sensor AS sensor, sensors_sensorstate AS seen, sensors_network AS network
WHERE state.id IN {_TOUCHED_STATES}
  AND rule.id = state.rule_id AND sensor.id = state.sensor_id AND seen.sensor_id = state.sensor_id
  AND network.id = sensor.network_id
  AND state.check_at > {CHECK_AT}
"""  # noqa: S608 - only constants of this app

_INSERT_STATES: Final = f"""
INSERT INTO alerts_rulestate (rule_id, sensor_id, check_at, waiting)
SELECT rule.id, sensor.id, {CHECK_AT}, false
FROM (
    SELECT rule.id AS rule_id, sensor.id AS sensor_id
    FROM sensors_sensor AS sensor JOIN alerts_rule AS rule ON {MATCHES}
    WHERE sensor.id = ANY(%(sensors)s) AND rule.enabled AND rule.kind IN ('staleness', 'gateway_silence')
    UNION
    SELECT rule.id, sensor.id
    FROM alerts_rule AS rule JOIN sensors_sensor AS sensor ON {MATCHES}
    WHERE rule.id = ANY(%(rules)s) AND rule.enabled AND rule.kind IN ('staleness', 'gateway_silence')
) AS pair
JOIN alerts_rule AS rule ON rule.id = pair.rule_id
JOIN sensors_sensor AS sensor ON sensor.id = pair.sensor_id
JOIN sensors_sensorstate AS seen ON seen.sensor_id = pair.sensor_id
JOIN sensors_network AS network ON network.id = sensor.network_id
ORDER BY rule.id, sensor.id
ON CONFLICT (rule_id, sensor_id) DO NOTHING
"""  # noqa: S608 - only constants of this app


def _end_uncovered(cursor: Any, changed: _Changed, *, now: datetime) -> int:
    cursor.execute(_UNCOVERED_ALERTS, changed.parameters)
    uncovered = cursor.fetchall()
    resolved = 0
    for is_enabled, reason in ((True, Resolution.OUT_OF_SCOPE), (False, Resolution.RULE_DISABLED)):
        ids = [alert_id for alert_id, rule_is_enabled in uncovered if rule_is_enabled is is_enabled]
        if ids:
            resolved += len(end_alerts(Alert.objects.filter(pk__in=ids), reason=reason, now=now))
    return resolved


def _judge_again(cursor: Any, changed: _Changed, horizon: Horizon, *, now: datetime) -> int:
    """Apply another period or grace to who is silent (their alert ends if they are not by it) and who is not yet."""
    cursor.execute(_NO_LONGER_SILENT, {**changed.parameters, "judged_at": horizon.judged_at, "now": now})
    resolved = 0
    for rule_id, sensor_id in sorted(cursor.fetchall()):
        reason = Resolution.SENSOR_EDITED if sensor_id in changed.sensors else Resolution.RULE_EDITED
        alerts = Alert.objects.filter(rule_id=rule_id, sensor_id=sensor_id)
        resolved += len(end_alerts(alerts, reason=reason, now=now))
    cursor.execute(_CHECK_EARLIER, {**changed.parameters, "judged_at": horizon.judged_at})
    return resolved
