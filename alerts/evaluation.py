"""What the samples of one sensor's attribute mean for one rule about values. Pure: no clock, no database.

Times are microseconds since 1970 on the sensor's own clock, so that `for_s`, hysteresis and gaps come out the same
whenever the samples are evaluated and however they are cut into batches.
"""

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
# Networks and queues take seconds; what takes longer than a minute was kept back somewhere.
LATE_AT_LEAST_US: Final = 60 * SECOND_US
# One lost sample is no gap; two in a row are.
GAP_INTERVALS: Final = 2

# measured_at, received_at, value.
Sample = tuple[int, int, float]


class Phase(enum.StrEnum):
    """Where an episode is; CALM is none."""

    CALM = "calm"
    PENDING = "pending"
    FIRING = "firing"


class Change(enum.StrEnum):
    """What a sample can do to an episode."""

    PENDING = "pending"  # the violation begins; `for_s` is still to pass
    RESTARTED = "restarted"  # still pending, and begins anew after a gap
    DROPPED = "dropped"  # pending, and over: nothing remains of it
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limits of a rule, in the attribute's own unit; an absent limit is infinite."""

    above: float
    below: float
    clear_above: float
    clear_below: float
    for_us: int
    keep_firing_us: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rule is with a sensor; all that must be kept from one batch to the next.

    until: the newest sample that was looked at. started: since when the open episode is violated. inside: since
    when all its samples were back inside. value: its newest violating value.
    """

    phase: Phase = Phase.CALM
    until: int | None = None
    started: int | None = None
    inside: int | None = None
    value: float | None = None


class Span(NamedTuple):
    """The least and the greatest value of some samples, and the newest time of those that have one."""

    low: float
    high: float
    newest: int


def span(measured: Sequence[int], values: Sequence[float | None]) -> Span | None:
    """Return the span of columns of equal length, ordered by `measured`; None if no value is a number.

    values: None where a sample has no number; no other value is not finite.
    """
    if None not in values:
        return Span(min(values), max(values), measured[-1])  # type: ignore[type-var, arg-type]
    numbers = [(at, value) for at, value in zip(measured, values, strict=True) if value is not None]
    if not numbers:
        return None
    least, greatest = min(value for _, value in numbers), max(value for _, value in numbers)
    return Span(least, greatest, numbers[-1][0])


def rates(samples: Iterable[Sample], *, until: int | None, value: float | None) -> list[Sample]:
    """Return how much the value changed per minute from each sample to the next, at the later one's times.

    samples: in the order of their clock; what is not newer than the one before counts for nothing. until, value: the
    newest sample before these, None if there is none or its value is not known.
    """
    found = []
    for measured, received, number in samples:
        if until is not None:
            if measured <= until:
                continue
            if value is not None:
                found.append((measured, received, (number - value) / (measured - until) * MINUTE_US))
        until, value = measured, number
    return found


@dataclass(frozen=True, slots=True)
class Transition:
    """A change at a sample's own time. late: that sample was received long after it was measured."""

    change: Change
    at: int
    started: int
    value: float
    late: bool


def threshold(
    *, above: float | None, below: float | None, hysteresis: float, for_s: int, keep_firing_s: int
) -> Threshold:
    """Return the limits as they are evaluated; hysteresis is how far inside a value clears."""
    return Threshold(
        above=math.inf if above is None else above,
        below=-math.inf if below is None else below,
        clear_above=math.inf if above is None else above - hysteresis,
        clear_below=-math.inf if below is None else below + hysteresis,
        for_us=for_s * SECOND_US,
        keep_firing_us=keep_firing_s * SECOND_US,
    )


def calm_band(limits: Iterable[Threshold]) -> tuple[float, float]:
    """Return the least and the greatest value that none of `limits` minds.

    Nearly all samples of a healthy fleet lie between them: two comparisons for any number of samples and rules.
    """
    low, high = -math.inf, math.inf
    for each in limits:
        low, high = max(low, each.below), min(high, each.above)
    return low, high


def evaluate(
    limits: Threshold, progress: Progress, samples: Iterable[Sample], *, interval_us: int | None
) -> tuple[Progress, list[Transition]]:
    """Return how far the rule is after `samples`, and the transitions that they caused, oldest first.

    samples: as they were stored. What is not newer than `progress.until` changes nothing, and neither does what is
    no finite number (NaN, a string, a boolean). interval_us: how often the sensor is expected to measure, None if
    nobody knows.

    A value is violated above `above` or below `below`, and inside from `clear_below` to `clear_above`. An episode
    begins with a violated sample and fires with the first one that is violated `for_us` later. It ends with the
    first sample that follows `keep_firing_us` of samples that were all inside; while pending, with the first that
    is inside. A value in between ends nothing and completes nothing. A gap of more than two intervals begins a
    pending episode anew; without an interval no gap does. Nothing else ends an episode: no data is no recovery.
    """
    transitions: list[Transition] = []
    phase, until, started, inside, newest = (
        progress.phase,
        progress.until,
        progress.started,
        progress.inside,
        progress.value,
    )
    above, below, clear_above, clear_below = limits.above, limits.below, limits.clear_above, limits.clear_below
    longest_gap = math.inf if interval_us is None else GAP_INTERVALS * interval_us
    late_after = LATE_AT_LEAST_US if interval_us is None else max(LATE_AT_LEAST_US, GAP_INTERVALS * interval_us)

    for measured, received, value in samples:
        if until is not None and measured <= until:
            continue
        if type(value) not in (float, int) or not math.isfinite(value):
            continue
        if phase is Phase.CALM and below <= value <= above:
            # Nearly all samples of a healthy fleet.
            until = measured
            continue

        late = received - measured > late_after
        gap = until is not None and measured - until > longest_gap
        until = measured
        if value > above or value < below:
            newest, inside = value, None
            if phase is Phase.FIRING:
                continue
            if phase is Phase.CALM or gap or started is None:
                if limits.for_us > 0:
                    change = Change.PENDING if phase is Phase.CALM else Change.RESTARTED
                    transitions.append(Transition(change, measured, measured, value, late))
                phase, started = Phase.PENDING, measured
            if measured - started >= limits.for_us:
                phase = Phase.FIRING
                transitions.append(Transition(Change.FIRING, measured, started, value, late))
            continue

        assert started is not None
        assert newest is not None
        is_inside = clear_below <= value <= clear_above
        if phase is Phase.PENDING:
            if is_inside or gap:
                transitions.append(Transition(Change.DROPPED, measured, started, newest, late))
                phase, started, inside, newest = Phase.CALM, None, None, None
        elif is_inside:
            inside = measured if inside is None else inside
            if measured - inside >= limits.keep_firing_us:
                transitions.append(Transition(Change.RESOLVED, measured, started, newest, late))
                phase, started, inside, newest = Phase.CALM, None, None, None
        else:
            inside = None
    return Progress(phase, until, started, inside, newest), transitions
