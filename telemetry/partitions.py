"""The monthly partitions of the entry tables: made on demand and ahead, listed, dropped.

Months before FIRST_MONTH share one `_old` partition made by the migration. There is no DEFAULT partition:
a row of a missing month is refused (SQLSTATE 23514) rather than put where it blocks making that month.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import accumulate
from typing import Final

from django.db import connection, transaction
from django.db.utils import IntegrityError, OperationalError
from psycopg import sql
from psycopg.errors import CheckViolation, LockNotAvailable

TABLES: Final = ("telemetry_measurement", "telemetry_heartbeat", "telemetry_logmessage")
FIRST_MONTH: Final = date(2020, 1, 1)
# Any constant that no other advisory lock of this database uses: "part" in ASCII.
_LOCK_KEY: Final = 0x70617274
# Dropping needs the parent's exclusive lock, and while it waits, readers and writers queue behind it. A batch
# of ingest takes some tens of milliseconds, an export minutes: only the first is worth waiting for.
_DROP_LOCK_TIMEOUT_MS: Final = 300

# Months that were seen to exist, so that ingest asks the database once for each. Another process may drop one
# behind this one's back; who is then refused (`is_missing_partition`) calls `forget_months`.
_known: set[date] = set()


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: `month` is its first day, or None for the `_old` one, which is never dropped."""

    table: str
    name: str
    month: date | None

    @property
    def start_at(self) -> datetime | None:
        """The first moment that belongs to it; None: everything before `end_at`."""
        return _midnight(self.month) if self.month else None

    @property
    def end_at(self) -> datetime:
        """The first moment after it."""
        return _midnight(_next_month(self.month)) if self.month else _midnight(FIRST_MONTH)


def months_of(moments: Iterable[datetime]) -> set[date]:
    """Return the first days of the UTC months that `moments` (aware) lie in, without those in `_old`.

    >>> months_of([datetime(2026, 11, 30, 23, 59, tzinfo=UTC)])
    {datetime.date(2026, 11, 1)}
    """
    pairs = {(moment.year, moment.month) for moment in (each.astimezone(UTC) for each in moments)}
    return {month for month in (date(year, number, 1) for year, number in pairs) if month >= FIRST_MONTH}


def ensure_months(months: Iterable[date]) -> None:
    """Make the partitions of `months` (first days) in all entry tables, where they are missing.

    Call it outside of a transaction: each month is made in one of its own. A month that is known to exist
    costs a set lookup. Safe to call from several processes at once. Readers and writers are never blocked: a
    table is made beside them and then attached, which takes SHARE UPDATE EXCLUSIVE on the parent only.
    """
    for month in sorted(set(months) - _known):
        if month >= FIRST_MONTH:
            _make_month(month.replace(day=1))


def ensure_ahead(*, now: datetime, months: int = 2) -> None:
    """Make the partitions of `now`'s month and of the `months` that follow it."""
    month = now.astimezone(UTC).date().replace(day=1)
    # The memo may be older than a drop by another process; ahead of time there is time to look.
    forget_months()
    ensure_months(accumulate(range(months), lambda last, _: _next_month(last), initial=month))


def forget_months() -> None:
    """Forget which months exist, so that `ensure_months` looks again."""
    _known.clear()


def is_missing_partition(error: BaseException) -> bool:
    """Return whether `error` (psycopg's or Django's) says that a row's month has no partition.

    The cure is `forget_months()`, `ensure_months(…)` and the whole transaction once more.
    """
    cause = error.__cause__ if isinstance(error, IntegrityError) else error
    # A violated CHECK constraint has the same code, but names its constraint.
    return isinstance(cause, CheckViolation) and not cause.diag.constraint_name


def partitions_of(table: str) -> list[Partition]:
    """Return the partitions of `table` in the order of time, `_old` first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits"
            " JOIN pg_class AS child ON child.oid = inhrelid"
            " WHERE inhparent = %s::regclass",
            [table],
        )
        names = [name for (name,) in cursor.fetchall()]
    found = [_partition(table, name) for name in names]
    return sorted((partition for partition in found if partition), key=lambda partition: partition.month or date.min)


def drop_partition(partition: Partition) -> bool:
    """Drop `partition` with its rows, or empty it if it is the `_old` one; False when it is in use.

    Waits at most 0.3 s for readers and writers to end, so that those behind it wait no longer than that.
    """
    statement = "DROP TABLE IF EXISTS {}" if partition.month else "TRUNCATE TABLE ONLY {}"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(_DROP_LOCK_TIMEOUT_MS)])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
            cursor.execute(sql.SQL(statement).format(sql.Identifier(partition.name)))
            transaction.on_commit(forget_months)
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            return False
        raise
    return True


def _make_month(month: date) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        # Released at the end of the transaction; a second bridge then finds the month made.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        for table in TABLES:
            name = _name(table, month)
            cursor.execute(
                "SELECT 1 FROM pg_inherits WHERE inhparent = %s::regclass AND inhrelid = to_regclass(%s)",
                [table, name],
            )
            if cursor.fetchone() is None:
                _make_partition(cursor.execute, table=table, name=name, month=month)
        # Not before the commit: a rolled-back month does not exist.
        transaction.on_commit(lambda: _known.add(month))


def _make_partition(execute: Callable[[sql.Composed], object], *, table: str, name: str, month: date) -> None:
    names = {"table": sql.Identifier(table), "name": sql.Identifier(name)}
    # CREATE TABLE … PARTITION OF would lock the parent against everybody until the commit. The new table is
    # empty, so the scan for rows outside of its bounds costs nothing; its key joins the parent's as it is.
    execute(sql.SQL("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)").format(**names))
    execute(
        sql.SQL("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})").format(
            **names,
            start=sql.Literal(_midnight(month).isoformat()),
            end=sql.Literal(_midnight(_next_month(month)).isoformat()),
        )
    )


def _partition(table: str, name: str) -> Partition | None:
    """Return the partition that `name` stands for; None for one that somebody else made by hand."""
    if name == f"{table}_old":
        return Partition(table, name, None)
    try:
        month = datetime.strptime(name.removeprefix(f"{table}_"), "%Y_%m").replace(tzinfo=UTC).date()
    except ValueError:
        return None
    return Partition(table, name, month)


def _name(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
