"""The advisory locks of this app. Where they stand in the order of locks: docs/alerts.md."""

from collections.abc import Collection
from typing import Any, Final

from alerts.services.queue import LANES

# First key of all of them ("alrt"); the second says what is locked.
_SPACE: Final = 0x616C7274
_SWEEP: Final = LANES
_FIRST_LOG_LANE: Final = 100
_CLAIMS: Final = LANES + 1
_FIRST_TURNSTILE: Final = 1_000
# Networks share turnstiles: PostgreSQL's table of locks is bounded, and a batch may touch thousands of networks.
TURNSTILES: Final = 64


def try_lanes(cursor: Any, lanes: Collection[int]) -> list[int]:
    """Return those of `lanes` that now only this transaction evaluates; those of others are left out."""
    return _try(cursor, lanes)


def try_log_lane(cursor: Any, lane: int) -> bool:
    """Return whether this transaction is the only one that counts the log messages of `lane`.

    A lock beside that of the lane's samples: the two move different rules, and neither keeps the other waiting.
    """
    return bool(_try(cursor, [_FIRST_LOG_LANE + lane]))


def try_sweep(cursor: Any) -> bool:
    """Return whether this transaction is the only one that sweeps."""
    return bool(_try(cursor, [_SWEEP]))


def queue_for_claims(cursor: Any) -> None:
    """Wait until nobody else claims a notification: how many are claimed is counted before one is."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_SPACE, _CLAIMS])


def _try(cursor: Any, keys: Collection[int]) -> list[int]:
    # A statement of its own: the next one's snapshot then holds what the locks' last holders committed.
    cursor.execute(
        "SELECT key FROM unnest(%s::integer[]) AS key WHERE pg_try_advisory_xact_lock(%s, key)", [list(keys), _SPACE]
    )
    return [row[0] for row in cursor.fetchall()]


def pass_turnstiles(cursor: Any, sensor_ids: Collection[int]) -> None:
    """Let editors of rules in the sensors' networks go first.

    Shared row locks are granted past a waiting editor, who would wait as long as evaluators keep coming (33 s were
    measured with six of them). Advisory locks queue: whoever comes after the editor waits for them.
    """
    cursor.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, slot) FROM ("
        "  SELECT DISTINCT (%s + network_id %% %s)::integer AS slot FROM sensors_sensor"
        "  WHERE id = ANY(%s) ORDER BY slot"
        ") AS turnstile",
        [_SPACE, _FIRST_TURNSTILE, TURNSTILES, list(sensor_ids)],
    )


def close_turnstile(cursor: Any, network_id: int) -> None:
    """Let no evaluation of the network's rules begin until this transaction ends; waits for those under way."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_SPACE, _FIRST_TURNSTILE + network_id % TURNSTILES])
