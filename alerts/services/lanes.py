"""Evaluates what waits in a lane: one transaction takes samples, moves states and alerts, and deletes what it took.

Order of locks, here and everywhere in this app (docs/alerts.md): the lane or the sweep, turnstiles, sensors, rules,
states, alerts; several of a kind by id. Whoever cannot keep to it skips what is locked.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from alerts.evaluation import LATE_AT_LEAST_US, Phase, Progress, Series, Transition, evaluate, evaluate_calm
from alerts.models import EvaluationBatch
from alerts.queries import MATCHES, expected_intervals_us
from alerts.services.episodes import LOADED, Episode, store_episodes
from alerts.services.locks import pass_turnstiles, try_lanes
from alerts.services.queue import LANES, SampleBlock, decode_blocks, waiting_samples
from alerts.services.thresholds import WatchedRule, watched_rules

logger = logging.getLogger(__name__)

# Of one lane: a transaction of some 30 ms, short enough for whoever waits for it.
SAMPLES_PER_TRANSACTION: Final = 4_000
# Lanes with little in them are evaluated together, because a transaction costs as much as 2,000 samples whatever is in
# it. Measured with five rules: 15 µs a sample in transactions of 1,000, 4 µs in those of 4,000 and of 8,000.
SAMPLES_WORTH_A_TRANSACTION: Final = 6_000


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What a run over the lanes did."""

    samples: int = 0
    transactions: int = 0

    def plus(self, samples: int) -> "Evaluated":
        """Return the sum with one more transaction over `samples`."""
        return Evaluated(self.samples + samples, self.transactions + 1)


def evaluate_waiting(*, clock: Callable[[], datetime], lanes: Collection[int] | None = None) -> Evaluated:
    """Evaluate everything that waits; return how much that was.

    lanes: where to look; None: everywhere. A lane that somebody else evaluates is left to them, and one that fails
    (the next look repeats it) does not hold up the others.
    """
    done = Evaluated()
    left = set(range(LANES) if lanes is None else lanes)
    while left:
        waiting = waiting_samples(left)
        left = set()
        for group in _groups(waiting):
            for part in _evaluate_safely(group, clock=clock):
                done = done.plus(part)
                left.update(group)
    return done


def _groups(waiting: dict[int, int]) -> list[list[int]]:
    """Return the lanes in which something waits, those with little of it together."""
    groups: list[list[int]] = []
    room = 0
    for lane, samples in waiting.items():
        if room <= 0:
            groups.append([])
            room = SAMPLES_WORTH_A_TRANSACTION
        groups[-1].append(lane)
        room -= samples
    return groups


def _evaluate_safely(lanes: list[int], *, clock: Callable[[], datetime]) -> list[int]:
    """Evaluate the lanes together, or one by one if that fails; return how many samples each transaction had."""
    try:
        samples = evaluate_lanes(lanes, now=clock())
    except Exception:
        if len(lanes) > 1:
            return [part for lane in lanes for part in _evaluate_safely([lane], clock=clock)]
        logger.exception("lane %s was not evaluated; the next look takes it up again", lanes[0])
        return []
    return [samples] if samples else []


def evaluate_lane(lane: int, *, now: datetime) -> int | None:
    """Evaluate the oldest samples of `lane`; return how many, None if somebody else is at it."""
    return evaluate_lanes([lane], now=now)


