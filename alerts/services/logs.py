"""Counts the log messages that wait: one transaction takes some of a lane, moves states and alerts, deletes them.

Whoever holds the lane also ends what nothing came for, so one hand alone moves each rule's state with a sensor, and an
episode is over only when everything up to the bridges' watermark was counted.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from alerts.evaluation import Transition
from alerts.models import LOG_WINDOW_S, Alert, LogNote, Resolution, Rule
from alerts.queries import MATCHES, Horizon, silence_horizon
from alerts.services.endings import end_alerts
from alerts.services.episodes import Episode, store_episodes
from alerts.services.locks import pass_turnstiles, try_log_lane
from alerts.services.log_notes import RANKS, LogEntry, due_pairs, lanes_with_work, take_entries
from alerts.services.log_states import LogPair, forget_pairs, load_pairs, store_pairs
from alerts.services.queue import LANES, microseconds
from alerts.windows import NOTHING, Counted, Window, count_messages, expire, window

logger = logging.getLogger(__name__)

# 60 to 150 ms with two rules and 100 sensors on a busy machine, 0.7 s where each message opens an alert of its own.
MESSAGES_PER_TRANSACTION: Final = 1_000
# What ends or is forgotten in one transaction.
DUE_PER_TRANSACTION: Final = 1_000


@dataclass(frozen=True, slots=True)
class Looked:
    """What one transaction did. is_more: something was left for the next one."""

    messages: int
    is_more: bool


def evaluate_logs(*, clock: Callable[[], datetime], lanes: Collection[int] | None = None) -> int:
    """Count all log messages that wait, and end what nothing came for; return how many messages that were.

    lanes: where to look; None: everywhere. A lane at which somebody else is is left to them, and one that fails (the
    next look repeats it) does not hold up the others.
    """
    done = 0
    for lane in lanes_with_work(range(LANES) if lanes is None else lanes, judged_at=silence_horizon(clock()).judged_at):
        is_more = True
        while is_more:
            try:
                looked = evaluate_log_lane(lane, now=clock())
            except Exception:
                logger.exception("log messages of lane %s were not counted; the next look takes them up again", lane)
                break
            is_more = looked is not None and looked.is_more
            done += looked.messages if looked is not None else 0
    return done


def evaluate_log_lane(lane: int, *, now: datetime) -> Looked | None:
    """Count the oldest log messages of `lane` in one transaction; None if somebody else is at it.

    Whatever ends the process before the commit changes nothing, and the messages wait for the next one.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        if not try_log_lane(cursor, lane):
            return None
        # Before the messages: all that was received up to it is then among them, or was counted.
        horizon = silence_horizon(now)
        ids, entries = take_entries(cursor, lane, limit=MESSAGES_PER_TRANSACTION)
        is_drained = len(ids) < MESSAGES_PER_TRANSACTION
        due = due_pairs(cursor, lane, judged_at=horizon.judged_at, limit=DUE_PER_TRANSACTION) if is_drained else []
        if entries or due:
            _evaluate(cursor, entries, due, horizon if is_drained else None, now=now)
            LogNote.objects.filter(pk__in=ids).delete()
        return Looked(len(ids), not is_drained or len(due) == DUE_PER_TRANSACTION)


# As in `watches.py`: shared with the other evaluators, checked again on what an editor wrote.
_WATCHED: Final = """
SELECT * FROM alerts_rule
WHERE enabled AND kind = 'log_severity' AND network_id IN (SELECT network_id FROM sensors_sensor WHERE id = ANY(%s))
ORDER BY id FOR SHARE
"""
_COVERED: Final = f"""
SELECT rule.id, sensor.id FROM unnest(%s::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (SELECT * FROM sensors_sensor WHERE id = wanted.id LIMIT 1) AS sensor
JOIN alerts_rule AS rule ON rule.id = ANY(%s) AND {MATCHES}
ORDER BY rule.id, sensor.id
"""  # noqa: S608 - only constants of this app


