"""Controls: subscribers that store like the bridge and make one of the usual mistakes each.

A test that kills something proves nothing unless the same kill costs these messages.

    forgets    a clean session: what came while it was away is gone
    early      acknowledges what it received before it is stored
    skips      goes on after an error of the database, as after an exception that somebody logged
    stale      acknowledges after storing, by the packet id alone, on whatever connection there is by then
"""

import json
import os
import queue
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from paho.mqtt import client as paho

from tests.faults.messages import number_of
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
MISTAKES = ("forgets", "early", "skips", "stale")
TOPICS = ("heartbeats/#", "log-messages/#", "measurements/#")


class Careless:
    """One such subscriber as a process; its table is `careless`."""

    def __init__(self, mistake: str, *, broker_url: str, database_url: str, truth_url: str) -> None:
        """truth_url: how the test itself reaches the database."""
        assert mistake in MISTAKES
        self._mistake = mistake
        self._truth_url = truth_url
        self._environment = {**os.environ, "MQTT_URL": broker_url, "DATABASE_URL": database_url}
        self.process: subprocess.Popen[str] | None = None
        with psycopg.connect(truth_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS careless (n int PRIMARY KEY)")

    def start(self) -> None:
        """Start it and wait until it is subscribed."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.careless", self._mistake],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.wait_subscribed()

    def wait_subscribed(self) -> None:
        """Wait until it has subscribed once more."""
        assert self.process is not None
        assert self.process.stdout is not None
        assert json.loads(self.process.stdout.readline()) == "subscribed"

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it if it runs."""
        if self.process is not None:
            self.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def stored(self) -> set[int]:
        """Return the numbers of the load that it stored."""
        with psycopg.connect(self._truth_url) as connection:
            return {row[0] for row in connection.execute("SELECT n FROM careless")}

    def wait_stored(self, numbers: set[int]) -> set[int]:
        """Return what it stored once these are among it: it has drained what the broker had for it."""
        wait_until(lambda: numbers <= self.stored(), 60, "the careless subscriber to store the last messages")
        return self.stored()


class Subscriber:
    """What runs in the process."""

    def __init__(self, mistake: str) -> None:
        self._mistake = mistake
        # Without end, as a queue in memory usually is.
        self._waiting: queue.SimpleQueue[tuple[int, int | None]] = queue.SimpleQueue()
        self._manual = mistake in ("stale", "skips")
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id="" if mistake == "forgets" else "careless",
            clean_session=mistake == "forgets",
            manual_ack=self._manual,
        )
        parts = urlsplit(os.environ["MQTT_URL"])
        self._client.username_pw_set(parts.username, parts.password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in TOPICS])
        self._client.on_subscribe = lambda *_: print(json.dumps("subscribed"), flush=True)
        self._client.on_message = self._on_message
        self._client.connect(parts.hostname or "", parts.port or 1883)

    def run(self) -> None:
        """Store what arrives, for ever."""
        self._client.loop_start()
        connection: psycopg.Connection | None = None
        while True:
            batch = [self._waiting.get()]
            while not self._waiting.empty() and len(batch) < 500:
                batch.append(self._waiting.get())
            while True:
                try:
                    connection = connection or psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5)
                    connection.execute(
                        "INSERT INTO careless SELECT unnest(%s::int[]) ON CONFLICT DO NOTHING",
                        [[number for _, number in batch if number is not None]],
                    )
                    connection.commit()
                except psycopg.Error:
                    connection = None
                    if self._mistake == "skips":
                        break
                    time.sleep(0.2)
                    continue
                break
            if self._manual:
                for packet_id, _ in batch:
                    self._client.ack(packet_id, 1)

    def _on_message(self, _client: Any, _data: Any, packet: paho.MQTTMessage) -> None:
        self._waiting.put((packet.mid, number_of(packet.topic, packet.payload)))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Subscriber(sys.argv[1]).run()
