"""Waiting for what another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# Short beside what is waited for, long beside what a look costs.
LOOK_EVERY_S = 0.02


def wait_until(predicate: Callable[[], Result], timeout_s: float = 10.0, what: str = "the condition") -> Result:
    """Return what `predicate` returns as soon as that is true; AssertionError after `timeout_s` seconds.

    An AssertionError of the predicate's own means "not yet" and is shown at the end.
    """
    deadline = time.monotonic() + timeout_s
    result, last_error = None, None
    while True:
        try:
            result, last_error = predicate(), None
        except AssertionError as error:
            last_error = error
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}; last: {last_error or result!r}")
        time.sleep(LOOK_EVERY_S)
