"""A stack of this test's own, every part of which may be killed."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from django.db import connection

from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from fleet.stack.postgres import PostgresServer
from fleet.stack.server import Server
from fleet.stack.valkey import ValkeyServer
from tests.bridges import ROOT, BridgeProcess
from tests.faults.load import Load
from tests.faults.messages import SENSORS, STORED
from tests.servers import make_postgres
from tests.waiting import wait_until

# Says how often each revision was answered for the first time; the product has no need to know.
COUNT_ANSWERS = """
CREATE TABLE counted_answers (revision_id bigint NOT NULL);
CREATE FUNCTION count_answer() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO counted_answers VALUES (NEW.id); RETURN NULL; END $$;
CREATE TRIGGER count_answer AFTER UPDATE OF acknowledged_at ON config_revision
    FOR EACH ROW WHEN (NEW.acknowledged_at IS DISTINCT FROM OLD.acknowledged_at) EXECUTE FUNCTION count_answer();
"""


def insert_sensors(database_url: str) -> None:
    """Make the sensors s-0 … s-19 in a network of their own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO sensors_network (slug, name, created_at) VALUES ('hall', 'Hall', now())")
        connection.execute(
            "INSERT INTO sensors_sensor"
            " (identifier, network_id, name, labels, period_s, grace_s, created_at, updated_at)"
            " SELECT 's-' || number, network.id, '', '{}', 60, 30, now(), now()"
            " FROM generate_series(0, %s) AS number, sensors_network AS network WHERE network.slug = 'hall'",
            [SENSORS - 1],
        )


