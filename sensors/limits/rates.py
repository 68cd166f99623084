"""Limits as settings write them, and the windows of time in which is counted."""

from typing import Final, NamedTuple

_PERIODS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(NamedTuple):
    """So many events in each window of `window_s` seconds; windows start at multiples of their length."""

    most: int
    window_s: int

    def key(self, what: str, *, now_s: float) -> str:
        """Return the name of the counter of `what` in the window of `now_s`."""
        return f"fleet:throttle:{what}:{int(now_s // self.window_s)}"

    def left_s(self, *, now_s: float) -> float:
        """Return the seconds until the window of `now_s` ends, for Retry-After."""
        return self.window_s - now_s % self.window_s


def parse_rate(text: str) -> Rate:
    """Return the rate that a text such as "12000/min" or "10/s" says.

    Raises ValueError for anything else, so that a mistyped setting does not start.
    """
    number, _, period = text.partition("/")
    if period.strip()[:1] not in _PERIODS_S or not number.strip().isdigit() or int(number) < 1:
        raise ValueError(f'a throttle rate is like "100/s" or "12000/min", not {text!r}')
    return Rate(int(number), _PERIODS_S[period.strip()[0]])
