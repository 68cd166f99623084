"""One bridge a shard and one set of shards at a time, by advisory locks in the database.

A bridge holds two locks on a connection of its own, which also listens for new work: its shard's, and its share of
the lock that is whole only while no bridge runs. `SetLock` takes the latter one whole, to change the set.

Two sets never run side by side: both would store each sensor (harmless, since storing twice changes nothing), but
samples would reach the rules out of order, and of two publishers the slower one could leave an older configuration
at the broker.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import psycopg
import structlog
from django.db import DatabaseError
from django.db import connection as django_connection

from fleet.mqtt.markers import database_of
from fleet.mqtt.shards import BRIDGE_TICK, RESHARD_TICK, WAITING_TICK, Shard, counts_in
from sensors.activity import record_tick
from sensors.database import connection_parameters
from sensors.models import ServiceTick

log = structlog.get_logger(__name__)

# First key of the two-part advisory lock; the second one is made of the shard, or one of the two below.
LOCK_SPACE: Final = 0x666C6565  # "flee"
KEYS_PER_COUNT: Final = 1_000
# Shared by all bridges; whole for who changes the set of shards.
SET_KEY: Final = 0
# Held for the moment of looking who runs and joining them, so that two cannot look at the same time.
GATE_KEY: Final = 1
CHANNEL: Final = "fleet_outbox"
RETRY_S: Final = 2.0
# A second bridge is a mistake that somebody should see, and not on every line of the log.
REMIND_S: Final = 30.0
# A bridge that waits for its shard holds its share for a moment at each attempt.
SET_WAIT_S: Final = 5
# How often the connection that holds the lock shows that somebody is at its end, and after how long without that
# nobody is: the server itself believes in a connection whose client lost its power for hours.
SHOWN_EVERY_S: Final = 5.0
DEAD_AFTER_S: Final = 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a shard cannot be taken now. why: for people; in_use: the shards of other sets that stand in the way.

    passing: nothing stands in the way any more, and the next attempt will do.
    """

    why: str
    in_use: str = ""
    passing: bool = False


class ShardsBusyError(Exception):
    """Bridges are running, or somebody else is changing the set; the text says who."""


class SetLockLostError(Exception):
    """The database ended the connection that held the lock."""