def stored_numbers(database_url: str) -> list[int]:
    """Return the numbers of all messages of a `Load` that are stored, lowest first, doubles included."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        return sorted(row[0] for row in connection.execute(STORED))


def migrate(database_url: str) -> None:
    """Make the tables, and the sensors of the load."""
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url},
        check=True,
    )
    insert_sensors(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(COUNT_ANSWERS)


class MadeDatabase:
    """A database with tables and sensors, stopped in good order, of which each test gets a copy."""

    def __init__(self, place: DataDir) -> None:
        self._place = place
        self._data: Path | None = None

    def copy_into(self, place: DataDir) -> None:
        """Put the files and the passwords into an empty place; about a tenth of the time of making them."""
        if self._data is None:
            database = make_postgres(self._place)
            database.start()
            migrate(database.url)
            database.stop()
            self._data = database.data
        shutil.copy(self._place.secrets, place.secrets)
        home = make_postgres(place).data.parent
        # With owners and modes, which PostgreSQL checks.
        subprocess.run(["cp", "-a", str(self._data), str(home)], check=True)


@dataclass(frozen=True, slots=True)
class Answers:
    """One revision of one sensor and how often an answer to it was recorded."""

    sensor: str
    number: int
    published: bool
    superseded: bool
    count: int


class Stack:
    """PostgreSQL, Valkey, mosquitto and a bridge, with sensors s-0 … s-19 in one network."""

    def __init__(self, database: PostgresServer, redis: ValkeyServer, broker: MosquittoServer, folder: Path) -> None:
        self.database, self.redis, self.broker = database, redis, broker
        self.folder = folder
        self.environment = {"DATABASE_URL": database.url, "REDIS_URL": redis.url}
        self.bridge = self.make_bridge()

    def make_bridge(
        self,
        *,
        log: str = "bridge",
        broker_url: str = "",
        program: tuple[str, ...] = ("manage.py",),
        **environment: str,
    ) -> BridgeProcess:
        """Return a bridge of this stack, not started."""
        return BridgeProcess(
            broker_url=broker_url or self.broker.url,
            log=self.folder / f"{log}.log",
            program=program,
            **{**self.environment, **environment},
        )

    def start_bridge(self) -> None:
        """Start the bridge and wait until it is connected."""
        self.bridge.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the bridge's present process has said that it is connected."""
        wait_until(self.bridge_is_ready, 60, "the bridge to be connected")

    def run(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; return its rows."""
        with psycopg.connect(self.database.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def revise(self) -> None:
        """Give every sensor its next revision, as `create_revision` does."""
        with psycopg.connect(self.database.url) as connection:
            connection.execute(
                "UPDATE config_revision SET superseded_at = now()"
                " WHERE acknowledged_at IS NULL AND superseded_at IS NULL"
            )
            connection.execute(
                "INSERT INTO config_revision (sensor_id, number, values, comment, created_at)"
                " SELECT sensor.id, 1 + coalesce((SELECT max(number) FROM config_revision WHERE sensor_id = sensor.id),"
                " -1), '{}', '', now() FROM sensors_sensor AS sensor"
            )

    def answers(self) -> list[Answers]:
        """Return all revisions with the number of answers that were recorded, oldest first."""
        rows = self.run(
            "SELECT sensor.identifier, number, published_at IS NOT NULL, superseded_at IS NOT NULL,"
            " (SELECT count(*) FROM counted_answers WHERE revision_id = revision.id)"
            " FROM config_revision AS revision JOIN sensors_sensor AS sensor ON sensor.id = sensor_id"
            " ORDER BY number, sensor.id"
        )
        return [Answers(*row) for row in rows]

    def set_read_only(self, *, on: bool) -> None:
        """Let the database refuse every write, or accept them again."""
        with psycopg.connect(self.database.superuser_url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if on else 'off'}")
            connection.execute("SELECT pg_reload_conf()")

    def bridge_is_ready(self) -> bool:
        """Return whether the bridge's present process has said that it is connected."""
        process = self.bridge.process
        if process is None or process.poll() is not None:
            raise RuntimeError(self.bridge.text())
        rows = self.run("SELECT detail FROM sensors_servicetick WHERE name = 'bridge 0/1'")
        return bool(rows) and rows[0][0]["pid"] == process.pid and rows[0][0]["connected"]

    def tick(self) -> dict[str, Any]:
        """Return what the bridge last said of itself."""
        ((detail,),) = self.run("SELECT detail FROM sensors_servicetick WHERE name = 'bridge 0/1'")
        return detail

    def database_answers(self) -> bool:
        """Return whether the database takes connections."""
        try:
            self.run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def somebody_waits_for_a_lock(self) -> bool:
        """Return whether a statement waits for a lock of another session."""
        (row,) = self.run(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return row[0] > 0

    def stored(self) -> list[int]:
        """Return the numbers of all stored messages."""
        return stored_numbers(self.database.url)


MakeLoad = Callable[..., Load]


def assert_nothing_is_lost(stack: Stack, load: Load, *, within_s: float = 60, least: int = 100) -> None:
    """End the load; every message that it saw acknowledged is stored exactly once, and nothing else.

    within_s: how long the storing may take; a generous one only bounds a failing test.
    """
    load.end()
    wait_until(lambda: load.outstanding() == 0, 60, "the broker's acknowledgements")
    acknowledged = sorted(load.acknowledged())
    assert len(acknowledged) == load.count > least

    wait_until(lambda: len(stack.stored()) >= len(acknowledged), within_s, "everything to be stored")
    # Exactly once: sorted numbers, none missing, none double.
    assert stack.stored() == acknowledged


def assert_answered_once(stack: Stack, *, revisions: int) -> None:
    """Every sensor's newest revision was answered, and no revision more than once."""

    def answered() -> bool:
        newest = [each for each in stack.answers() if each.number == revisions - 1]
        return len(newest) == SENSORS and all(each.count for each in newest)

    wait_until(answered, 60, "the newest revisions to be answered")
    assert len(stack.answers()) == SENSORS * revisions
    assert [each for each in stack.answers() if each.count > 1] == []
    # What was not answered was overtaken by a newer one.
    assert [each for each in stack.answers() if not each.count and not each.superseded] == []


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    """Let the server hang: it keeps its connections and answers nobody."""
    process = next(
        child for child in psutil.Process().children(recursive=True) if str(server.port) in " ".join(child.cmdline())
    )
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def holding(stack: Stack, statement: str) -> Iterator[None]:
    """Hold the locks of a statement until the end, then undo it; `{s-0}` stands for the id of s-0."""
    ids = dict(stack.run("SELECT identifier, id FROM sensors_sensor"))
    for identifier, sensor_id in ids.items():
        statement = statement.replace(f"{{{identifier}}}", str(sensor_id))
    with psycopg.connect(stack.database.url) as connection:
        connection.execute(statement)
        yield
        connection.rollback()


def restart_empty(broker: MosquittoServer) -> None:
    """Kill the broker and start it without sessions, queues and retained messages."""
    broker.kill(signal.SIGKILL)
    broker.state.unlink(missing_ok=True)
    broker.start()


@contextmanager
def django_on(database: PostgresServer) -> Iterator[None]:
    """Let Django's own connection, in every thread of this process, lead to this database meanwhile."""
    parts = urlsplit(database.url)
    kept = {name: connection.settings_dict[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    connection.close()
    connection.settings_dict.update(
        NAME=parts.path[1:], USER=parts.username, PASSWORD=parts.password, HOST=parts.hostname, PORT=parts.port
    )
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(kept)
