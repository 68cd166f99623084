"""Open episodes of rules about values, and what their alerts do not tell of them: the rule's state with the sensor."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alerts.evaluation import Phase, Progress
from alerts.services.episodes import LOADED, Episode

_MICROSECONDS: Final = "(extract(epoch FROM {0}) * 1000000)::bigint"


CALM: Final = Progress()


@dataclass(slots=True)
class Pair:
    """One rule and one sensor. progress: its `until` is kept for the sensor. episode: the newest one, None if calm."""

    rule_id: int
    sensor_id: int
    progress: Progress = CALM
    episode: Episode | None = None


# Few sensors have one. All rules at once: one after the other, a thousand of them were a thousand looks, and these read
# the whole table each while it is small.
_OPEN: Final = f"""
SELECT alert.rule_id, alert.sensor_id, {_MICROSECONDS.format("state.inside_since")}, state.value, {LOADED}
FROM alerts_alert AS alert
LEFT JOIN LATERAL (
    SELECT * FROM alerts_rulestate WHERE rule_id = alert.rule_id AND sensor_id = alert.sensor_id LIMIT 1
) AS state ON true
WHERE alert.rule_id = ANY(%s) AND alert.sensor_id = ANY(%s) AND alert.resolved_at IS NULL
"""  # noqa: S608 - only constants of this app


def load_open(cursor: Any, rule_ids: Collection[int], sensor_ids: Collection[int]) -> dict[tuple[int, int], Pair]:
    """Return by (rule, sensor) where an episode is open.

    Only who holds the sensors' lanes opens any; an operator may resolve one at any time, and then only what comes
    after the last evaluated sample counts.
    """
    cursor.execute(_OPEN, [list(rule_ids), list(sensor_ids)])
    pairs = {}
    for rule_id, sensor_id, inside, value, *alert in cursor.fetchall():
        episode = Episode.load(alert)
        progress = Progress(
            phase=Phase(episode.state),
            started=episode.started,
            inside=inside,
            value=episode.value if value is None else value,
        )
        pairs[rule_id, sensor_id] = Pair(rule_id, sensor_id, progress, episode)
    return pairs


_STORE: Final = """
INSERT INTO alerts_rulestate AS state (rule_id, sensor_id, inside_since, value, waiting)
SELECT rule_id, sensor_id, 'epoch'::timestamptz + inside * interval '1 microsecond', value, false
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::double precision[])
     AS new (rule_id, sensor_id, inside, value)
ORDER BY rule_id, sensor_id
ON CONFLICT (rule_id, sensor_id) DO UPDATE SET inside_since = excluded.inside_since, value = excluded.value
"""
_FORGET: Final = """
DELETE FROM alerts_rulestate AS state USING unnest(%s::bigint[], %s::bigint[]) AS over (rule_id, sensor_id)
WHERE state.rule_id = over.rule_id AND state.sensor_id = over.sensor_id
"""


def store_pairs(cursor: Any, pairs: Sequence[Pair]) -> None:
    """Write where `pairs` are now; of those that are calm nothing is kept."""
    is_open = [pair for pair in pairs if pair.progress.phase is not Phase.CALM]
    if is_open:
        progress = [pair.progress for pair in is_open]
        columns = [[each.inside for each in progress], [each.value for each in progress]]
        cursor.execute(_STORE, [*_keys(is_open), *columns])
    over = [pair for pair in pairs if pair.progress.phase is Phase.CALM]
    if over:
        cursor.execute(_FORGET, _keys(over))


def _keys(pairs: Sequence[Pair]) -> list[list[int]]:
    return [[pair.rule_id for pair in pairs], [pair.sensor_id for pair in pairs]]