class ShardGuard:
    """Holds the shard's lock while the process lives and passes on the outbox's notices."""

    def __init__(self, shard: Shard, *, on_notice: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """on_lost is called when another bridge took the shard while this one's connection was away."""
        self._shard = shard
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._refusal: Refusal | None = None
        self._backend = 0
        self.database = ""  # what no other database shares; known once the lock was acquired
        self._thread = threading.Thread(target=self._listen, name="guard", daemon=True)

    def acquire(self) -> bool:
        """Wait for the database and the lock, saying so; False if stopped before."""
        waited_s = 0.0
        while not self._stopping.is_set():
            try:
                if self._try_lock():
                    _note_waiting(self._shard, None)
                    self._thread.start()
                    return True
                _note_waiting(self._shard, self._refusal)
                if waited_s % REMIND_S == 0 and self._refusal is not None and not self._refusal.passing:
                    details = {"in_use": self._refusal.in_use} if self._refusal.in_use else {}
                    log.error(self._refusal.why, shard=str(self._shard), **details)
            except psycopg.Error as error:
                if waited_s % REMIND_S == 0:
                    log.error("waiting for the database", error=str(error))
            self._stopping.wait(RETRY_S)
            waited_s += RETRY_S
        _note_waiting(self._shard, None)
        return False

    def stop_waiting(self) -> None:
        """Let `acquire` give up."""
        self._stopping.set()

    def release(self) -> None:
        """Let the next bridge of this shard go on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _try_lock(self) -> bool:
        self._connection = psycopg.connect(**connection_parameters(), autocommit=True)
        self._refusal = _take(self._connection, self._shard, former=self._backend)
        if self._refusal is not None:
            self._connection.close()
            return False
        self._backend = self._connection.info.backend_pid
        self.database = database_of(self._connection)
        self._connection.execute(f"LISTEN {CHANNEL}")
        return True

    def _listen(self) -> None:
        shown_at = time.monotonic()
        while not self._stopping.is_set():
            try:
                assert self._connection is not None
                # A notice wakes at once; the timeout only lets the thread see that it should end.
                for _ in self._connection.notifies(timeout=1.0, stop_after=1):
                    self._on_notice()
                if time.monotonic() - shown_at >= SHOWN_EVERY_S:
                    self._connection.execute("SELECT 1")
                    shown_at = time.monotonic()
            except psycopg.Error as error:
                log.warning("the guard's connection is gone; taking the lock again", error=str(error))
                self._relock()

    def _relock(self) -> None:
        while not self._stopping.wait(RETRY_S / 4):
            try:
                if self._try_lock():
                    # What was announced meanwhile was not heard.
                    self._on_notice()
                    return
            except psycopg.Error:
                continue
            assert self._refusal is not None
            if self._refusal.passing:
                continue
            log.error("another bridge took this shard; ending", shard=str(self._shard), why=self._refusal.why)
            self._on_lost()
            return


class SetLock:
    """Keeps every bridge of every set from running while it is held; a context manager.

    `connection` holds the lock. What must not happen without it is written on that very connection.
    """

    def __init__(self) -> None:
        self.connection: psycopg.Connection

    def __enter__(self) -> "SetLock":
        """Take the lock. Raises ShardsBusyError if a bridge runs or somebody else holds it, or psycopg.Error."""
        self.connection = psycopg.connect(**connection_parameters(), autocommit=True)
        try:
            # Asked first: while this one waited for its lock, a bridge that lost its own could not take it again.
            if running := running_shards(self.connection):
                raise ShardsBusyError(f"these bridges are running: {_listed(running)}")
            with self.connection.transaction():
                self.connection.execute(f"SET LOCAL lock_timeout = '{SET_WAIT_S}s'")
                self.connection.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_SPACE, SET_KEY])
            # A bridge of a release that knows no lock of the set.
            if running := running_shards(self.connection):
                raise ShardsBusyError(f"these bridges are running: {_listed(running)}")
        except psycopg.errors.LockNotAvailable as error:
            self.connection.close()
            raise ShardsBusyError("a bridge has just started, or somebody else is changing the shards") from error
        except BaseException:
            self.connection.close()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.connection.close()

    def check(self) -> None:
        """Return if the lock is still held; SetLockLostError if the database has ended its connection."""
        try:
            self.connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise SetLockLostError("the database ended the connection that kept bridges from starting") from error


def running_shards(connection: psycopg.Connection) -> set[Shard]:
    """Return the shards whose bridges run now, as their locks show."""
    rows = connection.execute(
        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
        " AND classid = %s::bigint::oid AND objid >= %s::bigint::oid AND pid <> pg_backend_pid()"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [LOCK_SPACE, KEYS_PER_COUNT],
    )
    return {Shard(key % KEYS_PER_COUNT, key // KEYS_PER_COUNT) for (key,) in rows}


def counts_in_use(connection: psycopg.Connection) -> set[int]:
    """Return how many shards the set has whose sessions hold what is not stored yet; usually one number, or none.

    The watermarks say so. Before the first of them it is the bridges' ticks.
    """
    marked = counts_in(row[0] for row in connection.execute("SELECT shard FROM sensors_watermark"))
    return marked or counts_ticked(connection)


def counts_ticked(connection: psycopg.Connection) -> set[int]:
    """Return how many shards the sets have of which a bridge has ever ticked and no re-sharding has removed it."""
    rows = connection.execute("SELECT name FROM sensors_servicetick WHERE starts_with(name, %s)", [f"{BRIDGE_TICK} "])
    return counts_in(row[0].removeprefix(f"{BRIDGE_TICK} ") for row in rows)


def _take(connection: psycopg.Connection, shard: Shard, *, former: int) -> Refusal | None:
    """Take the shard's locks on `connection`; return why not. former: see `_end_dead_holder`."""
    with connection.transaction():
        if not _try(connection, "pg_try_advisory_lock_shared", SET_KEY):
            return Refusal("the shards are being changed by `manage.py reshard`; waiting for it to end")
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_SPACE, GATE_KEY])
        others = {other for other in running_shards(connection) if other.count != shard.count}
        if others:
            return Refusal(
                f"bridges of another set of shards are running; to change over, end them and run"
                f" `manage.py reshard {shard.count}`; waiting",
                _listed(others),
            )
        counts = counts_in_use(connection) - {shard.count}
        if counts:
            # Starting would leave what waits in the other sessions, and the broker collecting in them for ever.
            return Refusal(
                f"another set of shards is in use, and messages may wait in its sessions; run"
                f" `manage.py reshard {shard.count}` first; waiting",
                " and ".join(f"a set of {count}" for count in sorted(counts)),
            )
        if not _try(connection, "pg_try_advisory_lock", _key(shard)):
            if _end_dead_holder(connection, shard, former=former):
                return Refusal("a dead connection that held this shard's lock is being ended", passing=True)
            return Refusal("another bridge of this shard is running; waiting for it to end")
    row = connection.execute("SELECT detail FROM sensors_servicetick WHERE name = %s", [RESHARD_TICK]).fetchone()
    if row is not None:
        log.error(
            "a re-sharding was interrupted, and the broker collects messages in sessions that nobody reads; end the"
            " bridges and run `manage.py reshard` again, or with the present number of shards to stay with that",
            to=row[0].get("to"),
            shard=str(shard),
        )
    return None


