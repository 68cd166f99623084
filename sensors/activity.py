"""What messages and their absence move: last seen, latest value, running revision, watermarks, ticks.

These rows change all the time. They are written in set-wise SQL, always in sensor order, so that writers queue up
instead of deadlocking; nobody holds them while a person edits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from django.db import connection, transaction

# Between two drained marks this far apart the bridge was away or behind: silence is counted anew from there.
STEADY_GAP_S: Final = 15


class Activity(msgspec.Struct):
    """What one sensor's new entries of one batch amount to; times in microseconds since 1970.

    latest: (measured, received, revision, the value's JSON) of a measurement that may be the sensor's latest.
    running: (measured, revision, success) of a heartbeat that may be its newest.
    """

    sensor_id: int
    period_s: int
    seen_us: int
    latest: tuple[int, int, int, bytes] | None = None
    running: tuple[int, int, bool] | None = None


class StatusChange(msgspec.Struct, frozen=True):
    """A sensor whose status became another one, for live views."""

    sensor_id: int
    identifier: str
    network: str
    status: str
    last_seen_at: datetime


def record_activity(cursor: Any, activities: Sequence[Activity]) -> list[int]:
    """Move the sensors' states on; return the ids of those that are up again or for the first time.

    cursor: psycopg's, inside the caller's transaction. Latest value and running revision only move forward in time; at
    equal times the later arrival wins. A sensor that was deleted meanwhile is left out.
    """
    if not activities:
        return []
    rows = [_state_row(activity) for activity in activities]
    # In binary: as text, each JSON would be escaped twice, which took longer than the rest of the batch. Most batches
    # have no heartbeat, and an array of nothing but nulls costs as much as any other.
    columns = [None if column.count(None) == len(column) else list(column) for column in zip(*rows, strict=True)]
    cursor.execute(_MOVE_STATES, columns, prepare=True)
    return [sensor_id for (sensor_id,) in cursor.fetchall()]


_MICROSECONDS: Final = "'epoch'::timestamptz + {0} * interval '1 microsecond'"
# Every move of the indexed overdue_at costs an index entry; half a period late only costs the sweep a second look.
# What is held against is read under the lock, in sensor order: whoever came in between is waited for, and then seen.
_MOVE_STATES: Final = f"""
WITH incoming AS MATERIALIZED (
    SELECT sensor_id, period_s * interval '1 second' AS period, {_MICROSECONDS.format("seen_us")} AS seen_at,
           {_MICROSECONDS.format("measured_us")} AS measured_at, {_MICROSECONDS.format("received_us")} AS received_at,
           revision, value, {_MICROSECONDS.format("heartbeat_us")} AS heartbeat_at, running_revision, running_success
    FROM unnest(%b::bigint[], %b::integer[], %b::bigint[], %b::bigint[], %b::bigint[], %b::integer[], %b::bytea[],
                %b::bigint[], %b::integer[], %b::boolean[])
         AS new (sensor_id, period_s, seen_us, measured_us, received_us, revision, value,
                 heartbeat_us, running_revision, running_success)
), locked AS MATERIALIZED (
    SELECT sensor_id, announced_status, overdue_at, latest_measured_at, running_at FROM sensors_sensorstate
    WHERE sensor_id = ANY(SELECT sensor_id FROM incoming) ORDER BY sensor_id FOR NO KEY UPDATE
), moved AS (
    UPDATE sensors_sensorstate AS state SET
        last_seen_at = GREATEST(state.last_seen_at, new.seen_at),
        overdue_at = CASE WHEN new.overdue_at <= new.seen_at + period
                               AND new.seen_at + period < new.overdue_at + period / 2
                          THEN new.overdue_at ELSE new.seen_at + period END,
        announced_status = 'up',
        latest_measured_at = CASE WHEN later THEN new.measured_at ELSE state.latest_measured_at END,
        latest_received_at = CASE WHEN later THEN new.received_at ELSE state.latest_received_at END,
        latest_revision = CASE WHEN later THEN new.revision ELSE state.latest_revision END,
        latest_value = CASE WHEN later THEN convert_from(new.value, 'UTF8')::jsonb ELSE state.latest_value END,
        running_at = CASE WHEN newer THEN new.heartbeat_at ELSE state.running_at END,
        running_revision = CASE WHEN newer THEN new.running_revision ELSE state.running_revision END,
        running_success = CASE WHEN newer THEN new.running_success ELSE state.running_success END
    FROM (
        SELECT *,
               measured_at IS NOT NULL AND measured_at >= COALESCE(latest_measured_at, '-infinity') AS later,
               heartbeat_at IS NOT NULL AND heartbeat_at >= COALESCE(running_at, '-infinity') AS newer
        FROM incoming JOIN locked USING (sensor_id)
    ) AS new
    WHERE state.sensor_id = new.sensor_id
    RETURNING state.sensor_id, new.announced_status
)
SELECT sensor_id FROM moved WHERE announced_status <> 'up'
"""  # noqa: S608 - only constants of this module


def _state_row(activity: Activity) -> tuple[Any, ...]:
    return (
        activity.sensor_id,
        activity.period_s,
        activity.seen_us,
        *(activity.latest or (None, None, None, None)),
        *(activity.running or (None, None, None)),
    )


def recheck_silence(sensor_ids: Sequence[int], *, now: datetime) -> None:
    """Let the next sweep look at these sensors again; for when their period or grace was changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sensors_sensorstate SET overdue_at = LEAST(overdue_at, %s)"
            " WHERE sensor_id = ANY(%s) AND last_seen_at IS NOT NULL",
            [now, list(sensor_ids)],
        )


