"""Up to where each sensor's samples were evaluated; one row a sensor, whatever the number of rules."""

from collections.abc import Collection, Set
from typing import Any, Final

import msgspec

# When the newest evaluated sample was measured, in microseconds since 1970; with its value where rules look at change.
Last = int | tuple[int, float]
# By sensor and attribute.
Newest = dict[int, dict[str, Last]]

_decode: Final = msgspec.json.Decoder(dict[str, Last]).decode
_encode: Final = msgspec.json.Encoder().encode

# By key, whatever the planner believes of a table that has just been filled.
_LOAD: Final = """
SELECT progress.sensor_id, progress.newest::text FROM unnest(%b::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM alerts_evaluationprogress WHERE sensor_id = wanted.id LIMIT 1) AS progress
"""
_NEW: Final = """(
    SELECT sensor_id, convert_from(newest, 'UTF8')::jsonb AS newest
    FROM unnest(%b::bigint[], %b::bytea[]) AS new (sensor_id, newest)
)"""
_UPDATE: Final = f"""
UPDATE alerts_evaluationprogress AS progress SET newest = new.newest FROM {_NEW} AS new
WHERE progress.sensor_id = new.sensor_id
"""  # noqa: S608 - only constants of this module
_INSERT: Final = f"INSERT INTO alerts_evaluationprogress (sensor_id, newest) {_NEW}"


def load_progress(cursor: Any, sensor_ids: Collection[int]) -> Newest:
    """Return how far the samples of these sensors were evaluated; those of which none was are left out.

    cursor: psycopg's, inside the transaction that holds the sensors' lanes.
    """
    cursor.execute(_LOAD, [list(sensor_ids)], prepare=True)
    return {sensor_id: _decode(newest) for sensor_id, newest in cursor.fetchall()}


def store_progress(cursor: Any, newest: Newest, *, moved: Set[int], known: Set[int]) -> None:
    """Write `newest` for the sensors of `moved`; known: those that `load_progress` returned."""
    for statement, sensor_ids in ((_UPDATE, moved & known), (_INSERT, moved - known)):
        if sensor_ids:
            encoded = [_encode(newest[sensor_id]) for sensor_id in sensor_ids]
            cursor.execute(statement, [list(sensor_ids), encoded], prepare=True)
