"""A stack of this test's own, every part of which may be killed."""

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.postgres import PostgresServer
from fleet.stack.valkey import ValkeyServer
from tests.bridges import ROOT, BridgeProcess, Client, measurement
from tests.waiting import wait_until

SENSORS = 20


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
    """Return the numbers of all messages of a `Load` that are stored, lowest first."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        rows = connection.execute("SELECT (value ->> 'n')::int FROM telemetry_measurement WHERE value ? 'n' ORDER BY 1")
        return [row[0] for row in rows]


class Stack:
    """PostgreSQL, Valkey, mosquitto and a bridge, with sensors s-0 … s-19 in one network."""

    def __init__(self, database: PostgresServer, redis: ValkeyServer, broker: MosquittoServer, log: Path) -> None:
        self.database, self.redis, self.broker = database, redis, broker
        environment = {"DATABASE_URL": database.url, "REDIS_URL": redis.url}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env={**os.environ, **environment}, check=True
        )
        insert_sensors(database.url)
        self.bridge = BridgeProcess(broker_url=broker.url, log=log, **environment)

    def run(self, statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; return its rows."""
        with psycopg.connect(self.database.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

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

    def stored(self) -> list[int]:
        """Return the numbers of all stored messages."""
        return stored_numbers(self.database.url)


class Load:
    """Publishes numbered measurements at a steady rate from a thread; knows which were acknowledged."""

    def __init__(self, port: int, *, rate: float) -> None:
        """port: of the broker on this machine. rate: messages/s."""
        self._client = Client(f"mqtt://127.0.0.1:{port}", client_id=f"load-{secrets.token_hex(4)}", clean=False)
        self._rate = rate
        self._numbers: dict[int, int] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self.count = 0

    def start(self) -> "Load":
        self._thread.start()
        return self

    def end(self) -> None:
        """Stop publishing; acknowledgements may still come."""
        self._ending.set()
        self._thread.join()

    def outstanding(self) -> int:
        """Return how many messages the broker has not acknowledged yet."""
        return len(self._numbers) - len(self._client.acknowledged & self._numbers.keys())

    def acknowledged(self) -> set[int]:
        """Return the numbers of the messages that the broker acknowledged."""
        return {self._numbers[packet] for packet in list(self._client.acknowledged) if packet in self._numbers}

    def run_for(self, count: int) -> None:
        """Wait until so many more messages were published."""
        target = self.count + count
        wait_until(lambda: self.count >= target, 180, f"{count} more messages")

    def close(self) -> None:
        """Disconnect, whatever is still to be acknowledged."""
        self._ending.set()
        self._client.close()

    def _publish(self) -> None:
        began = time.monotonic()
        while not self._ending.is_set():
            number = self.count
            # Packet ids come again after 65,535; no test here sends as many.
            packet = self._client.send(
                f"measurements/s-{number % SENSORS}", {"measurements": [measurement({"n": number})]}
            )
            self._numbers[packet] = number
            self.count += 1
            self._ending.wait(max(0.0, began + self.count / self._rate - time.monotonic()))


@pytest.fixture
def stack(
    own_postgres: PostgresServer, own_valkey: ValkeyServer, own_broker: MosquittoServer, tmp_path: Path
) -> Iterator[Stack]:
    """Return the stack with its bridge not yet started."""
    stack = Stack(own_postgres, own_valkey, own_broker, tmp_path / "bridge.log")
    yield stack
    stack.bridge.stop()


@pytest.fixture
def make_load(stack: Stack) -> Iterator[Callable[..., Load]]:
    """Return a function that starts a load on the stack's broker."""
    loads: list[Load] = []

    def make(*, rate: float) -> Load:
        loads.append(Load(stack.broker.port, rate=rate).start())
        return loads[-1]

    yield make
    for load in loads:
        load.close()
