"""Spans of time, half-open pairs of moments, and lists of them: in order, apart, and none empty. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

Span = tuple[datetime, datetime]
# At the start of an hour and of a minute.
_ORIGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)


def without(spans: Iterable[Span], holes: Sequence[Span]) -> list[Span]:
    """Return the parts of `spans` that no hole covers."""
    left: list[Span] = []
    first = 0
    for start, end in spans:
        # What ends before this span ends before the later ones too.
        while first < len(holes) and holes[first][1] <= start:
            first += 1
        at = start
        for hole in holes[first:]:
            if hole[0] >= end:
                break
            if at < hole[0]:
                left.append((at, hole[0]))
            at = max(at, hole[1])
        if at < end:
            left.append((at, end))
    return left


def common(spans: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """Return the parts of `spans` that `others` cover."""
    kept: list[Span] = []
    first = 0
    for start, end in spans:
        while first < len(others) and others[first][1] <= start:
            first += 1
        for other in others[first:]:
            if other[0] >= end:
                break
            kept.append((max(start, other[0]), min(end, other[1])))
    return kept


def whole(spans: Iterable[Span], unit: timedelta) -> list[Span]:
    """Return of each span the whole units, which count from 2000 (UTC) on; nothing of one that holds none."""
    rounded = ((-((_ORIGIN - start) // unit), (end - _ORIGIN) // unit) for start, end in spans)
    return [(_ORIGIN + first * unit, _ORIGIN + last * unit) for first, last in rounded if first < last]


def joined(spans: Iterable[Span], *, most: int | None = None) -> list[Span]:
    """Return `spans` (in order of their starts) with those that touch made one.

    most: then join across the smallest gaps too, until so many are left.
    """
    apart: list[Span] = []
    for start, end in spans:
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(apart[-1][1], end))
        else:
            apart.append((start, end))
    if most is None or len(apart) <= most:
        return apart
    # The spans before which the widest gaps are begin what is left.
    widest = sorted(range(1, len(apart)), key=lambda index: apart[index][0] - apart[index - 1][1], reverse=True)
    firsts = [0, *sorted(widest[: most - 1])]
    return [
        (apart[first][0], apart[following - 1][1])
        for first, following in zip(firsts, [*firsts[1:], len(apart)], strict=True)
    ]