def _end_dead_holder(connection: psycopg.Connection, shard: Shard, *, former: int) -> bool:
    """End the connection that holds the shard's lock if nobody is at its end any more; return whether that was so.

    former: the server process of this bridge's own lost connection, 0 if there was none.
    """
    row = connection.execute(
        "SELECT held.pid, activity.state_change, pg_terminate_backend(held.pid)"
        " FROM pg_locks AS held JOIN pg_stat_activity AS activity ON activity.pid = held.pid"
        " WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 2"
        " AND held.classid = %s::bigint::oid AND held.objid = %s::bigint::oid"
        " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND (held.pid = %s OR activity.state_change < clock_timestamp() - make_interval(secs => %s))",
        [LOCK_SPACE, _key(shard), former, DEAD_AFTER_S],
    ).fetchone()
    if row is None:
        return False
    log.warning(
        "ended a dead connection that held this shard's lock", shard=str(shard), pid=row[0], silent_since=row[1]
    )
    return True


def _key(shard: Shard) -> int:
    return shard.count * KEYS_PER_COUNT + shard.index


def _try(connection: psycopg.Connection, function: str, key: int) -> bool:
    row = connection.execute(f"SELECT {function}(%s, %s)", [LOCK_SPACE, key]).fetchone()
    return bool(row and row[0])


def _listed(shards: Iterable[Shard]) -> str:
    return ", ".join(str(shard) for shard in sorted(shards, key=lambda shard: (shard.count, shard.index)))


def _note_waiting(shard: Shard, refusal: Refusal | None) -> None:
    """Let readiness say that this bridge waits and why; best effort."""
    name = f"{WAITING_TICK} {shard}"
    try:
        if refusal is None:
            ServiceTick.objects.filter(name=name).delete()
        else:
            record_tick(name, now=datetime.now(UTC), detail=_waiting_detail(refusal))
    except DatabaseError as error:
        log.warning("what this bridge waits for could not be noted", error=str(error).splitlines()[0])
    finally:
        django_connection.close()


def _waiting_detail(refusal: Refusal) -> dict[str, Any]:
    return {
        "why": refusal.why.removesuffix("; waiting").removesuffix("; waiting for it to end"),
        "in_use": refusal.in_use,
    }
