"""From the measurements of some hours to their rollups, in the caller's transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from telemetry.rollups.horizon import HOUR

# Below this many measurements in an hour, reading them costs less than reading their minutes saves
# (docs/decisions/0005-rollups.md). Four a minute.
DENSE_ABOVE: Final = 240

_CREATE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS rolling (
    sensor_id bigint, name text, hour timestamptz, start timestamptz, is_dense boolean,
    count integer, min numeric, max numeric, sum numeric, received_at timestamptz
) ON COMMIT DELETE ROWS
"""
# One pass over the measurements: by minute in dense hours, by hour in others. The bounds that are equal for all
# hours let the planner leave out the other months. OFFSET 0 keeps `number` from being evaluated for each aggregate.
_SUM: Final = """
INSERT INTO rolling
SELECT hours.sensor_id, item.key, hours.start,
       CASE WHEN hours.is_dense THEN date_bin('1 minute', measured_at, hours.start) ELSE hours.start END,
       hours.is_dense, count(number), min(number), max(number), sum(number), min(received_at)
FROM unnest(%(sensor_ids)s::bigint[], %(starts)s::timestamptz[], %(dense)s::boolean[])
     AS hours (sensor_id, start, is_dense)
CROSS JOIN LATERAL (
    SELECT measured_at, received_at, value FROM telemetry_measurement AS measurement
    WHERE measurement.sensor_id = hours.sensor_id
      AND measured_at >= hours.start AND measured_at < hours.start + interval '1 hour'
      AND measured_at >= %(first)s AND measured_at < %(last)s
) AS measured
CROSS JOIN LATERAL (
    SELECT key, CASE WHEN jsonb_typeof(item.value) = 'number' THEN item.value::numeric END AS number
    FROM jsonb_each(measured.value) AS item
    OFFSET 0
) AS item
GROUP BY 1, 2, 3, 4, 5
"""
# Ingest makes them too, and one that is just being made elsewhere is waited for: hence in order, and in a statement
# of its own, after which they are all seen.
_ATTRIBUTES: Final = """
INSERT INTO telemetry_attribute (sensor_id, name, first_at)
SELECT sensor_id, name, min(received_at) FROM rolling
WHERE NOT EXISTS (
    SELECT FROM telemetry_attribute AS attribute
    WHERE attribute.sensor_id = rolling.sensor_id AND attribute.name = rolling.name
)
GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""
_MINUTES: Final = """
INSERT INTO telemetry_minuterollup (attribute_id, start, count, min, max, sum)
SELECT attribute.id, start, count, min::float8, max::float8, sum
FROM rolling JOIN telemetry_attribute AS attribute USING (sensor_id, name)
WHERE is_dense AND count > 0 AND attribute.sensor_id = ANY(%(sensor_ids)s)
ORDER BY 1, 2
"""
_HOURS: Final = """
INSERT INTO telemetry_hourrollup (attribute_id, start, count, min, max, sum, is_dense)
SELECT attribute.id, hour, sum(count), min(min)::float8, max(max)::float8, sum(sum), is_dense
FROM rolling JOIN telemetry_attribute AS attribute USING (sensor_id, name)
WHERE count > 0 AND attribute.sensor_id = ANY(%(sensor_ids)s)
GROUP BY attribute.id, hour, is_dense
ORDER BY 1, 2
"""
_FORGET: Final = """
DELETE FROM {table} AS rollup
USING unnest(%(sensor_ids)s::bigint[], %(starts)s::timestamptz[]) AS hours (sensor_id, start),
      telemetry_attribute AS attribute
WHERE attribute.sensor_id = hours.sensor_id AND rollup.attribute_id = attribute.id
  AND rollup.start >= hours.start AND rollup.start < hours.start + interval '1 hour'
"""
ROLLUPS: Final = ("telemetry_hourrollup", "telemetry_minuterollup")


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of one sensor, and how many measurements it holds (or at least DENSE_ABOVE + 1 of them)."""

    sensor_id: int
    start: datetime
    measurements: int


def sum_up(cursor: Any, hours: Sequence[Hour]) -> None:
    """Write the rollups of `hours`, of which none has any yet; makes the attributes that have no row."""
    if not hours:
        return
    cursor.execute(_CREATE)
    # Only where the caller's transaction goes on is anything left here.
    cursor.execute("TRUNCATE rolling")
    # The planner knows nothing of what is in a measurement: it would sort on disk, where a hash holds the few
    # results, and compile the statement, which takes longer than running it.
    cursor.execute("SELECT set_config('enable_sort', 'off', true), set_config('jit', 'off', true)")
    dense = [hour.measurements > DENSE_ABOVE for hour in hours]
    values = {
        "sensor_ids": [hour.sensor_id for hour in hours],
        "starts": [hour.start for hour in hours],
        "dense": dense,
        "first": min(hour.start for hour in hours),
        "last": max(hour.start for hour in hours) + HOUR,
    }
    cursor.execute(_SUM, values)
    cursor.execute(_ATTRIBUTES)
    sensors = {"sensor_ids": sorted({hour.sensor_id for hour in hours})}
    if any(dense):
        cursor.execute(_MINUTES, sensors)
    cursor.execute(_HOURS, sensors)
    cursor.execute("SET LOCAL enable_sort TO DEFAULT")


def forget_hours(cursor: Any, hours: Collection[tuple[int, datetime]]) -> None:
    """Delete the rollups of `hours`, pairs of sensor id and start."""
    if not hours:
        return
    values = {"sensor_ids": [sensor_id for sensor_id, _ in hours], "starts": [start for _, start in hours]}
    for table in ROLLUPS:
        cursor.execute(_FORGET.format(table=table), values)
