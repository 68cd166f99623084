"""Processes that end at any statement, and the work that is then simply done again."""

from collections.abc import Callable
from typing import Any

from django.db import connection


class Crash(BaseException):
    """Stands for the end of the process, so nothing that handles errors handles it. Says at which statement."""


class CrashAt:
    """Ends the process at its n-th statement: neither that one nor any later one reaches the database.

    For `connection.execute_wrapper`. Only the rollback does: the server does that for whoever is gone. Statements of
    the driver's own cursors are not seen; what stands before and after them is.
    """

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        is_gone = self.left <= 0
        self.left -= 1
        if self.left <= 0 and not (is_gone and sql.startswith(("ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT"))):
            raise Crash(sql)
        return execute(sql, params, many, context)


def crash_at(number: int, work: Callable[[], Any]) -> bool:
    """Run `work`, ended at its n-th statement; return whether it was, and did not come through before."""
    try:
        with connection.execute_wrapper(CrashAt(number)):
            work()
    except Crash:
        return True
    return False


def crash_everywhere(work: Callable[[], Any]) -> int:
    """Run `work` again and again, ended at its first statement, its second, …, until it comes through.

    Returns at which number of statements it did.
    """
    for number in range(1, 200):
        if not crash_at(number, work):
            return number
    raise AssertionError("it never came through")
