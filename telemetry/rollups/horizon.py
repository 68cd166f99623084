"""The horizon: the full hour before which measurements come late. It only ever moves forward."""

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.utils import OperationalError
from psycopg.errors import LockNotAvailable

from telemetry.models import RollupHorizon

# What arrives within so much of its hour's end costs nothing extra: clocks that differ, a bridge that restarts.
GRACE: Final = timedelta(minutes=5)
# Nothing that is stored was measured before.
BEGINNING: Final = datetime(2000, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
# While the horizon waits for the batches that are under way, further ones wait behind it. A batch takes some tens of
# milliseconds, a very large one half a second; whoever holds it longer is left alone until the next try.
_WAIT_S: Final = 1.0
# "roll" in ASCII; ingest takes it shared, in `telemetry_lock_horizon()`.
_LOCK_KEY: Final = 0x726F6C6C

_MOVE: Final = """
INSERT INTO telemetry_rolluphorizon AS horizon (id, late_before) VALUES (1, %s)
ON CONFLICT (id) DO UPDATE SET late_before = greatest(horizon.late_before, excluded.late_before)
"""


def hour_of(moment: datetime) -> datetime:
    """Return the start of the UTC hour that `moment` (aware) lies in.

    >>> hour_of(datetime(2026, 3, 1, 12, 59, tzinfo=UTC))
    datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc)
    """
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def next_hour(moment: datetime) -> datetime:
    """Return the first full UTC hour that is not before `moment`."""
    hour = hour_of(moment)
    return hour if hour == moment else hour + HOUR


def current_horizon() -> datetime:
    """Return the horizon; before the first move the beginning of all times."""
    return RollupHorizon.objects.values_list("late_before", flat=True).first() or BEGINNING


def advance_horizon(*, now: datetime, wait_s: float = _WAIT_S) -> datetime:
    """Move the horizon to the last full hour that ended 5 minutes ago or earlier; return where it is.

    Waits until no transaction that knows the old one is under way, at most `wait_s` seconds; then it stays, and
    another call moves it. Call it outside of a transaction, since ingest is held up until the end of it.
    """
    current, wanted = current_horizon(), hour_of(now - GRACE)
    if wanted <= current:
        return current
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{wait_s * 1000:.0f}ms"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
            cursor.execute(_MOVE, [wanted])
            # For what else is done where the caller is in a transaction already.
            cursor.execute("SELECT set_config('lock_timeout', '0', true)")
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            return current
        raise
    return wanted
