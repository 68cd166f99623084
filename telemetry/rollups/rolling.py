"""Rolling up: each sensor on to the horizon, and again the hours that ingest has marked.

Every step is one transaction over some sensors, whose `RollupState` rows it locks; sensors that another worker has
locked are passed over. Whatever ends a step before its commit leaves everything as it was.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from telemetry.rollups.horizon import BEGINNING, HOUR, advance_horizon, current_horizon, next_hour
from telemetry.rollups.summing import DENSE_ABOVE, ROLLUPS, Hour, forget_hours, sum_up

# A mark this old is due: while a backlog is being drained, an hour is rolled up again at most once in this time.
SETTLE_TIME: Final = timedelta(seconds=60)
# Together some 20,000 measurements: a transaction of about 200 ms, of which fixed costs are a tenth.
SENSORS_PER_STEP: Final = 20
MEASUREMENTS_PER_SENSOR: Final = 1_000
# Ten thousand sensors that measure once a minute are 600,000 measurements an hour: while the steps bring little, each
# takes twice as many sensors as the one before.
LITTLE_FOR_A_STEP: Final = 5_000
MOST_SENSORS_PER_STEP: Final = 320
# Marked hours of one step; dense ones may hold thousands of measurements each.
HOURS_PER_STEP: Final = 64
# Among so many marks there are usually enough different sensors for several workers.
_MARKS_LOOKED_AT: Final = 5_000
# Later than everything.
_END: Final = datetime.max.replace(tzinfo=UTC)

_ADD_STATES: Final = """
INSERT INTO telemetry_rollupstate (sensor_id, rolled_before)
SELECT sensor.id, %s FROM sensors_sensor AS sensor
WHERE NOT EXISTS (SELECT FROM telemetry_rollupstate AS state WHERE state.sensor_id = sensor.id)
ON CONFLICT DO NOTHING
"""
_LOCK_LATE: Final = """
SELECT sensor_id, rolled_before, raw_before FROM telemetry_rollupstate
WHERE sensor_id IN (
    SELECT sensor_id FROM (
        SELECT sensor_id FROM telemetry_rollupmark WHERE created_at <= %(due_at)s ORDER BY id LIMIT %(marks)s
    ) AS oldest
)
LIMIT %(sensors)s FOR UPDATE SKIP LOCKED
"""
_LOCK_BEHIND: Final = """
SELECT sensor_id, rolled_before, raw_before FROM telemetry_rollupstate
WHERE rolled_before < %(horizon)s ORDER BY rolled_before, sensor_id
LIMIT %(sensors)s FOR UPDATE SKIP LOCKED
"""
_LOCK_THESE: Final = """
SELECT sensor_id, rolled_before, raw_before FROM telemetry_rollupstate
WHERE sensor_id = ANY(%(ids)s) ORDER BY sensor_id FOR UPDATE
"""

# All marks of an hour go, also those that are not due yet: what they stand for is committed and will be read.
_TAKE: Final = """
WITH due AS (
    SELECT DISTINCT sensor_id, hour FROM telemetry_rollupmark
    WHERE sensor_id = ANY(%(sensor_ids)s) AND created_at <= %(due_at)s AND hour < %(before)s
    ORDER BY sensor_id, hour LIMIT %(hours)s
)
DELETE FROM telemetry_rollupmark AS mark USING due
WHERE mark.sensor_id = due.sensor_id AND mark.hour = due.hour
RETURNING mark.sensor_id, mark.hour
"""
_COUNT_LATE: Final = """
SELECT late.sensor_id, late.hour, (
    SELECT count(*) FROM (
        SELECT FROM telemetry_measurement AS measurement
        WHERE measurement.sensor_id = late.sensor_id
          AND measured_at >= late.hour AND measured_at < late.hour + interval '1 hour'
          AND measured_at >= %(first)s AND measured_at < %(last)s
        LIMIT %(enough)s
    ) AS enough
)
FROM unnest(%(sensor_ids)s::bigint[], %(hours)s::timestamptz[]) AS late (sensor_id, hour)
"""
_COUNT_AHEAD: Final = """
SELECT behind.sensor_id, date_bin('1 hour', ahead.measured_at, %(first)s), count(*)
FROM unnest(%(sensor_ids)s::bigint[], %(rolled_before)s::timestamptz[]) AS behind (sensor_id, rolled_before)
CROSS JOIN LATERAL (
    SELECT measured_at FROM telemetry_measurement AS measurement
    WHERE measurement.sensor_id = behind.sensor_id AND measured_at >= behind.rolled_before
      AND measured_at >= %(first)s AND measured_at < %(before)s
    ORDER BY measured_at LIMIT %(most)s
) AS ahead
GROUP BY 1, 2 ORDER BY 1, 2
"""
_MOVE: Final = """
UPDATE telemetry_rollupstate AS state SET rolled_before = moved.rolled_before
FROM unnest(%s::bigint[], %s::timestamptz[]) AS moved (sensor_id, rolled_before)
WHERE state.sensor_id = moved.sensor_id
"""
_FORGET: Final = """
DELETE FROM {table} WHERE start >= %s
AND attribute_id IN (SELECT id FROM telemetry_attribute WHERE sensor_id = %s)
"""
_LEFT: Final = """
SELECT (SELECT count(*) FROM telemetry_rollupstate WHERE rolled_before < %s),
       (SELECT count(*) FROM (SELECT DISTINCT sensor_id, hour FROM telemetry_rollupmark) AS marked)
