"""Queued and drained: messages wait in the broker; the clock runs from the first one taken to the last row's commit."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from paho.mqtt import client as paho

from fleet.stack.services import Service
from tests.bench.backlog import Backlog
from tests.bench.clients import close, connect_client, subscribe
from tests.bench.installation import Installation, Running
from tests.bench.processes import MemoryWatch, cpu_between, cpu_seconds
from tests.bench.servers import ROOT
from tests.bench.sightings import everything, viewing

FLOOR_ID: Final = "bench-floor"
FLOOR_IS: Final = "a paho subscriber that only acknowledges"
# Longer than the slowest drain that anybody would wait for.
DRAIN_S: Final = 1_800.0
# One look by primary key costs the database 0.1 ms.
_LOOK_EVERY_S: Final = 0.005
# One look counts the backlog's rows, some ms for a hundred thousand.
_LOOK_AT_ROWS_EVERY_S: Final = 0.05
# One look at the queue of samples adds up some hundred rows.
_LOOK_AT_SAMPLES_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Drained:
    """How one backlog was drained.

    took_s: from the bridge's first message to the last row's commit. floor_s: what only acknowledging took.
    """

    backlog: Backlog
    took_s: float
    floor_s: float
    detail: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.backlog.messages / self.took_s

    @property
    def floor_rate(self) -> float:
        """Messages a second that a subscriber takes that does nothing with them."""
        return self.backlog.messages / self.floor_s


@contextmanager
def queued(
    installation: Installation, backlog: Backlog, *, shards: int = 1, workers: bool = True, dashboards: int = 0
) -> Iterator["Queue"]:
    """Let `backlog` wait for the bridge, and for the floor's subscriber, in an otherwise empty broker.

    While the block runs, web, and worker and beat if `workers`, run as in a real installation; so do `dashboards`
    viewers of everything. The bridge does not: see `Queue.drain`.
    """
    servers = installation.servers
    servers.begin_anew()
    with ExitStack() as stack:
        running = stack.enter_context(installation.running("web", *(("worker", "beat") if workers else ())))
        # Sessions must exist before messages can wait for them.
        with installation.bridges(shards) as bridges:
            installation.await_connected(bridges)
            started_s = cpu_seconds(pids_of(bridges))
        floor = connect_client(servers.broker.url, FLOOR_ID, clean=False, manual_ack=True)
        subscribe(floor, "measurements/#")
        close(floor)
        if dashboards:
            stack.enter_context(viewing(running, queries=everything(dashboards)))
        subprocess.run(
            [sys.executable, "-m", "tests.bench.publish", "backlog", servers.broker.sensor_url, backlog.as_text()],
            cwd=ROOT,
            check=True,
        )
        yield Queue(installation, running, backlog, started_s)


class Queue:
    """A backlog that waits; `acknowledge` and `drain` each take it once."""

    def __init__(
        self, installation: Installation, running: Running, backlog: Backlog, started_s: Mapping[str, float]
    ) -> None:
        """started_s: by bridge, the CPU seconds that its start takes."""
        self._installation = installation
        self._running = running
        self._backlog = backlog
        self._started_s = dict(started_s)
        self._shards = len(started_s)

    def acknowledge(self) -> float:
        """Return for how many seconds a subscriber is busy that acknowledges and does nothing else."""
        done = threading.Event()
        times: list[float] = []

        def take(floor: paho.Client, _data: object, packet: paho.MQTTMessage) -> None:
            times.append(time.monotonic())
            floor.ack(packet.mid, packet.qos)
            if len(times) == self._backlog.messages:
                done.set()

        url = self._installation.servers.broker.url
        floor = connect_client(url, FLOOR_ID, clean=False, manual_ack=True, on_message=take)
        assert done.wait(DRAIN_S), f"{len(times)} of {self._backlog.messages} messages arrived at the floor"
        floor.unsubscribe("measurements/#")
        close(floor)
        return times[-1] - times[0]

    def drain(self, *, evaluated: bool = True) -> Drained:
        """Start the bridge, wait until all is stored, count it, and stop the bridge.

        evaluated: also wait until rules have seen it all.
        """
        backlog = self._backlog
        floor_s = self.acknowledge()
        with self._installation.connect() as connection, self._installation.bridges(self._shards) as bridges:
            pids = pids_of(bridges)
            before = cpu_seconds(self._running.pids()) | self._started_s
            with MemoryWatch(next(iter(pids.values()))) as memory:
                self._await_last(connection)
                ended_at = datetime.now(UTC)
            detail = cpu_between(before, cpu_seconds(self._running.pids() | pids))
            waiting = waiting_samples(connection)
            first_at, rows = self._count(connection)
            if rows < backlog.measurements:
                # Stored in another order than sent.
                ended_at, rows = self._await_all(connection)
            if rows != backlog.measurements:
                raise RuntimeError(f"{rows} rows are stored of {backlog.measurements}")
            if evaluated:
                detail |= self._evaluated(connection, first_at, ended_at, waiting)
        took_s = (ended_at - first_at).total_seconds()
        detail |= {"values/s": backlog.values / took_s, "bridge_peak_rss_mib": memory.peak_rss}
        detail["bridge_peak_pss_mib"] = memory.peak_pss
        return Drained(backlog, took_s, floor_s, detail)

    def _await_last(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until the last message of every shard is stored, asking by its primary key."""
        backlog = self._backlog
        for number in backlog.last_numbers(self._shards):
            sensor_id = self._installation.sensor_ids[backlog.topic(number).rpartition("/")[2]]
            at_s = backlog.measured_at_s(number, backlog.entries - 1)
            deadline = time.monotonic() + DRAIN_S
            # The time is rounded on its way through a float.
            while not connection.execute(
                "SELECT 1 FROM telemetry_measurement WHERE sensor_id = %s"
                " AND measured_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)",
                [sensor_id, at_s - 0.001, at_s + 0.001],
            ).fetchone():
                assert time.monotonic() < deadline, f"message {number} was not stored within {DRAIN_S:g} s"
                # The commit is what is timed, and the bridge must not be slowed by telling of it.
                time.sleep(_LOOK_EVERY_S)

    def _count(self, connection: psycopg.Connection[Any]) -> tuple[datetime, int]:
        """Return when the bridge received the first message of the backlog, and how many rows are stored."""
        backlog = self._backlog
        row = connection.execute(
            "SELECT min(received_at), count(*) FROM telemetry_measurement"
            " WHERE measured_at > to_timestamp(%s) AND measured_at <= to_timestamp(%s)",
            [backlog.ends_at_s - backlog.span_s, backlog.ends_at_s + 0.001],
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _await_all(self, connection: psycopg.Connection[Any]) -> tuple[datetime, int]:
        deadline = time.monotonic() + 60
        while (rows := self._count(connection)[1]) < self._backlog.measurements and time.monotonic() < deadline:
            time.sleep(_LOOK_AT_ROWS_EVERY_S)
        return datetime.now(UTC), rows

    def _evaluated(
        self, connection: psycopg.Connection[Any], first_at: datetime, ended_at: datetime, waiting: int
    ) -> dict[str, float]:
        """Return how far the rules were behind at the end, and when they were done."""
        deadline = time.monotonic() + DRAIN_S
        while waiting_samples(connection):
            assert time.monotonic() < deadline, "the queue of samples was not evaluated"
            time.sleep(_LOOK_AT_SAMPLES_EVERY_S)
        done_at = datetime.now(UTC) if waiting else ended_at
        seen = self._backlog.measurements - waiting
        return {
            "samples_behind_at_end": waiting,
            "evaluated_after_end_s": (done_at - ended_at).total_seconds(),
            "evaluated_while_draining/s": seen / (ended_at - first_at).total_seconds(),
        }


def pids_of(bridges: list[Service]) -> dict[str, int]:
    """Return the process ids by name."""
    return {each.name: each.process.pid for each in bridges if each.process is not None}


def waiting_samples(connection: psycopg.Connection[Any]) -> int:
    """Return how many samples wait for their evaluation."""
    row = connection.execute("SELECT coalesce(sum(sample_count), 0)::bigint FROM alerts_evaluationbatch").fetchone()
    return int(row[0]) if row else 0
