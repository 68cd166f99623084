"""The pure counting of log messages: what docs/alerts.md says about windows, episodes and their end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.evaluation import SECOND_US
from alerts.windows import MAX_COUNT, NOTHING, Counted, count_messages, expire, window


def run(times, *, count=1, window_s=60, counted=NOTHING, late_s=0):
    """Count messages measured at `times` (s); return what is known then, and the transitions as (change, s, value)."""
    messages = [(second * SECOND_US, (second + late_s) * SECOND_US) for second in times]
    counted, transitions = count_messages(window(count=count, window_s=window_s), counted, messages)
    return counted, [(item.change.value, item.at // SECOND_US, item.value) for item in transitions]


def end(counted, judged_s, *, count=1, window_s=60, steady_s=None):
    """Judge up to `judged_s`; return what is left, and the moments (s) at which an episode ended."""
    steady = None if steady_s is None else steady_s * SECOND_US
    limits = window(count=count, window_s=window_s)
    left, transitions = expire(limits, counted, judged=int(judged_s * SECOND_US), steady=steady)
    assert {item.change.value for item in transitions} <= {"resolved"}
    return left, [item.at // SECOND_US for item in transitions]


def test_the_last_may_lie_exactly_a_window_after_the_first():
    assert run([0, 30, 60], count=3)[1] == [("firing", 60, 3)]
    assert run([0, 30, 61], count=3)[1] == []


def test_messages_with_the_same_time_count_each():
    assert run([5, 5, 5], count=3)[1] == [("firing", 5, 3)]


def test_an_episode_goes_on_while_windows_are_full_and_a_later_message_ends_it_at_its_own_time():
    counted, transitions = run([0, 10, 70, 80, 141], count=2)
    assert transitions == [("firing", 10, 2), ("resolved", 140, 2)]
    assert counted.started is None


def test_a_message_exactly_a_window_later_belongs_to_the_episode():
    assert run([0, 60, 120])[1] == [("firing", 0, 1)]
    assert run([0, 61])[1] == [("firing", 0, 1), ("resolved", 60, 1), ("firing", 61, 1)]


def test_a_message_that_was_overtaken_counts_in_its_place():
    assert run([0, 50, 20], count=3)[1] == [("firing", 50, 3)]
    # It fills the window that ends at itself, before the one at which the newest lies.
    assert run([0, 5, 61, 10], count=3)[1] == [("firing", 10, 3)]


def test_a_message_measured_more_than_a_window_before_the_newest_one_changes_nothing():
    before, _ = run([100])
    assert run([39], counted=before) == (before, [])
    assert run([100, 39, 40], count=2)[1] == [("firing", 100, 2)]


def test_an_overtaken_message_of_an_episode_that_is_over_opens_none():
    counted, _ = run([0, 30], count=2)
    calm, ended = end(counted, 91, count=2)
    assert (ended, calm.started) == ([90], None)
    assert run([10], count=2, counted=calm)[1] == []
    assert run([31], count=2, counted=calm)[1] == [("firing", 31, 3)]


@pytest.mark.parametrize(("late_s", "late"), [(60, False), (61, True)])
def test_late_is_what_was_received_more_than_a_minute_after_it_was_measured(late_s, late):
    messages = [(0, late_s * SECOND_US)]
    _, transitions = count_messages(window(count=1, window_s=60), NOTHING, messages)
    assert [item.late for item in transitions] == [late]


def test_it_is_over_strictly_after_a_window_in_which_nothing_came():
    counted, _ = run([0, 10])
    assert end(counted, 70) == (counted, [])
    left, ended = end(counted, 70.5)
    assert (ended, left.started, left.times) == ([70], None, counted.times)
    # What may still count with a message to come is remembered for another window.
    assert end(left, 130)[0] is not None
    assert end(left, 130.5) == (None, [])


def test_one_look_does_all_that_is_due_by_then():
    counted, _ = run([0])
    assert end(counted, 120) == (end(counted, 61)[0], [60])
    assert end(counted, 120.5) == (None, [60])


def test_nothing_is_over_before_a_window_since_the_message_came():
    counted, _ = run([0], late_s=3600)
    assert end(counted, 3660) == (counted, [])
    assert end(counted, 3661)[1] == [60]


def test_after_a_break_a_whole_window_is_waited_for():
    counted, _ = run([0])
    left, ended = end(counted, 1_000, steady_s=1_000)
    assert ended == []
    assert end(left, 1_060, steady_s=1_000) == (left, [])
    assert end(left, 1_061, steady_s=1_000)[1] == [60]


def test_a_flood_is_counted_and_remembered_up_to_the_most_that_a_rule_may_ask_for():
    counted, transitions = run([1] * (MAX_COUNT + 500), count=MAX_COUNT)
    assert transitions == [("firing", 1, MAX_COUNT)]
    assert (len(counted.times), counted.number) == (MAX_COUNT, MAX_COUNT)


# --- Any split, any history ----------------------------------------------------------------------------

seconds = st.lists(st.integers(0, 400), max_size=40)
limits = {"count": st.integers(1, 5), "window_s": st.integers(1, 100)}


@given(points=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 120)), max_size=40), cuts=seconds, **limits)
def test_batches_in_any_split_equal_one_replay_of_the_messages(points, cuts, count, window_s):
    one = window(count=count, window_s=window_s)
    messages = [(at * SECOND_US, (at + late) * SECOND_US) for at, late in points]
    whole = count_messages(one, NOTHING, messages)
    counted, transitions = NOTHING, []
    borders = sorted({0, len(messages), *(cut for cut in cuts if cut < len(messages))})
    for start, stop in itertools.pairwise(borders):
        counted, some = count_messages(one, counted, messages[start:stop])
        transitions += some
    assert (counted, transitions) == whole


def defined(times, count, window_s):
    """Return the transitions of messages in order by the words of the definition."""
    found, held, is_open = [], None, False
    for number, at in enumerate(times):
        if is_open and at > held + window_s:
            found.append(("resolved", held + window_s))
            is_open = False
        if sum(at - window_s <= other for other in times[: number + 1]) >= count:
            if not is_open:
                found.append(("firing", at))
            is_open, held = True, at
    return found


@given(times=seconds, **limits)
def test_messages_in_order_give_what_the_definition_says(times, count, window_s):
    times = sorted(times)
    _, transitions = run(times, count=count, window_s=window_s)
    assert [(change, at) for change, at, _ in transitions] == defined(times, count, window_s)


@given(times=seconds, judged=st.lists(st.integers(0, 600), max_size=10), **limits)
def test_to_judge_often_ends_what_to_judge_at_the_end_does(times, judged, count, window_s):
    """Whether an episode's end is seen by the clock or by a later message, it is the same end."""
    times = sorted(times)
    steps = sorted([(at, 0) for at in times] + [(at, 1) for at in judged])
    counted, seen = NOTHING, []
    for at, is_judged in [*steps, (10_000, 1)]:
        if is_judged:
            left, ended = end(counted, at, count=count, window_s=window_s)
            counted = left or NOTHING
            seen += [("resolved", second) for second in ended]
        else:
            counted, transitions = run([at], count=count, window_s=window_s, counted=counted)
            seen += [(change, second) for change, second, _ in transitions]
    expected = defined(times, count, window_s)
    if expected and expected[-1][0] == "firing":
        held = max(
            at for number, at in enumerate(times) if sum(at - window_s <= x for x in times[: number + 1]) >= count
        )
        expected.append(("resolved", held + window_s))
    assert seen == expected


def test_what_is_known_is_whole():
    counted, _ = run([0, 10], count=2)
    assert counted == Counted((0, 10 * SECOND_US), 10 * SECOND_US, 10 * SECOND_US, 2, 70 * SECOND_US)
