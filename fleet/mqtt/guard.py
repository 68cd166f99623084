"""One bridge a shard: an advisory lock in the database, on a connection that also listens for new work."""

import threading
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from fleet.mqtt.shards import Shard
from sensors.database import connection_parameters

log = structlog.get_logger(__name__)

# First key of the two-part advisory lock; the second one is made of the shard.
LOCK_SPACE: Final = 0x666C6565  # "flee"
CHANNEL: Final = "fleet_outbox"
RETRY_S: Final = 2.0
# A second bridge is a mistake that somebody should see, and not on every line of the log.
REMIND_S: Final = 30.0


class ShardGuard:
    """Holds the shard's lock while the process lives and passes on the outbox's notices."""

    def __init__(self, shard: Shard, *, on_notice: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """on_lost is called when another bridge took the shard while this one's connection was away."""
        self._shard = shard
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._listen, name="guard", daemon=True)

    def acquire(self) -> bool:
        """Wait for the database and the lock, saying so; False if stopped before."""
        waited_s = 0.0
        while not self._stopping.is_set():
            try:
                if self._try_lock():
                    self._thread.start()
                    return True
                if waited_s % REMIND_S == 0:
                    log.error("another bridge of this shard is running; waiting for it to end", shard=str(self._shard))
            except psycopg.Error as error:
                if waited_s % REMIND_S == 0:
                    log.error("waiting for the database", error=str(error))
            self._stopping.wait(RETRY_S)
            waited_s += RETRY_S
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
        key = self._shard.count * 1_000 + self._shard.index
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_SPACE, key]).fetchone()
        if row is None or not row[0]:
            self._connection.close()
            return False
        self._connection.execute(f"LISTEN {CHANNEL}")
        return True

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                assert self._connection is not None
                # A notice wakes at once; the timeout only lets the thread see that it should end.
                for _ in self._connection.notifies(timeout=1.0, stop_after=1):
                    self._on_notice()
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
            log.error("another bridge took this shard; ending", shard=str(self._shard))
            self._on_lost()
            return
