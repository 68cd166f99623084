"""How many messages of one sensor lie within a window of time, for one rule about log messages. Pure.

All times are microseconds since 1970. A window is decided by the sensor's own clock, so it comes out the same
whenever the messages are evaluated and however they are cut into batches. Only the end of an episode after which
nothing came at all needs another clock: the bridge's, up to which everything that was received is known.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from alerts.evaluation import LATE_AT_LEAST_US, SECOND_US, Change, Transition

# measured_at, received_at.
Message = tuple[int, int]

# Times that are remembered of one sensor for one rule, and so the most that a rule may ask for: 16 KB.
MAX_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Window:
    """At least `count` messages of which the last was measured at most `length_us` after the first."""

    count: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How far a rule is with a sensor; all that must be kept from one batch to the next.

    times: when messages were measured, oldest first: those of two windows up to the newest, MAX_COUNT at most.
    started: since when the open episode lasts, None if none is open. held: the newest message at which a window was
    full; none up to it opens an episode again. number: how many lay in that window. due: the bridge's time after which
    an open episode has ended unless something comes, or nothing need be remembered.
    """

    times: tuple[int, ...] = ()
    started: int | None = None
    held: int | None = None
    number: int = 0
    due: int = 0


# What is known of a sensor that logged nothing that counts.
NOTHING: Final = Counted()


def window(*, count: int, window_s: int) -> Window:
    """Return the window as it is evaluated."""
    return Window(count, window_s * SECOND_US)


def count_messages(window: Window, counted: Counted, messages: Iterable[Message]) -> tuple[Counted, list[Transition]]:
    """Return how far the rule is after `messages`, and the transitions that they caused, in their order.

    messages: as they were stored. One that was measured more than a window before the newest changes nothing; any
    other takes its place among those that are remembered, so messages that overtake each other count as well.

    An episode begins at the message that fills a window, with how many lie in it as its value, and goes on while
    messages at most a window after the last such one fill another. It ends a window after the last such message, as
    soon as a later one shows that nothing came in time; `expire` ends it where none does.
    """
    transitions: list[Transition] = []
    times = list(counted.times)
    started, held, number, due = counted.started, counted.held, counted.number, counted.due
    length = window.length_us
    for measured, received in messages:
        if times and measured < times[-1] - length:
            continue
        if started is not None and held is not None and measured > held + length:
            transitions.append(Transition(Change.RESOLVED, held + length, started, number, late=False))
            started = None
        insort(times, measured)
        del times[: max(bisect_left(times, times[-1] - 2 * length), len(times) - MAX_COUNT)]
        # The windows that hold this message end at it or at those after it, mostly none.
        for end in times[max(bisect_right(times, measured) - 1, 0) :]:
            inside = bisect_right(times, end) - bisect_left(times, end - length)
            if inside < window.count:
                continue
            if started is None:
                if held is not None and end <= held:
                    continue
                started, due = end, 0
                late = received - measured > LATE_AT_LEAST_US
                transitions.append(Transition(Change.FIRING, end, end, inside, late))
            if held is None or end >= held:
                held, number = end, inside
            due = max(due, held + length, received + length)
        if started is None:
            due = max(times[-1], received) + 2 * length
    return Counted(tuple(times), started, held, number, due), transitions


def expire(
    window: Window, counted: Counted, *, judged: int, steady: int | None
) -> tuple[Counted | None, list[Transition]]:
    """Return what is left of `counted` when nothing else was received up to `judged`; None: nothing need be kept.

    judged: up to when everything that was received is in `counted`, on the bridge's clock. steady: since when it
    heard everything without a break; what was lost before may have filled a window, so a whole one is waited from
    there. An episode ends strictly after a window without another full one, at that moment of the sensor's clock.
    """
    if judged <= counted.due:
        return counted, []
    if counted.started is None or counted.held is None:
        # Where an operator ended the episode, later messages may still be remembered than those that filled it.
        needed = counted.times[-1] + 2 * window.length_us if counted.times else 0
        return (replace(counted, due=needed), []) if needed >= judged else (None, [])
    if steady is not None and judged <= steady + window.length_us:
        return replace(counted, due=steady + window.length_us), []
    ended = Transition(Change.RESOLVED, counted.held + window.length_us, counted.started, counted.number, late=False)
    after = replace(counted, started=None, due=counted.due + window.length_us)
    # Forgotten at once if it may be: what is left goes by `judged` alone, not by how often somebody looked.
    return expire(window, after, judged=judged, steady=steady)[0], [ended]
