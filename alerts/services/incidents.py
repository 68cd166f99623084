"""Which silent sensors of a gateway are one incident. Pure: reads no clock and no database."""

from collections.abc import Iterator, Sequence, Set
from datetime import datetime, timedelta
from typing import Final, NamedTuple

# 3 of 10 sensors are a share of 0.3 although 10 times 0.3 is a little more than 3.
_ROUNDING: Final = 1e-9


class Silent(NamedTuple):
    """A silent sensor: when it was heard last, and after which moment that was too long ago."""

    identifier: str
    since: datetime
    overdue_at: datetime


def fallen_silent(
    silent: Sequence[Silent],
    *,
    heard: int,
    share: float,
    window_s: int | None = None,
    dismissed_at: datetime | None = None,
) -> Sequence[Silent]:
    """Return the sensors that make a gateway's incident; empty if they are not enough.

    silent: those of its sensors that are, by when they were heard last. heard: how many of its sensors ever were,
    these among them. dismissed_at: an incident of which nobody was heard after that was ended by an operator. Without
    a window all sensors count.

    With a window, those count together that were heard last within `window_s` of each other: as a gateway dies, its
    sensors were all heard less than a period ago, so the window is no shorter than the longest period among them.
    Who was silent before the window is left out of the share on both sides: a battery that died in spring neither
    makes up a gateway's death in autumn nor hides it. Who fell silent after it counts as a sensor that did not. Of
    several windows that reach the share the one with the most sensors is meant, of equal ones the newest.
    """
    found: Sequence[Silent] = ()
    for start, end in _windows(silent, window_s):
        is_new = dismissed_at is None or silent[end - 1].since > dismissed_at
        if is_new and end - start >= len(found) and _is_share(end - start, heard - start, share):
            found = silent[start:end]
    return found


def _windows(silent: Sequence[Silent], window_s: int | None) -> Iterator[tuple[int, int]]:
    """Yield where each window starts and before which sensor it ends; the oldest first."""
    if window_s is None:
        if silent:
            yield 0, len(silent)
        return
    end = 0
    for start, first in enumerate(silent):
        while end < len(silent) and silent[end].since - first.since <= timedelta(seconds=window_s):
            end += 1
        yield start, end


def still_silent(
    silent: Sequence[Silent], *, listed: Set[str], heard: int, share: float, window_s: int | None = None
) -> Sequence[Silent]:
    """Return the sensors that make up an incident that is open; empty if they are not enough any more.

    listed: the sensors that its alert lists. The window has found its first ones, and whoever falls silent after
    them belongs to it, however much later: no incident ends because yet another sensor is not heard. Who was silent
    before them stays left out.
    """
    if window_s is not None:
        start = next((index for index, each in enumerate(silent) if each.identifier in listed), len(silent))
        silent, heard = silent[start:], heard - start
    return silent if _is_share(len(silent), heard, share) else ()


def _is_share(silent: int, heard: int, share: float) -> bool:
    return silent > 0 and silent >= heard * share - _ROUNDING
