"""Which log messages rules wait for, and the durable queue in which they wait."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connection

from alerts.services.queue import LANES
from sensors.database import driver_cursor
from telemetry.models import Severity

# From the mildest on: a rule counts messages of its own rank or a higher one.
RANKS: Final[dict[str, int]] = {severity: rank for rank, severity in enumerate(Severity.values)}


class LogEntry(NamedTuple):
    """A log message as rules see it; times in microseconds since 1970."""

    sensor_id: int
    measured: int
    rank: int
    received: int


def watched_ranks(network_ids: Collection[int]) -> dict[int, int]:
    """Return by network the least rank that its enabled log rules count; networks without any are left out.

    One query by index, and nothing is remembered: a rule holds for every message received after it was committed,
    provided that this runs after the messages were received.
    """
    watched: dict[int, int] = {}
    with driver_cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT network_id, log_severity FROM alerts_rule"
            " WHERE enabled AND kind = 'log_severity' AND network_id = ANY(%s::bigint[])",
            [list(network_ids)],
            prepare=True,
        )
        for network_id, severity in cursor.fetchall():
            watched[network_id] = min(RANKS[severity], watched.get(network_id, RANKS[severity]))
    return watched


# Ids rise in the order of the rows, and rows are taken by id.
_QUEUE: Final = """
INSERT INTO alerts_lognote (lane, sensor_id, rank, measured_us, received_us)
SELECT sensor_id %% %s::bigint, sensor_id, rank, measured_us, received_us
FROM unnest(%b::bigint[], %b::bigint[], %b::smallint[], %b::bigint[]) WITH ORDINALITY
     AS new (sensor_id, measured_us, rank, received_us, number)
ORDER BY number
"""


def queue_log_entries(entries: Iterable[LogEntry]) -> set[int]:
    """Let the messages be counted in the order of each sensor's clock; return the lanes in which they wait.

    Inside the caller's transaction, the one that stores the messages. As with `queue_samples`, calls that carry
    messages of the same sensor must not run at the same time.
    """
    ordered = sorted(entries)
    if ordered:
        with driver_cursor() as cursor:
            cursor.execute(_QUEUE, [LANES, *(list(column) for column in zip(*ordered, strict=True))], prepare=True)
    return {entry.sensor_id % LANES for entry in ordered}


_WORK: Final = """
SELECT wanted.lane FROM unnest(%(lanes)s::integer[]) AS wanted (lane)
WHERE EXISTS (SELECT FROM alerts_lognote AS note WHERE note.lane = wanted.lane)
UNION
SELECT lane FROM (
    SELECT (state.sensor_id %% %(all)s)::integer AS lane
    FROM alerts_rulestate AS state JOIN alerts_rule AS rule ON rule.id = state.rule_id
    WHERE state.due_at < %(judged_at)s AND rule.kind = 'log_severity' AND rule.enabled
) AS due WHERE lane = ANY(%(lanes)s)
ORDER BY lane
"""


def lanes_with_work(lanes: Collection[int], *, judged_at: datetime) -> list[int]:
    """Return those of `lanes` in which messages wait, or something is due by `judged_at`."""
    with connection.cursor() as cursor:
        cursor.execute(_WORK, {"lanes": list(lanes), "all": LANES, "judged_at": judged_at})
        return [row[0] for row in cursor.fetchall()]


def take_entries(cursor: Any, lane: int, *, limit: int) -> tuple[list[int], list[LogEntry]]:
    """Return the ids and messages of the lane's first notes, in the order in which they were stored.

    By id: messages of one sensor are inserted by one writer, so their ids rise in the order of its commits.
    """
    cursor.execute(
        "SELECT id, sensor_id, measured_us, rank, received_us FROM alerts_lognote WHERE lane = %s ORDER BY id LIMIT %s",
        [lane, limit],
    )
    rows = cursor.fetchall()
    return [row[0] for row in rows], [LogEntry(*row[1:]) for row in rows]


def due_pairs(cursor: Any, lane: int, *, judged_at: datetime, limit: int) -> list[tuple[int, int]]:
    """Return the (rule, sensor) of the lane at which somebody must look by `judged_at`, those due first."""
    cursor.execute(
        "SELECT state.rule_id, state.sensor_id"
        " FROM alerts_rulestate AS state JOIN alerts_rule AS rule ON rule.id = state.rule_id"
        " WHERE state.due_at < %s AND rule.kind = 'log_severity' AND rule.enabled AND state.sensor_id %% %s = %s"
        " ORDER BY state.due_at LIMIT %s",
        [judged_at, LANES, lane, limit],
    )
    return cursor.fetchall()
