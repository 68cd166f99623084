"""How long a sensor may be unheard: one rule in SQL for everybody, and the periods that configurations name."""

from collections.abc import Collection
from typing import Any, Final

from alerts.queries import NAMED_INTERVAL_S
from sensors.services.checks import MAX_SPAN_S

# The expressions below speak of rows `rule`, `sensor`, `seen` (the sensor's state) and `network` of their tables;
# PERIOD_AND_GRACE needs only the first two.

# Of a sensor that was heard: the rule's period, else that of its configurations, else its own; with the grace of the
# rule, else its own. Looked up by key for each sensor, whatever the planner believes of the table.
PERIOD_AND_GRACE: Final = """(
    (
        COALESCE(
            rule.period_s,
            (
                SELECT GREATEST(named.period_s, CASE WHEN named.or_own THEN sensor.period_s END)
                FROM alerts_configuredperiod AS named WHERE named.sensor_id = sensor.id
            ),
            sensor.period_s
        ) + COALESCE(rule.grace_s, sensor.grace_s)
    ) * interval '1 second'
)"""

# A sensor that was never heard is silent only by its network's policy, and cannot have fallen silent with a gateway.
IS_WATCHED: Final = """(
    seen.last_seen_at IS NOT NULL OR (rule.kind = 'staleness' AND network.new_sensors = 'alert')
)"""
UNHEARD_SINCE: Final = "COALESCE(seen.last_seen_at, sensor.created_at)"
# How long it may be unheard since then, if it is watched.
ALLOWED: Final = f"""(
    CASE WHEN seen.last_seen_at IS NULL THEN network.new_after_s * interval '1 second' ELSE {PERIOD_AND_GRACE} END
)"""
# When to look next at a sensor that is not silent. Who was never heard may be heard right after `judged_at`, and then
# be silent a period later: no sooner, and no later than the network's policy says.
CHECK_AT: Final = f"""(
    CASE WHEN seen.last_seen_at IS NOT NULL THEN seen.last_seen_at + {PERIOD_AND_GRACE}
         ELSE LEAST(
             %(judged_at)s + {PERIOD_AND_GRACE}, CASE WHEN {IS_WATCHED} THEN sensor.created_at + {ALLOWED} END
         )
    END
)"""

# The newest revision counts beside the acknowledged one until the sensor has answered it: which one it runs is not
# known, and the longer period harms nobody. A period is at least a second, as a sensor's own is.
_STORE_PERIODS: Final = f"""
WITH running AS (
    SELECT sensor.id AS sensor_id, network.interval_factor::numeric AS factor, acknowledged.interval_s,
           COALESCE(newest.is_pending, false) AS is_pending, newest.interval_s AS pending_interval_s
    FROM unnest(%(sensors)s::bigint[]) AS wanted (id)
    JOIN sensors_sensor AS sensor ON sensor.id = wanted.id
    JOIN sensors_network AS network ON network.id = sensor.network_id
    LEFT JOIN LATERAL (
        SELECT {NAMED_INTERVAL_S} AS interval_s FROM config_revision AS revision
        WHERE revision.sensor_id = sensor.id AND revision.acknowledged_at IS NOT NULL
        ORDER BY revision.number DESC LIMIT 1
    ) AS acknowledged ON true
    LEFT JOIN LATERAL (
        SELECT revision.acknowledged_at IS NULL AND revision.failed_at IS NULL AS is_pending,
               {NAMED_INTERVAL_S} AS interval_s
        FROM config_revision AS revision WHERE revision.sensor_id = sensor.id
        ORDER BY revision.number DESC LIMIT 1
    ) AS newest ON true
), longest AS (
    SELECT sensor_id, factor, GREATEST(interval_s, CASE WHEN is_pending THEN pending_interval_s END) AS interval_s,
           interval_s IS NULL OR (is_pending AND pending_interval_s IS NULL) AS or_own
    FROM running
), period AS (
    SELECT sensor_id, or_own,
           GREATEST(1, LEAST(LEAST(interval_s, {MAX_SPAN_S}) * factor, {MAX_SPAN_S}))::double precision AS period_s
    FROM longest WHERE interval_s IS NOT NULL
), removed AS (
    DELETE FROM alerts_configuredperiod AS old
    WHERE old.sensor_id = ANY(%(sensors)s) AND NOT EXISTS (SELECT 1 FROM period WHERE sensor_id = old.sensor_id)
    RETURNING old.sensor_id
), stored AS (
    INSERT INTO alerts_configuredperiod AS old (sensor_id, period_s, or_own)
    SELECT sensor_id, period_s, or_own FROM period
    ON CONFLICT (sensor_id) DO UPDATE SET period_s = excluded.period_s, or_own = excluded.or_own
        WHERE (old.period_s, old.or_own) IS DISTINCT FROM (excluded.period_s, excluded.or_own)
    RETURNING old.sensor_id
)
SELECT sensor_id FROM removed UNION ALL SELECT sensor_id FROM stored
"""  # noqa: S608 - only constants of this app


def store_configured_periods(cursor: Any, sensor_ids: Collection[int]) -> set[int]:
    """Write which periods the configurations of these sensors name; return the sensors of which that has changed.

    Inside the sweep's lock, which alone writes them, with the sensors and their networks locked.
    """
    cursor.execute(_STORE_PERIODS, {"sensors": list(sensor_ids)})
    return {sensor_id for (sensor_id,) in cursor.fetchall()}