_SWEEP: Final = """
WITH due AS (
    -- What is judged is read here, under the lock: a second read could be older than the row that is locked.
    SELECT sensor_id, announced_status, last_seen_at FROM sensors_sensorstate
    WHERE overdue_at < %(at)s ORDER BY overdue_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), judged AS (
    SELECT due.*, sensor.identifier, network.slug,
           due.last_seen_at + sensor.period_s * interval '1 second' AS late_at,
           due.last_seen_at + (sensor.period_s + sensor.grace_s) * interval '1 second' AS down_at
    FROM due
    JOIN sensors_sensor AS sensor ON sensor.id = due.sensor_id
    JOIN sensors_network AS network ON network.id = sensor.network_id
)
UPDATE sensors_sensorstate AS state SET
    announced_status = CASE WHEN %(at)s > down_at THEN 'down' WHEN %(at)s > late_at THEN 'late' ELSE 'up' END,
    overdue_at = CASE WHEN %(at)s > down_at THEN NULL WHEN %(at)s > late_at THEN down_at ELSE late_at END
FROM judged WHERE judged.sensor_id = state.sensor_id
RETURNING judged.sensor_id, judged.identifier, judged.slug, state.announced_status, judged.last_seen_at,
          judged.announced_status
"""


def sweep_overdue(*, at: datetime, limit: int = 1_000) -> list[StatusChange]:
    """Return the sensors whose status worsened by `at` and has not been told yet; costs what is due, not what exists.

    at: the moment up to which silence may be judged (`sensors.queries.judged_at`). Rows that ingest or another
    sweep holds are left for the next one. At most `limit` rows are looked at; call again while it returns any.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SWEEP, {"at": at, "limit": limit})
        return [StatusChange(*row[:5]) for row in cursor.fetchall() if row[3] != row[5]]


def record_watermark(shard: str, *, drained_until: datetime) -> None:
    """Record that the bridge of `shard` has stored everything that the broker had for it at `drained_until`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sensors_watermark AS old (shard, drained_until, steady_since) VALUES (%s, %s, %s)"
            " ON CONFLICT (shard) DO UPDATE SET"
            " drained_until = GREATEST(old.drained_until, excluded.drained_until),"
            " steady_since = CASE WHEN old.drained_until >= excluded.drained_until - %s * interval '1 second'"
            " THEN old.steady_since ELSE excluded.drained_until END",
            [shard, drained_until, drained_until, STEADY_GAP_S],
        )


def record_tick(name: str, *, now: datetime, detail: dict[str, Any] | None = None) -> None:
    """Record that the part `name` (bridge I/N, worker, beat) does its work at `now`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sensors_servicetick (name, at, detail) VALUES (%s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail",
            [name, now, msgspec.json.encode(detail or {}).decode()],
        )
