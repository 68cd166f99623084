"""Connections of one's own, for what must not sit in the pool, and the driver's own cursor, for what must be quick."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection


def connection_parameters() -> dict[str, Any]:
    """Return the keyword arguments with which psycopg connects to this project's database."""
    parameters = connection.get_connection_params()
    # Django's own, which psycopg does not take.
    for name in ("pool", "context", "cursor_factory", "server_side_binding", "prepare_threshold"):
        parameters.pop(name, None)
    return parameters


@contextmanager
def driver_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """Yield psycopg's own cursor on Django's connection; errors leave as Django's.

    Django's writes every parameter into the statement as text, which took longer for a batch of ingest than the
    database took to store it. This one can send them in binary (`%b`) and prepare statements (`prepare=True`).
    """
    with connection.wrap_database_errors:
        connection.ensure_connection()
        with psycopg.Cursor(connection.connection) as cursor:
            yield cursor
