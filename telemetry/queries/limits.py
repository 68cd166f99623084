"""A bound on what one question may cost the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connection, transaction
from django.db.utils import OperationalError
from psycopg.errors import QueryCanceled

from sensors.errors import Invalid

# A person waits about that long; some 13 million measurements are grouped in it (docs/telemetry.md).
QUERY_TIMEOUT_S: Final = 10.0


@contextmanager
def time_limit(timeout_s: float = QUERY_TIMEOUT_S, *, field: str = "start") -> Iterator[None]:
    """Run the block's queries in one transaction, each for at most `timeout_s` seconds.

    Raises Invalid naming `field` when one took longer: a shorter range helps, asking again does not.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # Compiling costs more than it saves on queries of this size: 244 ms became about 190 ms without. One
                # question keeps one core busy, the others are for ingest.
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true), set_config('jit', 'off', true),"
                    " set_config('max_parallel_workers_per_gather', '0', true)",
                    [f"{timeout_s * 1000:.0f}ms"],
                )
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            message = f"The answer took longer than {timeout_s:g} s. Ask for a shorter range."
            raise Invalid(message, field=field) from error
        raise
