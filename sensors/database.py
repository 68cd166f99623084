"""Connections of one's own to the database, for what must not sit in the pool: waiting, locking, streaming."""

from typing import Any

from django.db import connection


def connection_parameters() -> dict[str, Any]:
    """Return the keyword arguments with which psycopg connects to this project's database."""
    parameters = connection.get_connection_params()
    # Django's own, which psycopg does not take.
    for name in ("pool", "context", "cursor_factory", "server_side_binding", "prepare_threshold"):
        parameters.pop(name, None)
    return parameters
