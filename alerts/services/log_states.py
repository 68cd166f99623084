"""How far log rules are with their sensors: rows of `RuleState` and open alerts, as `alerts.windows` counts them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from alerts.services.episodes import LOADED, Episode
from alerts.services.queue import moment
from alerts.windows import Counted, Window


@dataclass(slots=True)
class LogPair:
    """One log rule and one sensor. episode: the newest one, None where none is open."""

    rule_id: int
    sensor_id: int
    counted: Counted
    episode: Episode | None = None


_MICROSECONDS: Final = "(extract(epoch FROM {0}) * 1000000)::bigint"

_LOAD: Final = f"""
SELECT pair.rule_id, pair.sensor_id, state.logged::text, {_MICROSECONDS.format("state.held_at")},
       {_MICROSECONDS.format("state.due_at")}, state.value, {LOADED}
FROM unnest(%s::bigint[], %s::bigint[]) AS pair (rule_id, sensor_id)
LEFT JOIN alerts_rulestate AS state ON state.rule_id = pair.rule_id AND state.sensor_id = pair.sensor_id
LEFT JOIN alerts_alert AS alert ON alert.rule_id = pair.rule_id AND alert.sensor_id = pair.sensor_id
    AND alert.resolved_at IS NULL
ORDER BY pair.rule_id, pair.sensor_id
"""  # noqa: S608 - only constants of this app


def load_pairs(cursor: Any, keys: Collection[tuple[int, int]], windows: dict[int, Window]) -> list[LogPair]:
    """Return how far the (rule, sensor) of `keys` are; windows: by rule.

    Whether an episode is open, its alert says: only who holds the sensor's lane opens one, and an operator may end it
    at any time. What was remembered of its messages still counts then.
    """
    cursor.execute(_LOAD, _columns(keys))
    pairs = []
    for rule_id, sensor_id, logged, held, due, number, *alert in cursor.fetchall():
        counted = Counted(times=tuple(json.loads(logged or "[]")), held=held, number=int(number or 0), due=due or 0)
        episode = None if alert[0] is None else Episode.load(alert)
        if episode is not None:
            counted = replace(counted, started=episode.started)
            if held is None:
                ends = episode.started + windows[rule_id].length_us
                counted = replace(counted, held=episode.started, number=int(episode.value or 0), due=ends)
        pairs.append(LogPair(rule_id, sensor_id, counted, episode))
    return pairs


_STORE: Final = """
INSERT INTO alerts_rulestate AS state (rule_id, sensor_id, waiting, logged, held_at, due_at, value)
SELECT rule_id, sensor_id, false, logged::jsonb, held_at, due_at, number
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::double precision[])
     AS new (rule_id, sensor_id, logged, held_at, due_at, number)
ORDER BY rule_id, sensor_id
ON CONFLICT (rule_id, sensor_id) DO UPDATE SET
    logged = excluded.logged, held_at = excluded.held_at, due_at = excluded.due_at, value = excluded.value
"""


def store_pairs(cursor: Any, pairs: Sequence[LogPair]) -> None:
    """Write how far `pairs` are now."""
    if pairs:
        counted = [pair.counted for pair in pairs]
        columns: list[list[Any]] = [
            [json.dumps(each.times) for each in counted],
            [_moment(each.held) for each in counted],
            [moment(each.due) for each in counted],
            [float(each.number) for each in counted],
        ]
        cursor.execute(_STORE, [*_columns([(pair.rule_id, pair.sensor_id) for pair in pairs]), *columns])


def forget_pairs(cursor: Any, keys: Sequence[tuple[int, int]]) -> None:
    """Delete what is remembered of these (rule, sensor)."""
    if keys:
        cursor.execute(
            "DELETE FROM alerts_rulestate AS state"
            " USING unnest(%s::bigint[], %s::bigint[]) AS gone (rule_id, sensor_id)"
            " WHERE state.rule_id = gone.rule_id AND state.sensor_id = gone.sensor_id",
            _columns(keys),
        )


def _columns(keys: Collection[tuple[int, int]]) -> list[list[int]]:
    return [[rule_id for rule_id, _ in keys], [sensor_id for _, sensor_id in keys]]


def _moment(microseconds_since_1970: int | None) -> datetime | None:
    return None if microseconds_since_1970 is None else moment(microseconds_since_1970)