def _evaluate(
    cursor: Any, entries: Sequence[LogEntry], due: Sequence[tuple[int, int]], horizon: Horizon | None, *, now: datetime
) -> None:
    """Count `entries`; with a horizon also end, or forget, what is due by it."""
    sensor_ids = list({entry.sensor_id for entry in entries} | {sensor_id for _, sensor_id in due})
    pass_turnstiles(cursor, sensor_ids)
    # Keeps the sensors from being deleted while rows that point at them are made.
    cursor.execute("SELECT id FROM sensors_sensor WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [sensor_ids])
    sensor_ids = [row[0] for row in cursor.fetchall()]
    rules = {rule.pk: rule for rule in Rule.objects.raw(_WATCHED, [sensor_ids])}
    cursor.execute(_COVERED, [sensor_ids, list(rules)])
    covered = cursor.fetchall()
    windows = {
        rule_id: window(count=rule.count, window_s=rule.window_s or LOG_WINDOW_S) for rule_id, rule in rules.items()
    }
    logged: dict[int, list[LogEntry]] = {}
    for entry in entries:
        logged.setdefault(entry.sensor_id, []).append(entry)
    uncovered = [key for key in due if key[0] in rules and key not in set(covered)]
    gone = list(uncovered)
    episodes: dict[Episode, None] = {}
    changed: list[LogPair] = []
    for pair in load_pairs(cursor, covered, windows):
        rule, before = rules[pair.rule_id], pair.counted
        left, transitions = _count(pair, rule, windows[rule.pk], logged.get(pair.sensor_id, ()), horizon)
        episodes |= _move(pair, rule, transitions, left, now=now)
        if left is None:
            gone.append((pair.rule_id, pair.sensor_id))
        elif left != before:
            pair.counted = left
            changed.append(pair)
    store_pairs(cursor, changed)
    forget_pairs(cursor, gone)
    _end_uncovered(uncovered, now=now)
    store_episodes(cursor, list(episodes), now=now)


def _count(
    pair: LogPair, rule: Rule, limits: Window, entries: Iterable[LogEntry], horizon: Horizon | None
) -> tuple[Counted | None, list[Transition]]:
    """Return how far the pair is after `entries` and up to the horizon, and what they changed."""
    least = RANKS[rule.log_severity]
    messages = [(entry.measured, entry.received) for entry in entries if entry.rank >= least]
    counted, transitions = count_messages(limits, pair.counted, messages)
    if horizon is None or counted == NOTHING:
        return counted, transitions
    steady = None if horizon.steady_since is None else microseconds(horizon.steady_since)
    left, ended = expire(limits, counted, judged=microseconds(horizon.judged_at), steady=steady)
    return left, transitions + ended


def _move(
    pair: LogPair, rule: Rule, transitions: Sequence[Transition], left: Counted | None, *, now: datetime
) -> dict[Episode, None]:
    """Apply the transitions to the pair's episodes; return those that must be written."""
    written: dict[Episode, None] = {}
    for transition in transitions:
        if pair.episode is None or pair.episode.is_over:
            pair.episode = Episode(rule.pk, pair.sensor_id)
        pair.episode.apply(transition)
        written[pair.episode] = None
    if transitions or left is None or pair.episode is None:
        return written
    if pair.episode.refresh(float(left.number), now=now):
        written[pair.episode] = None
    return written


def _end_uncovered(pairs: Sequence[tuple[int, int]], *, now: datetime) -> None:
    """End what a sensor left open that went out of a rule's scope while its messages were being counted."""
    if pairs:
        rule_ids, sensor_ids = ({pair[side] for pair in pairs} for side in (0, 1))
        is_open = Alert.objects.filter(rule__in=rule_ids, sensor__in=sensor_ids, resolved_at__isnull=True)
        rows = is_open.values_list("pk", "rule_id", "sensor_id")
        ids = [alert_id for alert_id, *pair in rows if tuple(pair) in pairs]
        end_alerts(Alert.objects.filter(pk__in=ids), reason=Resolution.OUT_OF_SCOPE, now=now)
