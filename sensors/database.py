"""Connections of one's own, for what must not sit in the pool, and the driver's own cursor, for what must be quick."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.db import connection

# No transaction of these processes rests between two statements for longer than the garbage collector takes.
IDLE_TRANSACTION_S: Final = 20
LEFT_BEHIND: Final = {
    "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_S}s",
    # As fleet/settings.py has them for the other direction.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def connection_parameters() -> dict[str, Any]:
    """Return the keyword arguments with which psycopg connects to this project's database."""
    parameters = connection.get_connection_params()
    # Django's own, which psycopg does not take.
    for name in ("pool", "context", "cursor_factory", "server_side_binding", "prepare_threshold"):
        parameters.pop(name, None)
    return parameters


def limit_connections(*, statement_s: int | None = None, by_key: bool = False) -> None:
    """Have the server end what connections of this process may leave behind; before the first one is made.

    A client that is gone without a word still holds its locks: on sensors' rows, on a lane. A transaction in which
    nothing happens is ended after IDLE_TRANSACTION_S, and a client that TCP does not reach after half a minute.
    statement_s: what no statement of this process may take. by_key: this process looks rows up by their keys alone,
    some hundred at a time, so that reading a whole table is always the worse plan, whatever statistics say.
    """
    limits = dict(LEFT_BEHIND)
    if statement_s is not None:
        limits["statement_timeout"] = f"{statement_s}s"
    if by_key:
        limits["enable_seqscan"] = "off"
    options = connection.settings_dict["OPTIONS"]
    given = options.get("options", "")
    # What DATABASE_URL sets itself stays.
    ours = [f"-c {name}={value}" for name, value in limits.items() if name not in given]
    options["options"] = " ".join([given, *ours]).strip()


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
