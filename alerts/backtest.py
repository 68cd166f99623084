"""What a rule would have found in the past: the evaluation of every day, over what is stored, with nothing saved."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from alerts.evaluation import Change, Progress, Sample, Transition, evaluate, rates
from alerts.models import VALUE_KINDS, Rule, RuleKind
from alerts.queries import expected_intervals_us
from alerts.services.queue import moment
from alerts.services.watches import limits_of
from sensors.errors import Invalid
from sensors.models import Sensor
from telemetry.queries.numbers import numbers_of

# What one request looks at: about three seconds.
MAX_SAMPLES: Final = 1_000_000
# What one answer lists; all are counted.
MAX_EPISODES: Final = 1_000


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """An alert that would have been. resolved_at: None if it would still fire at the end of the range."""

    sensor: str
    started_at: datetime
    fired_at: datetime
    resolved_at: datetime | None
    value: float


@dataclass(slots=True)
class Backtest:
    """What a rule would have found. samples: values that were looked at."""

    sensors: int = 0
    samples: int = 0
    # Episodes that fired, and those that cleared before `for_s` had passed.
    fired: int = 0
    cleared_early: int = 0
    # For how long, summed over the sensors; what still fires counts up to the end of the range.
    firing_s: float = 0
    # The first MAX_EPISODES of those that fired, by sensor and time.
    episodes: list[PastEpisode] = field(default_factory=list)


def backtest(
    rule: Rule,
    sensors: Iterable[Sensor],
    *,
    start: datetime,
    end: datetime,
    max_samples: int | None = MAX_SAMPLES,
    progress: Callable[[Backtest], None] = lambda _: None,
) -> Backtest:
    """Return what `rule`, saved or not, would have found in what `sensors` measured in [start, end).

    As if everything had come in the order in which it was measured, and nothing before. Gaps are judged by the
    interval of the configuration that a sensor has acknowledged last. Inside a transaction. progress: called after
    each sensor. Raises Invalid: a rule of another kind, or more than `max_samples` values.
    """
    if rule.kind not in VALUE_KINDS:
        kinds = " and ".join(VALUE_KINDS)
        raise Invalid(f"Only {kinds} rules can be tried on the past, because they look at values.", field="kind")
    if start >= end:
        raise Invalid("The end is not after the start.", field="end")
    found = Backtest()
    for sensor in sensors:
        found.sensors += 1
        interval_us = expected_intervals_us([sensor.pk]).get(sensor.pk)
        chunks = _counted(sensor, rule.attribute, found, start=start, end=end, max_samples=max_samples)
        if rule.kind == RuleKind.RATE_OF_CHANGE:
            chunks = _changes(chunks)
        for episode in _episodes(rule, chunks, sensor.identifier, found, interval_us=interval_us):
            found.fired += 1
            found.firing_s += ((episode.resolved_at or end) - episode.fired_at).total_seconds()
            if len(found.episodes) < MAX_EPISODES:
                found.episodes.append(episode)
        progress(found)
    return found


def _counted(
    sensor: Sensor, attribute: str, found: Backtest, *, start: datetime, end: datetime, max_samples: int | None
) -> Iterator[list[Sample]]:
    """Yield the sensor's samples and count them."""
    for numbers in numbers_of(sensor, attribute, start=start, end=end):
        found.samples += len(numbers)
        if max_samples is not None and found.samples > max_samples:
            raise Invalid(
                f"These are more than {max_samples:,} values. Ask for a shorter range or fewer sensors, or use"
                " manage.py backtest, which has no limit.",
                field="start",
            )
        yield [(at, at, value) for at, value in numbers]


def _changes(chunks: Iterable[list[Sample]]) -> Iterator[list[Sample]]:
    """Yield how the values of `chunks` change."""
    until: int | None = None
    value: float | None = None
    for samples in chunks:
        yield rates(samples, until=until, value=value)
        if until is None or samples[-1][0] > until:
            until = samples[-1][0]
            value = next(number for measured, _, number in samples if measured == until)


def _episodes(
    rule: Rule,
    chunks: Iterable[list[Sample]],
    identifier: str,
    found: Backtest,
    *,
    interval_us: int | None,
) -> Iterator[PastEpisode]:
    """Yield the episodes that fire; those that do not are counted in `found`."""
    limits, progress = limits_of(rule), Progress()
    fired: Transition | None = None
    for samples in chunks:
        progress, transitions = evaluate(limits, progress, samples, interval_us=interval_us)
        for transition in transitions:
            if transition.change is Change.FIRING:
                fired = transition
            elif transition.change is Change.DROPPED:
                found.cleared_early += 1
            elif transition.change is Change.RESOLVED and fired is not None:
                yield _past(identifier, fired, value=transition.value, resolved_us=transition.at)
                fired = None
    if fired is not None:
        yield _past(identifier, fired, value=fired.value if progress.value is None else progress.value)


def _past(identifier: str, fired: Transition, *, value: float, resolved_us: int | None = None) -> PastEpisode:
    resolved_at = None if resolved_us is None else moment(resolved_us)
    return PastEpisode(identifier, moment(fired.started), moment(fired.at), resolved_at, value)