def evaluate_lanes(lanes: Collection[int], *, now: datetime) -> int | None:
    """Evaluate the oldest samples of `lanes` in one transaction; return how many, None if others are at all of them.

    Whatever ends the process before the commit changes nothing, and the samples wait for the next one.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        locked = try_lanes(cursor, lanes)
        if not locked:
            return None
        ids, blocks = _take(cursor, locked)
        if not ids:
            return 0
        _evaluate(cursor, blocks, now=now)
        EvaluationBatch.objects.filter(pk__in=ids).delete()
        return sum(map(len, blocks))


def _take(cursor: Any, lanes: list[int]) -> tuple[list[int], list[SampleBlock]]:
    """Return the first rows of each lane and their samples, each lane's in the order in which they were stored.

    By id: samples of one sensor are inserted by one writer, so their ids rise in the order of its commits.
    """
    cursor.execute(
        "SELECT taken.id, taken.samples FROM unnest(%(lanes)s::integer[]) AS lane CROSS JOIN LATERAL ("
        "  SELECT id, samples, sum(sample_count) OVER (ORDER BY id) - sample_count AS before FROM ("
        "    SELECT * FROM alerts_evaluationbatch AS batch WHERE batch.lane = lane.lane ORDER BY id LIMIT %(most)s"
        "  ) AS first"
        ") AS taken WHERE taken.before < %(most)s ORDER BY taken.id",
        {"lanes": lanes, "most": SAMPLES_PER_TRANSACTION},
    )
    rows = cursor.fetchall()
    return [row[0] for row in rows], decode_blocks(row[1] for row in rows)


def _evaluate(cursor: Any, blocks: list[SampleBlock], *, now: datetime) -> None:
    series = _series(blocks)
    attributes = {attribute for _, attribute in series}
    sensor_ids = list({sensor_id for sensor_id, _ in series})
    pass_turnstiles(cursor, sensor_ids)
    # Keeps the sensors from being deleted while rows that point at them are made.
    cursor.execute("SELECT id FROM sensors_sensor WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [sensor_ids])
    sensor_ids = [row[0] for row in cursor.fetchall()]
    rules = watched_rules(sensor_ids, attributes)
    if not rules:
        return
    pairs = _pairs(cursor, list(rules), sensor_ids)
    intervals = _intervals(blocks, rules, sensor_ids)
    changed: list[_Pair] = []
    episodes: list[Episode] = []
    for pair in pairs:
        watched = rules[pair.rule_id]
        values = series.get((pair.sensor_id, watched.rule.attribute))
        if values is None:
            continue
        transitions: list[Transition] = []
        progress = evaluate_calm(watched.limits, pair.progress, values)
        if progress is None:
            progress, transitions = evaluate(
                watched.limits, pair.progress, values.samples(), interval_us=intervals.get(pair.sensor_id)
            )
        if progress == pair.progress:
            continue
        episode = pair.episode
        for transition in transitions:
            if episode is None or episode.is_over:
                episode = Episode(watched.rule, pair.sensor_id)
                episodes.append(episode)
            episode.apply(transition)
        if pair.episode is not None and (transitions or pair.episode.refresh(progress.value, now=now)):
            episodes.append(pair.episode)
        pair.progress = progress
        changed.append(pair)
    _store_states(cursor, changed)
    store_episodes(cursor, episodes, now=now)


def _series(blocks: list[SampleBlock]) -> dict[tuple[int, str], Series]:
    """Return the samples by sensor and attribute, in the order of the blocks."""
    columns: dict[tuple[int, str], tuple[list[int], list[int], list[float | None]]] = {}
    for block in blocks:
        for attribute, values in block.columns.items():
            measured, received, column = columns.setdefault((block.sensor_id, attribute), ([], [], []))
            measured += block.measured
            received += block.received
            column += values
    return {key: Series(*column) for key, column in columns.items()}


class _Pair:
    """One rule and one sensor, where they are."""

    __slots__ = ("episode", "progress", "rule_id", "sensor_id", "state_id")

    def __init__(
        self, rule_id: int, sensor_id: int, state_id: int | None, progress: Progress, episode: Episode | None
    ) -> None:
        self.rule_id = rule_id
        self.sensor_id = sensor_id
        self.state_id = state_id
        self.progress = progress
        self.episode = episode


_MICROSECONDS: Final = "(extract(epoch FROM {0}) * 1000000)::bigint"

# Each sensor and each state is looked up by its key, whatever the planner believes: when a storm has just filled the
# tables their statistics are those of empty ones, and a plan made for these took seconds.
_PAIRS: Final = f"""
SELECT rule.id, sensor.id, state.id, {_MICROSECONDS.format("state.evaluated_until")},
       {_MICROSECONDS.format("state.inside_since")}, state.value
