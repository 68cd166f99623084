"""Evaluates what waits in a lane: one transaction takes samples, moves states and alerts, and deletes what it took.

Order of locks, here and everywhere in this app (docs/alerts.md): the lane or the sweep, turnstiles, sensors, rules,
states, alerts; several of a kind by id. Whoever cannot keep to it skips what is locked.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from django.db import connection, transaction

from alerts.evaluation import Sample, evaluate, rates, span
from alerts.models import EvaluationBatch
from alerts.queries import expected_intervals_us
from alerts.services.episodes import Episode, store_episodes
from alerts.services.locks import pass_turnstiles, try_lanes
from alerts.services.open_episodes import Pair, load_open, store_pairs
from alerts.services.progress import Newest, load_progress, store_progress
from alerts.services.queue import LANES, SampleBlock, decode_blocks, waiting_samples
from alerts.services.watches import Watch, watched_rules, watches_of
from sensors.database import driver_cursor

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
    sensor_ids = list({sensor_id for block in blocks for sensor_id in block.sensor_ids})
    pass_turnstiles(cursor, sensor_ids)
    # Keeps the sensors from being deleted while rows that point at them are made.
    cursor.execute("SELECT id FROM sensors_sensor WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [sensor_ids])
    sensor_ids = [row[0] for row in cursor.fetchall()]
    rules = watched_rules(cursor, sensor_ids, {attribute for block in blocks for attribute in block.columns})
    if not rules:
        return
    watches = watches_of(cursor, rules, sensor_ids)
    pairs = load_open(cursor, rules, sensor_ids)
    is_open = {(sensor_id, rules[rule_id].attribute) for rule_id, sensor_id in pairs}
    with driver_cursor() as quick:
        newest = load_progress(quick, watches)
        known = set(newest)
        concerns, moved = _look_over(blocks, watches, newest, is_open)
        store_progress(quick, newest, moved=moved, known=known)
    if concerns:
        _move(cursor, concerns, pairs, now=now)


class _Concern(NamedTuple):
    """Samples of which some rule of `watch` may make something. until: the newest one evaluated before them."""

    sensor_id: int
    watch: Watch
    samples: list[Sample]
    until: int | None


def _look_over(
    blocks: Iterable[SampleBlock],
    watches: Mapping[int, Mapping[str, Watch]],
    newest: Newest,
    is_open: set[tuple[int, str]],
) -> tuple[list[_Concern], set[int]]:
    """Move `newest` on; return what must be looked at sample by sample, and the sensors that were moved.

    is_open: the sensors and attributes with open episodes; what concerns a rule here joins them.
    """
    concerns: list[_Concern] = []
    moved: set[int] = set()
    for block in blocks:
        for sensor_id, start, end in block.runs():
            of_sensor = watches.get(sensor_id)
            if of_sensor is None:
                continue
            known = newest.setdefault(sensor_id, {})
            for attribute, column in block.columns.items():
                watch = of_sensor.get(attribute)
                if watch is None:
                    continue
                if end - start == 1:
                    value, at = column[start], block.measured[start]
                    found = None if value is None else (value, value, at)
                else:
                    found = span(block.measured[start:end], column[start:end])
                if found is None:
                    continue
                low, high, at = found
                last = known.get(attribute)
                until, value_before = last if isinstance(last, tuple) else (last, None)
                if until is not None and at <= until:
                    continue
                key = (sensor_id, attribute)
                if low < watch.low or high > watch.high or key in is_open:
                    concerns.append(_Concern(sensor_id, watch, block.samples(attribute, start, end), until))
                    is_open.add(key)
                known[attribute] = at
                if watch.rates is not None:
                    samples = block.samples(attribute, start, end)
                    changes = rates(samples, until=until, value=value_before)
                    if key in is_open or _is_beyond(changes, watch.rates):
                        concerns.append(_Concern(sensor_id, watch.rates, changes, until))
                        is_open.add(key)
                    known[attribute] = (at, next(value for measured, _, value in samples if measured == at))
                moved.add(sensor_id)
    return concerns, moved


def _is_beyond(samples: Iterable[Sample], watch: Watch) -> bool:
    return any(not watch.low <= value <= watch.high for _, _, value in samples)


def _move(cursor: Any, concerns: Sequence[_Concern], pairs: dict[tuple[int, int], Pair], *, now: datetime) -> None:
    """Hold the samples against each rule, and write what they change."""
    intervals = expected_intervals_us({concern.sensor_id for concern in concerns})
    changed: dict[tuple[int, int], Pair] = {}
    episodes: dict[Episode, None] = {}
    for sensor_id, watch, samples, until in concerns:
        for rule in chain.from_iterable(watch.groups):
            key = (rule.id, sensor_id)
            pair = pairs.setdefault(key, Pair(*key))
            before = replace(pair.progress, until=until)
            after, transitions = evaluate(rule.limits, before, samples, interval_us=intervals.get(sensor_id))
            for transition in transitions:
                if pair.episode is None or pair.episode.is_over:
                    pair.episode = Episode(rule.id, sensor_id)
                pair.episode.apply(transition)
                episodes[pair.episode] = None
            if not transitions and pair.episode is not None and pair.episode.refresh(after.value, now=now):
                episodes[pair.episode] = None
            if transitions or after != replace(before, until=after.until):
                changed[key] = pair
            pair.progress = after
    store_pairs(cursor, list(changed.values()))
    store_episodes(cursor, list(episodes), now=now)
