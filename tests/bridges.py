"""A real bridge process over a broker of its own, and a client that publishes to it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.db import connection
from paho.mqtt import client as paho

from sensors.models import ServiceTick
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent


def database_url() -> str:
    """Return the address of the database that this test's connection uses."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


class BridgeProcess:
    """`manage.py bridge` against the test's database."""

    def __init__(
        self,
        *,
        broker_url: str,
        log: Path,
        shard: str = "0/1",
        program: Sequence[str] = ("manage.py",),
        **environment: str,
    ) -> None:
        """program: what to run in the place of manage.py, for a bridge with a defect."""
        self.shard = shard
        self.log = log
        self._program = program
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "MQTT_URL": broker_url,
            "PYTHONFAULTHANDLER": "1",  # SIGABRT tells what each thread is at
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "BridgeProcess":
        """Start it; it may not be ready yet."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._program, "bridge", "--shard", self.shard],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def wait_ready(self) -> "BridgeProcess":
        """Wait until this very process has said that it is connected."""
        pid = self.process.pid if self.process else None

        def connected() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(self.text())
            tick = ServiceTick.objects.filter(name=f"bridge {self.shard}").first()
            return tick is not None and tick.detail.get("pid") == pid and tick.detail["connected"]

        wait_until(connected, 30, "the bridge to be connected")
        return self

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send the signal, wait for the end, and return the exit code.

        Raises RuntimeError, with what each thread was at, after as long as supervisors wait before they send SIGKILL.
        """
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(5)
            raise RuntimeError(f"the bridge did not end:\n{self.text()}") from None

    def stop(self) -> None:
        """End it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def text(self) -> str:
        """Return what it logged."""
        return self.log.read_text(errors="replace")[-5_000:]


class Client:
    """A plain MQTT client that knows which of its messages the broker acknowledged."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str = "",
        clean: bool = True,
        on_message: Callable[[str, bytes], None] | None = None,
    ) -> None:
        """on_message: called with topic and payload in the client's thread."""
        parts = urlsplit(url)
        self.acknowledged: set[int] = set()
        # How often each packet id was acknowledged: ids come again after 65,535 messages.
        self.acknowledgements: Counter[int] = Counter()
        self.received: list[tuple[str, bytes, bool]] = []
        self._listener = on_message
        self._topics: list[str] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        if parts.username:
            self._client.username_pw_set(parts.username, parts.password)
        self._client.reconnect_delay_set(1, 1)
        self._client.max_inflight_messages_set(500)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()
        wait_until(self._client.is_connected, 10, "the client to connect")

    def send(self, topic: str, payload: bytes | str | dict[str, Any], *, qos: int = 1, retain: bool = False) -> int:
        """Publish without waiting; return the packet's id."""
        body = json.dumps(payload) if isinstance(payload, dict) else payload
        return self._client.publish(topic, body, qos=qos, retain=retain).mid

    def publish(self, topic: str, payload: bytes | str | dict[str, Any], *, retain: bool = False) -> None:
        """Publish and wait until the broker has acknowledged."""
        packet_id = self.send(topic, payload, retain=retain)
        wait_until(lambda: packet_id in self.acknowledged, 10, "the broker's acknowledgement")

    def subscribe(self, *topics: str) -> None:
        """Subscribe with QoS 1 and wait for the answer; again, without waiting, on every new connection."""
        self._topics += topics
        answered = threading.Event()
        self._client.on_subscribe = lambda *_: answered.set()
        self._client.subscribe([(topic, 1) for topic in topics])
        assert answered.wait(10)

    def wait_for(self, topic: str, *, timeout_s: float = 10.0, count: int = 1) -> list[bytes]:
        """Return the payloads received on `topic` once there are `count`."""
        return wait_until(
            lambda: got if len(got := self.on(topic)) >= count else None, timeout_s, f"{count} messages on {topic}"
        )

    def on(self, topic: str) -> list[bytes]:
        """Return the payloads received on `topic` so far."""
        return [payload for where, payload, _ in self.received if where == topic]

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        if self._topics:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_publish(self, _client: Any, _data: Any, packet_id: int, *_: Any) -> None:
        self.acknowledged.add(packet_id)
        self.acknowledgements[packet_id] += 1

    def _on_message(self, _client: Any, _data: Any, packet: paho.MQTTMessage) -> None:
        self.received.append((packet.topic, bytes(packet.payload), packet.retain))
        if self._listener is not None:
            self._listener(packet.topic, bytes(packet.payload))


def measurement(value: dict[str, Any], *, revision: int = 0, at_s: float | None = None) -> dict[str, Any]:
    """Return one entry, measured now if nothing else is said."""
    return {"revision": revision, "timestamp": time.time() if at_s is None else at_s, "value": value}