"""


@dataclass(frozen=True, slots=True)
class State:
    """How far one sensor is rolled up; see `RollupState`."""

    sensor_id: int
    rolled_before: datetime
    raw_before: datetime | None

    @property
    def frozen_before(self) -> datetime:
        """Hours that begin before this are kept as they are: retention deleted some or all of their measurements."""
        return BEGINNING if self.raw_before is None else next_hour(self.raw_before)


@dataclass(slots=True)
class Rolled:
    """What a run did. An hour is one of one sensor; measurements are those of hours rolled up for the first time."""

    hours: int = 0
    measurements: int = 0
    # Hours that were rolled up once more.
    again: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What is still to be done: sensors that are behind the horizon, and marked hours."""

    sensors: int
    hours: int

    def __bool__(self) -> bool:
        return bool(self.sensors or self.hours)


def roll_up(
    *,
    now: datetime,
    settle_time: timedelta = SETTLE_TIME,
    limit_s: float | None = None,
    progress: Callable[[Rolled], None] | None = None,
) -> Rolled:
    """Move the horizon on, and roll up what is behind it and what is marked; return what was done.

    Safe to repeat, to interrupt, and to run several times at once: each takes what no other has taken.
    settle_time: how old a mark must be. limit_s: begin no further step after so many seconds. progress: called with
    the sums so far after each step. Call it outside of a transaction.
    """
    began = time.monotonic()
    horizon = advance_horizon(now=now)
    add_states()
    done = Rolled()
    sensors = SENSORS_PER_STEP
    while limit_s is None or time.monotonic() - began < limit_s:
        # In turns, so that neither waits for the other's end.
        late = _roll_late(done, due_at=now - settle_time)
        before = done.measurements
        ahead = _roll_ahead(done, horizon=horizon, sensors=sensors)
        is_little = done.measurements - before < LITTLE_FOR_A_STEP
        sensors = min(2 * sensors, MOST_SENSORS_PER_STEP) if is_little else SENSORS_PER_STEP
        if not (late or ahead):
            break
        if progress is not None:
            progress(done)
    return done


def rebuild(sensor_ids: Collection[int]) -> None:
    """Forget the rollups of these sensors, so that the next runs make them again from the measurements.

    Hours whose measurements retention deleted stay as they are. Until then series are read from the measurements.
    """
    for sensor_id in sorted(sensor_ids):
        with transaction.atomic(), connection.cursor() as cursor:
            for state in _states(cursor, _LOCK_THESE, ids=[sensor_id]):
                for table in ROLLUPS:
                    cursor.execute(_FORGET.format(table=table), [state.frozen_before, sensor_id])
                cursor.execute(_MOVE, [[sensor_id], [state.frozen_before]])


def freeze(sensor_ids: Collection[int], *, before: datetime, now: datetime) -> None:
    """Roll up every hour of these sensors that begins before `before`, then keep those hours as they are.

    For retention, which deletes the measurements before `before` next. Sensors that somebody else rolls up are
    waited for.
    """
    hour = next_hour(before)
    # Longer than a run waits: there is no other try before tomorrow. It rarely has to move at all.
    if advance_horizon(now=now, wait_s=10) < hour:
        raise TimeoutError(f"the horizon of rollups could not be moved to {hour:%Y-%m-%d %H:%M}")
    add_states()
    ids = sorted(sensor_ids)
    for index in range(0, len(ids), SENSORS_PER_STEP):
        while not _freeze_some(ids[index : index + SENSORS_PER_STEP], hour=hour, before=before, now=now):
            pass


def work_left() -> Left:
    """Return what is behind the horizon or marked, whether or not somebody is at it."""
    with connection.cursor() as cursor:
        cursor.execute(_LEFT, [current_horizon()])
        return Left(*cursor.fetchone())


