"""Evaluators and deliverers in processes of their own, over the test's database."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from tests.bridges import ROOT, database_url
from tests.waiting import wait_until


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Python with `arguments` until the end of the block, where it is killed."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "NOTIFICATION_PRIVATE_TARGETS": "127.0.0.1",
            "SECRET_KEY": settings.SECRET_KEY,
            **environment,
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def killed_while_it_writes(table: str, *arguments: str) -> None:
    """Run Python with `arguments`, kill it while it writes into `table`, and wait until the database has undone that.

    Not within a transaction.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Whoever only reads, or locks rows, goes on.
        cursor.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        with running(*arguments):
            writer = wait_until(lambda: _waiting_for(table), 60, f"the writer into {table}")
    # Its statement is still carried out for nobody; only then the database finds out.
    wait_until(lambda: not _is_connected(writer), 30, "the end of what was killed")


def _waiting_for(table: str) -> int | None:
    """Return the process of the database that waits for the table's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_locks WHERE relation = %s::regclass AND NOT granted", [table])
        row = cursor.fetchone()
        return row[0] if row else None


def _is_connected(pid: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", [pid])
        return bool(cursor.fetchone()[0])
