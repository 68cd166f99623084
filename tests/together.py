"""Threads that work beside a test, or start together, each with a database connection of its own."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def beside(*works: Callable[[], Any]) -> Iterator[None]:
    """Run `works` beside the block, each in a thread of its own; raise what they raise, or if one does not end."""
    errors: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    # One that hangs fails its test and does not keep the tests from ending.
    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a thread did not end"


def at_once(*works: Callable[[], Any], expected: type[Exception] | tuple[type[Exception], ...] = ()) -> list[Any]:
    """Run `works` in threads that start together; return what each returned, or raised if that is `expected`.

    Raises what else one of them raised, or if one does not end.
    """
    start = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(index: int) -> None:
        start.wait(10)
        try:
            results[index] = works[index]()
        except expected as error:
            results[index] = error

    with beside(*[functools.partial(run, index) for index in range(len(works))]):
        pass
    return results