def add_states() -> None:
    """Make the states of the sensors that have none."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD_STATES, [BEGINNING])


def _roll_late(done: Rolled, *, due_at: datetime) -> bool:
    """Roll up again some hours that were marked until `due_at`; False if there is nothing to take."""
    with transaction.atomic(), connection.cursor() as cursor:
        states = _states(cursor, _LOCK_LATE, due_at=due_at, marks=_MARKS_LOOKED_AT, sensors=SENSORS_PER_STEP)
        marked, hours = _late(cursor, states, due_at=due_at, before=_END)
    done.steps += marked
    done.again += len(hours)
    return marked


def _roll_ahead(done: Rolled, *, horizon: datetime, sensors: int) -> bool:
    """Roll up some sensors further, at most so many; False if there is nothing to take."""
    with transaction.atomic(), connection.cursor() as cursor:
        states = _states(cursor, _LOCK_BEHIND, horizon=horizon, sensors=sensors)
        hours = _ahead(cursor, states, horizon=horizon)
    done.steps += bool(states)
    done.hours += len(hours)
    done.measurements += sum(hour.measurements for hour in hours)
    return bool(states)


def _freeze_some(sensor_ids: Sequence[int], *, hour: datetime, before: datetime, now: datetime) -> bool:
    """Do one step towards freezing these sensors; True when they are frozen."""
    with transaction.atomic(), connection.cursor() as cursor:
        states = _states(cursor, _LOCK_THESE, ids=list(sensor_ids))
        behind = [state for state in states if state.rolled_before < hour]
        if behind:
            _ahead(cursor, behind, horizon=hour)
            return False
        marked, _ = _late(cursor, states, due_at=_END, before=hour)
        if marked:
            return False
        cursor.execute(
            "UPDATE telemetry_rollupstate SET raw_before = greatest(raw_before, %s) WHERE sensor_id = ANY(%s)",
            [before, [state.sensor_id for state in states]],
        )
        return True


def _late(cursor: Any, states: Sequence[State], *, due_at: datetime, before: datetime) -> tuple[bool, list[Hour]]:
    """Take marks of the locked `states`; return whether there were any, and the hours that were summed up again."""
    if not states:
        return False, []
    by_id = {state.sensor_id: state for state in states}
    cursor.execute(_TAKE, {"sensor_ids": list(by_id), "due_at": due_at, "before": before, "hours": HOURS_PER_STEP})
    marked = set(cursor.fetchall())
    # Frozen hours keep what they have; those not rolled up yet will be, with what was marked.
    late = [
        (sensor_id, hour)
        for sensor_id, hour in sorted(marked)
        if by_id[sensor_id].frozen_before <= hour < by_id[sensor_id].rolled_before
    ]
    if not late:
        return bool(marked), []
    cursor.execute(
        _COUNT_LATE,
        {
            "sensor_ids": [sensor_id for sensor_id, _ in late],
            "hours": [hour for _, hour in late],
            "first": min(hour for _, hour in late),
            "last": max(hour for _, hour in late) + HOUR,
            "enough": DENSE_ABOVE + 1,
        },
    )
    hours = [Hour(*row) for row in cursor.fetchall()]
    forget_hours(cursor, late)
    sum_up(cursor, hours)
    return True, hours


def _ahead(cursor: Any, states: Sequence[State], *, horizon: datetime) -> list[Hour]:
    """Roll the locked `states` up, each as far as MEASUREMENTS_PER_SENSOR allow, at least by the next hour."""
    if not states:
        return []
    cursor.execute(
        _COUNT_AHEAD,
        {
            "sensor_ids": [state.sensor_id for state in states],
            "rolled_before": [state.rolled_before for state in states],
            "first": min(state.rolled_before for state in states),
            "before": horizon,
            "most": MEASUREMENTS_PER_SENSOR,
        },
    )
    found: dict[int, list[Hour]] = {state.sensor_id: [] for state in states}
    for row in cursor.fetchall():
        found[row[0]].append(Hour(*row))
    moved: dict[int, datetime] = {}
    for sensor_id, hours in found.items():
        moved[sensor_id] = horizon
        if sum(hour.measurements for hour in hours) == MEASUREMENTS_PER_SENSOR:
            # The last hour may hold more than was counted, and its count decides whether it is dense. Alone it is.
            if len(hours) > 1:
                hours.pop()
            moved[sensor_id] = hours[-1].start + HOUR
    hours = [hour for each in found.values() for hour in each]
    sum_up(cursor, hours)
    cursor.execute(_MOVE, [list(moved), list(moved.values())])
    return hours


def _states(cursor: Any, query: str, **values: Any) -> list[State]:
    cursor.execute(query, values)
    return [State(*row) for row in cursor.fetchall()]