FROM unnest(%s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM sensors_sensor WHERE id = wanted.id LIMIT 1) AS sensor
JOIN alerts_rule AS rule ON rule.id = ANY(%s) AND {MATCHES}
LEFT JOIN LATERAL (
    SELECT * FROM alerts_rulestate WHERE rule_id = rule.id AND sensor_id = sensor.id LIMIT 1
) AS state ON true
"""  # noqa: S608 - only constants of this app

# Few of the pairs have one.
_OPEN_ALERTS: Final = f"""
SELECT alert.rule_id, alert.sensor_id, {LOADED}
FROM unnest(%s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM alerts_alert WHERE rule_id = wanted.id AND sensor_id = ANY(%s) AND resolved_at IS NULL OFFSET 0
) AS alert
"""  # noqa: S608 - only constants of this app


def _pairs(cursor: Any, rule_ids: list[int], sensor_ids: list[int]) -> list[_Pair]:
    cursor.execute(_PAIRS, [sensor_ids, rule_ids])
    rows = cursor.fetchall()
    # Only this transaction opens alerts of these sensors; an operator may resolve one at any time.
    cursor.execute(_OPEN_ALERTS, [rule_ids, sensor_ids])
    alerts = {(rule_id, sensor_id): alert for rule_id, sensor_id, *alert in cursor.fetchall()}
    pairs = []
    for rule_id, sensor_id, state_id, until, inside, value in rows:
        alert = alerts.get((rule_id, sensor_id))
        if alert is None:
            # No open episode, also when an operator has just resolved it: only `until` still counts.
            pairs.append(_Pair(rule_id, sensor_id, state_id, Progress(until=until), None))
            continue
        episode = Episode.load(alert)
        progress = Progress(
            phase=Phase(episode.state),
            until=until,
            started=episode.started,
            inside=inside,
            value=episode.value if value is None else value,
        )
        pairs.append(_Pair(rule_id, sensor_id, state_id, progress, episode))
    return pairs


def _intervals(blocks: list[SampleBlock], rules: dict[int, WatchedRule], sensor_ids: list[int]) -> dict[int, int]:
    """Return the expected intervals of the sensors, if anything here can depend on them."""
    gaps_matter = any(watched.limits.for_us for watched in rules.values())
    # No sample of a block is later than this; blocks are in the order of the sensor's clock.
    if gaps_matter or any(max(block.received) - block.measured[0] > LATE_AT_LEAST_US for block in blocks):
        return expected_intervals_us(sensor_ids)
    return {}


_MOMENT: Final = "'epoch'::timestamptz + new.{0} * interval '1 microsecond'"

_UPDATE_STATES: Final = f"""
UPDATE alerts_rulestate AS state SET
    evaluated_until = {_MOMENT.format("until")}, inside_since = {_MOMENT.format("inside")}, value = new.value
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::double precision[]) AS new (id, until, inside, value)
WHERE state.id = new.id
"""  # noqa: S608 - only constants of this app

_INSERT_STATES: Final = f"""
INSERT INTO alerts_rulestate (rule_id, sensor_id, evaluated_until, inside_since, value, waiting)
SELECT new.rule_id, new.sensor_id, {_MOMENT.format("until")}, {_MOMENT.format("inside")}, new.value, false
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::double precision[])
     AS new (rule_id, sensor_id, until, inside, value)
"""  # noqa: S608 - only constants of this app


def _store_states(cursor: Any, pairs: list[_Pair]) -> None:
    old = sorted((pair for pair in pairs if pair.state_id is not None), key=lambda pair: pair.state_id or 0)
    if old:
        cursor.execute(_UPDATE_STATES, [[pair.state_id for pair in old], *_columns(old)])
    new = [pair for pair in pairs if pair.state_id is None]
    if new:
        ids = [[pair.rule_id for pair in new], [pair.sensor_id for pair in new]]
        cursor.execute(_INSERT_STATES, [*ids, *_columns(new)])


def _columns(pairs: list[_Pair]) -> list[list[Any]]:
    return [
        [pair.progress.until for pair in pairs],
        [pair.progress.inside for pair in pairs],
        [pair.progress.value for pair in pairs],
    ]
