"""Changes how many bridges share the sensors, without losing, doubling or reordering anything.

No bridge runs meanwhile; what sensors send waits at the broker. The order of the steps is what makes it safe:

1. `note`: the database remembers which sets of shards may have sessions at the broker.
2. `open`: the new shards get sessions. Whatever the broker takes from then on waits in them.
3. `drain`: the old shards' sessions are stored up to a marker that was sent after step 2. So everything is either
   stored or in a new session, and what is stored is older than what only a new session has.
4. `switch`: one transaction replaces the old shards' watermarks by the new ones'. Until here the old bridges may be
   started again, from here on the new ones; both only where nothing is missing.
5. `clear`: the old sessions are deleted at the broker; what came to them after the marker is in the new ones.

Killed at any moment, the same call does the rest; a call with the former number goes back, up to step 4.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.drain import Drain, Drainage
from fleet.mqtt.guard import SetLock, counts_in_use, counts_ticked, running_shards
from fleet.mqtt.sessions import delete_session, open_session
from fleet.mqtt.shards import BRIDGE_TICK, RESHARD_TICK, WAITING_TICK, Shard, set_of
from sensors.database import connection_parameters

# How often the note says that the work goes on; /readyz calls it interrupted after FRESH_S.
NOTE_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a change to `to` shards has to do.

    old: how many shards the sets have whose sessions hold what is not stored yet. leftover: sets whose sessions an
    interrupted change left behind; all that waits in them waits elsewhere too. running: bridges that work now.
    """

    to: int
    old: tuple[int, ...]
    leftover: tuple[int, ...]
    running: tuple[Shard, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.old or self.leftover)

    @property
    def new(self) -> tuple[Shard, ...]:
        """Return the shards that there are afterwards."""
        return set_of(self.to)

    @property
    def draining(self) -> tuple[Shard, ...]:
        """Return the shards whose sessions are stored first."""
        return tuple(shard for count in self.old for shard in set_of(count))

    @property
    def clearing(self) -> tuple[Shard, ...]:
        """Return the shards whose sessions are deleted at the broker."""
        return tuple(shard for count in (*self.old, *self.leftover) for shard in set_of(count))


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that was done or goes on. step: open, drain, switch or clear."""

    step: str
    shard: Shard | None = None
    drainage: Drainage | None = None
    is_done: bool = True


@dataclass(slots=True)
class Outcome:
    """What a change did. drained_until: up to when everything was stored by then; None if nothing was drained."""

    plan: Plan
    drained: list[Drainage] = field(default_factory=list)
    drained_until: datetime | None = None


def read_plan(to: int) -> Plan:
    """Return what a change to `to` shards would have to do now. Changes nothing; psycopg.Error without a database."""
    with psycopg.connect(**connection_parameters(), autocommit=True) as connection:
        return _plan(connection, to)


class Resharding:
    """One change of the number of shards, step by step; `run` does all of them.

    `lock` is held by the caller for the whole time.
    """

    def __init__(
        self,
        address: BrokerAddress,
        lock: SetLock,
        to: int,
        *,
        check: Callable[[], None] = lambda: None,
        report: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """`check` is called all the time and may raise to give up; `report` gets what was done."""
        self._address = address
        self._lock = lock
        self._interrupt = check
        self._report = report
        self._noted_at = datetime.min.replace(tzinfo=UTC)
        self.plan = _plan(lock.connection, to)
        self.outcome = Outcome(self.plan)

    def run(self) -> Outcome:
        """Do what is left to do; return what was done.

        Raises BrokerUnavailableError, SetLockLostError, psycopg.Error, and what `check` raises.
        """
        if self.plan.is_needed:
            for step in (self.note, self.open, self.drain, self.switch, self.clear):
                step()
        return self.outcome

    def note(self) -> None:
        """Remember which sets may have sessions, before there are any new ones."""
        self._note(datetime.now(UTC))

    def open(self) -> None:
        """Let the broker queue for the new shards from now on."""
        # Nothing to drain means that the new set is the present one, and its bridges have their sessions.
        for shard in self.plan.new if self.plan.old else ():
            open_session(self._address, shard, check=self._check)
            self._report(Progress("open", shard))

    def drain(self) -> None:
        """Store what waits in the old shards' sessions."""
        for shard in self.plan.draining:

            def told(drainage: Drainage) -> None:
                self._report(Progress("drain", drainage.shard, drainage, is_done=False))

            drainage = Drain(self._address, shard, check=self._check, report=told).run()
            self.outcome.drained.append(drainage)
            self._report(Progress("drain", shard, drainage))

    def switch(self) -> None:
        """Make the new set the one in use: in one transaction, on the connection that holds the lock."""
        if not self.plan.old:
            return
        gone = [str(shard) for shard in self.plan.draining]
        connection = self._lock.connection
        with connection.transaction():
            # Everything up to the least old mark is stored. The new bridges go on from there, and until they do,
            # nobody is judged silent for what came later.
            row = connection.execute(_SWITCH, {"gone": gone, "new": [str(shard) for shard in self.plan.new]}).fetchone()
            connection.execute(
                "DELETE FROM sensors_servicetick WHERE name = ANY(%s)", [[f"{BRIDGE_TICK} {name}" for name in gone]]
            )
        self.outcome.drained_until = row[0] if row else None
        self._report(Progress("switch"))

    def clear(self) -> None:
        """Delete the sessions that no bridge will use, then the note of them."""
        for shard in self.plan.clearing:
            delete_session(self._address, shard, check=self._check)
            self._report(Progress("clear", shard))
        # A bridge of a deleted set never ticks again; one that waits says so anew within seconds.
        names = [f"{kind} {shard}" for shard in self.plan.clearing for kind in (BRIDGE_TICK, WAITING_TICK)]
        self._lock.connection.execute("DELETE FROM sensors_servicetick WHERE name = ANY(%s)", [[RESHARD_TICK, *names]])

    def _check(self) -> None:
        self._interrupt()
        self._lock.check()
        now = datetime.now(UTC)
        if (now - self._noted_at).total_seconds() >= NOTE_EVERY_S:
            self._note(now)

    def _note(self, now: datetime) -> None:
        self._noted_at = now
        counts = sorted({self.plan.to, *self.plan.old, *self.plan.leftover})
        self._lock.connection.execute(
            "INSERT INTO sensors_servicetick (name, at, detail) VALUES (%s, %s, %s)"
            " ON CONFLICT (name) DO UPDATE SET at = excluded.at, detail = excluded.detail",
            [RESHARD_TICK, now, msgspec.json.encode({"to": self.plan.to, "counts": counts}).decode()],
        )


_SWITCH: Final = """
WITH gone AS (
    DELETE FROM sensors_watermark WHERE shard = ANY(%(gone)s) RETURNING drained_until, steady_since
), least AS (
    SELECT min(drained_until) AS drained_until, max(steady_since) AS steady_since FROM gone
), made AS (
    INSERT INTO sensors_watermark (shard, drained_until, steady_since)
    SELECT shard, drained_until, steady_since FROM least, unnest(%(new)s::text[]) AS shard
    ON CONFLICT (shard) DO NOTHING
)
SELECT drained_until FROM least
"""


def _plan(connection: psycopg.Connection, to: int) -> Plan:
    in_use = counts_in_use(connection)
    row = connection.execute("SELECT detail FROM sensors_servicetick WHERE name = %s", [RESHARD_TICK]).fetchone()
    noted: dict[str, Any] = row[0] if row else {}
    known = counts_ticked(connection) | {int(count) for count in noted.get("counts", ())}
    return Plan(
        to=to,
        old=tuple(sorted(in_use - {to})),
        leftover=tuple(sorted(known - in_use - {to})),
        running=tuple(sorted(running_shards(connection), key=lambda shard: (shard.count, shard.index))),
    )
