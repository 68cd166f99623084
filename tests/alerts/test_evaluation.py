"""The pure evaluation: every rule of docs/alerts.md about values and times."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.evaluation import (
    SECOND_US,
    Change,
    Phase,
    Progress,
    Transition,
    calm_band,
    evaluate,
    rates,
    span,
    threshold,
)


def run(limits, points, *, interval_s=None, progress=None, late_s=0):
    """Evaluate (second, value) points; return the phase and the transitions as (change, second, started)."""
    samples = [(second * SECOND_US, (second + late_s) * SECOND_US, value) for second, value in points]
    interval_us = None if interval_s is None else interval_s * SECOND_US
    progress, transitions = evaluate(limits, progress or Progress(), samples, interval_us=interval_us)
    seen = [(item.change.value, item.at // SECOND_US, item.started // SECOND_US) for item in transitions]
    return progress.phase.value, seen


def limits(above=50.0, below=None, hysteresis=0.0, for_s=0, keep_firing_s=0):
    return threshold(above=above, below=below, hysteresis=hysteresis, for_s=for_s, keep_firing_s=keep_firing_s)


def test_a_value_at_the_limit_is_not_beyond_it():
    assert run(limits(above=50, below=0), [(1, 50.0), (2, 0.0), (3, 50), (4, 0)]) == ("calm", [])


def test_a_value_beyond_a_limit_fires_at_once_and_clears_at_the_limit_without_hysteresis():
    points = [(1, 50.1), (2, 60.0), (3, 50.0)]
    assert run(limits(), points) == ("calm", [("firing", 1, 1), ("resolved", 3, 1)])


def test_the_lower_limit_fires_too_and_both_limits_are_one_episode():
    points = [(1, -0.1), (2, 50.1), (3, 49.9)]
    assert run(limits(above=50, below=0), points) == ("calm", [("firing", 1, 1), ("resolved", 3, 1)])


@pytest.mark.parametrize(("value", "phase"), [(49.6, "firing"), (49.5, "calm"), (0.4, "firing"), (0.5, "calm")])
def test_it_clears_when_it_is_inside_by_at_least_the_hysteresis(value, phase):
    assert run(limits(above=50, below=0, hysteresis=0.5), [(1, 51.0), (2, value)])[0] == phase


def test_a_for_is_completed_by_the_violated_sample_that_lies_at_least_so_long_after_the_first():
    points = [(0, 51.0), (30, 52.0), (59, 51.0), (60, 53.0)]
    assert run(limits(for_s=60), points) == ("firing", [("pending", 0, 0), ("firing", 60, 0)])


def test_a_pending_episode_that_clears_leaves_nothing():
    points = [(0, 51.0), (30, 50.0), (60, 51.0), (119, 51.0)]
    assert run(limits(for_s=60), points) == ("pending", [("pending", 0, 0), ("dropped", 30, 0), ("pending", 60, 60)])


def test_a_value_between_limit_and_clear_value_neither_ends_a_pending_episode_nor_completes_it():
    rule = limits(for_s=60, hysteresis=1.0)
    assert run(rule, [(0, 51.0), (60, 49.5)]) == ("pending", [("pending", 0, 0)])
    assert run(rule, [(0, 51.0), (60, 49.5), (61, 51.0)])[1][-1] == ("firing", 61, 0)


def test_it_keeps_firing_until_every_sample_was_inside_for_so_long():
    rule = limits(keep_firing_s=60)
    points = [(0, 51.0), (10, 49.0), (69, 49.0), (70, 49.0)]
    assert run(rule, points) == ("calm", [("firing", 0, 0), ("resolved", 70, 0)])


@pytest.mark.parametrize("value", [51.0, 49.5])
def test_a_value_that_is_not_inside_starts_keep_firing_anew(value):
    rule = limits(keep_firing_s=60, hysteresis=1.0)
    points = [(0, 51.0), (10, 49.0), (40, value), (50, 49.0), (109, 49.0)]
    assert run(rule, points)[0] == "firing"
    assert run(rule, [*points, (110, 49.0)])[1][-1] == ("resolved", 110, 0)


def test_a_gap_of_more_than_two_intervals_begins_a_pending_episode_anew():
    points = [(0, 51.0), (20, 51.0), (41, 51.0), (61, 51.0), (101, 51.0)]
    phase, seen = run(limits(for_s=60), points, interval_s=10)
    assert (phase, seen) == (
        "pending",
        [("pending", 0, 0), ("restarted", 41, 41), ("restarted", 101, 101)],
    )


def test_a_gap_of_exactly_two_intervals_is_none_and_without_an_interval_nothing_is():
    assert run(limits(for_s=40), [(0, 51.0), (20, 51.0), (40, 51.0)], interval_s=10)[0] == "firing"
    assert run(limits(for_s=40), [(0, 51.0), (4000, 51.0)])[0] == "firing"


def test_a_gap_that_ends_with_a_value_in_between_drops_a_pending_episode():
    points = [(0, 51.0), (100, 49.5)]
    assert run(limits(for_s=60, hysteresis=1), points, interval_s=10)[1][-1] == ("dropped", 100, 0)


def test_no_gap_ends_an_episode_that_fires():
    points = [(0, 51.0), (1_000_000, 51.0)]
    assert run(limits(), points, interval_s=1) == ("firing", [("firing", 0, 0)])


def test_samples_that_are_not_newer_change_nothing():
    points = [(10, 49.0), (10, 51.0), (9, 51.0), (11, 51.0), (11, 0.0), (5, 0.0)]
    assert run(limits(), points) == ("firing", [("firing", 11, 11)])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "99", True, None])
def test_what_is_no_finite_number_neither_fires_nor_clears(value):
    assert run(limits(above=0.5), [(1, value)]) == ("calm", [])
    assert run(limits(above=0.5), [(1, 1.0), (2, value)])[0] == "firing"


@pytest.mark.parametrize(
    ("interval_s", "late_s", "is_late"),
    [(None, 60, False), (None, 61, True), (10, 60, False), (10, 61, True), (60, 120, False), (60, 121, True)],
)
def test_late_is_what_took_more_than_two_intervals_and_more_than_a_minute(interval_s, late_s, is_late):
    interval_us = None if interval_s is None else interval_s * SECOND_US
    samples = [(SECOND_US, (1 + late_s) * SECOND_US, 51.0)]
    _, transitions = evaluate(limits(), Progress(), samples, interval_us=interval_us)
    assert transitions == [Transition(Change.FIRING, SECOND_US, SECOND_US, 51.0, is_late)]


def test_transitions_carry_the_newest_violating_value():
    samples = [(second * SECOND_US, second * SECOND_US, value) for second, value in [(1, 51.0), (2, 77.0), (3, 20.0)]]
    _, transitions = evaluate(limits(), Progress(), samples, interval_us=None)
    assert [item.value for item in transitions] == [51.0, 77.0]


# Times go back now and then, values sit on and around every limit.
SAMPLES = st.lists(
    st.tuples(
        st.integers(0, 400).map(lambda second: second * SECOND_US),
        st.integers(0, 400).map(lambda second: second * SECOND_US),
        st.sampled_from([-5.0, 0.0, 0.5, 1.0, 25.0, 49.0, 49.5, 50.0, 50.1, 80.0, math.nan, True, "80"]),
    ),
    max_size=40,
)
RULES = st.builds(
    limits,
    above=st.sampled_from([50.0, None, 49.5]),
    below=st.sampled_from([0.0, 0.5]),
    hysteresis=st.sampled_from([0.0, 0.5, 1.0]),
    for_s=st.sampled_from([0, 1, 30, 100]),
    keep_firing_s=st.sampled_from([0, 1, 30, 100]),
)
INTERVALS = st.sampled_from([None, 5 * SECOND_US, 40 * SECOND_US])


@settings(max_examples=500, deadline=None)
@given(rule=RULES, samples=SAMPLES, cuts=st.sets(st.integers(0, 40)), interval_us=INTERVALS)
def test_batches_in_any_split_equal_one_replay(rule, samples, cuts, interval_us):
    whole = evaluate(rule, Progress(), samples, interval_us=interval_us)
    progress, transitions = Progress(), []
    edges = [0, *sorted(cuts), len(samples)]
    for start, end in itertools.pairwise(edges):
        progress, more = evaluate(rule, progress, samples[start:end], interval_us=interval_us)
        transitions += more
    assert (progress, transitions) == whole


FOLLOWS = {
    None: {Change.PENDING, Change.FIRING},
    Change.PENDING: {Change.RESTARTED, Change.DROPPED, Change.FIRING},
    Change.RESTARTED: {Change.RESTARTED, Change.DROPPED, Change.FIRING},
    Change.FIRING: {Change.RESOLVED},
    Change.DROPPED: {Change.PENDING, Change.FIRING},
    Change.RESOLVED: {Change.PENDING, Change.FIRING},
}


@settings(max_examples=300, deadline=None)
@given(rule=RULES, samples=SAMPLES, interval_us=INTERVALS)
def test_transitions_alternate_move_forward_and_match_the_phase(rule, samples, interval_us):
    progress, transitions = evaluate(rule, Progress(), samples, interval_us=interval_us)
    last, moment = None, -1
    for transition in transitions:
        assert transition.change in FOLLOWS[last]
        assert transition.started <= transition.at
        assert transition.at >= moment
        last, moment = transition.change, transition.at
    phases = {
        None: Phase.CALM,
        Change.DROPPED: Phase.CALM,
        Change.RESOLVED: Phase.CALM,
        Change.PENDING: Phase.PENDING,
        Change.RESTARTED: Phase.PENDING,
        Change.FIRING: Phase.FIRING,
    }
    assert progress.phase is phases[last]


# --- Rates of change ---------------------------------------------------------------------------------


def changes(points, *, last=(None, None)):
    """Return (second, rate) of (second, value) points after `last`."""
    until, value = last
    samples = [(second * SECOND_US, 0, number) for second, number in points]
    found = rates(samples, until=None if until is None else until * SECOND_US, value=value)
    return [(measured // SECOND_US, rate) for measured, _, rate in found]


def test_a_rate_is_the_change_per_minute_since_the_sample_before_at_its_own_time():
    assert changes([(0, 20.0), (60, 21.0), (90, 20.0), (210, 30.0)]) == [(60, 1.0), (90, -2.0), (210, 5.0)]


def test_a_rate_goes_on_from_the_sample_before_if_its_value_is_known():
    assert changes([(30, 25.0)], last=(0, 20.0)) == [(30, 10.0)]
    assert changes([(30, 25.0), (60, 25.0)], last=(0, None)) == [(60, 0.0)]
    assert changes([(30, 25.0)]) == []


def test_a_sample_that_is_not_newer_makes_no_rate():
    assert changes([(10, 1.0), (10, 100.0), (5, 100.0), (70, 2.0)]) == [(70, 1.0)]
    assert changes([(10, 100.0), (70, 7.0)], last=(10, 1.0)) == [(70, 6.0)]


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(-1e6, 1e6)), max_size=20), st.integers(0, 20))
def test_rates_are_the_same_however_the_samples_are_cut(points, cut):
    points = sorted(points, key=lambda point: point[0])
    first, second = points[:cut], points[cut:]
    newest = [value for at, value in first if at == first[-1][0]][:1] if first else []
    last = (first[-1][0], newest[0]) if first else (None, None)
    assert changes(points) == changes(first) + changes(second, last=last)


# --- The short cut ---------------------------------------------------------------------------------


limit = st.one_of(st.none(), st.integers(40, 60)), st.one_of(st.none(), st.integers(-5, 5))


@given(
    points=st.lists(
        st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(-5, 60), st.floats(-5, 60))), min_size=1
    ).filter(lambda points: any(value is not None for _, value in points)),
    rules=st.lists(st.tuples(*limit), min_size=1, max_size=4),
)
@settings(max_examples=300)
def test_what_is_calm_as_a_whole_is_calm_sample_by_sample_for_every_rule(points, rules):
    rules = [limits(above=above, below=below) for above, below in rules]
    points = sorted(points, key=lambda point: point[0])
    samples = [(at * SECOND_US, 0, value) for at, value in points]
    whole = span([at for at, _, _ in samples], [value for _, _, value in samples])

    low, high = calm_band(rules)

    results = [evaluate(rule, Progress(), samples, interval_us=None) for rule in rules]
    if low <= whole.low and whole.high <= high:
        assert results == [(Progress(until=whole.newest), [])] * len(rules)
    elif len({at for at, _ in points}) == len(points):
        # Of equal times only the first counts, which the short cut need not see.
        assert any(transitions for _, transitions in results)
