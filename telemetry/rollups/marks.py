"""What ingest does for rollups, in its own transaction: it asks for the horizon, and marks hours that are late."""

from collections.abc import Collection
from typing import Any, Final

# Waits while the horizon moves, which takes a moment. A function of the database, so that the horizon is read after
# the lock was granted: one plain statement would read it with a snapshot from before the wait.
LOCK_HORIZON: Final = "SELECT telemetry_lock_horizon()"

_MARK: Final = """
INSERT INTO telemetry_rollupmark (sensor_id, hour)
SELECT sensor_id, 'epoch'::timestamptz + hour_us * interval '1 microsecond'
FROM unnest(%s::bigint[], %s::bigint[]) AS late (sensor_id, hour_us)
"""
HOUR_US: Final = 3_600_000_000


def lock_horizon(cursor: Any) -> int:
    """Return the horizon in microseconds since 1970, and keep it from moving until the transaction ends.

    Call it before the first measurement of the transaction is inserted; whoever else stores measurements is not
    held up. Measurements before the horizon that were really inserted need `mark_late`. One round trip.
    """
    cursor.execute(LOCK_HORIZON)
    return int(cursor.fetchone()[0])


def mark_late(cursor: Any, pairs: Collection[tuple[int, int]]) -> None:
    """Mark hours to be rolled up again, in the transaction that stored measurements in them.

    pairs: (sensor_id, start of the hour in microseconds since 1970, a multiple of HOUR_US), best each of them once.
    """
    if pairs:
        cursor.execute(_MARK, [[sensor_id for sensor_id, _ in pairs], [hour_us for _, hour_us in pairs]])
