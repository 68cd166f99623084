"""A broker of one's own that a test may restart, and a plain client that hears everything."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet.simulator.broker import Broker


class OwnBroker:
    """A mosquitto that keeps its retained messages over a restart."""

    def __init__(self, folder: Path, *, passwords: dict[str, str] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {'false' if passwords else 'true'}",
            "max_queued_messages 0",
            "persistence true",
            f"persistence_location {folder}/",
            "user root",
        ]
        if passwords:
            lines.append(f"password_file {folder / 'passwords'}")
            (folder / "passwords").touch(mode=0o600)
            for name, password in passwords.items():
                command = ["mosquitto_passwd", "-b", str(folder / "passwords"), name, password]
                subprocess.run(command, check=True, capture_output=True)
        self._path = folder / "mosquitto.conf"
        self._path.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> Broker:
        return Broker("127.0.0.1", self.port)

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Client:
    """A plain MQTT client: keeps what it hears, publishes what it is told, comes back after a restart."""

    def __init__(self, port: int, *, topics: tuple[str, ...] = ("#",), login: tuple[str, str] | None = None) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.subscriptions = 0
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        client.reconnect_delay_set(1, 1)
        if login:
            client.username_pw_set(*login)
        client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client

    def _subscribed(self, *_: Any) -> None:
        self.subscriptions += 1

    def _message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        self.received.append((message.topic, bytes(message.payload)))

    def configure(self, sensor: str, revision: int, values: object) -> None:
        self.publish(
            f"configurations/{sensor}", json.dumps({"revision": revision, "configuration": values}), retain=True
        )

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def entries(self, family: str, sensor: str) -> list[dict[str, Any]]:
        """Return the entries of all messages of one family and sensor, in the order of arrival."""
        key = family.replace("-", "_")
        return [
            entry
            for topic, payload in list(self.received)
            if topic == f"{family}/{sensor}"
            for entry in json.loads(payload)[key]
        ]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


async def until(predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until `predicate()` is true; fail when that takes longer than `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not predicate():
            await asyncio.sleep(0.02)
