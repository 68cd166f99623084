"""Senders of live events in processes of their own."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.live.web import ROOT


class SenderProcess:
    """tests/live/sender_process.py."""

    def __init__(self, redis_url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.live.sender_process"],
            cwd=ROOT,
            env={**os.environ, "REDIS_URL": redis_url, "DJANGO_SETTINGS_MODULE": "fleet.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, *events: dict[str, Any]) -> float:
        """Send the events; return how long `send_event` took for all of them, in seconds."""
        return self._tell({"events": list(events)})["took_s"]

    def end(self, how: int | str = 0) -> int:
        """Return the exit code; TimeoutExpired if the process does not end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"end": how}) + "\n")
        self.process.stdin.flush()
        return self.process.wait(30)

    def _tell(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def status(network: str, number: int = 0, sensor: str = "s") -> dict[str, Any]:
    return {"network": network, "sensor": sensor, "kind": "status", "body": {"status": "up", "number": number}}


def measurement(network: str, number: int, sensor: str = "s") -> dict[str, Any]:
    return {"network": network, "sensor": sensor, "kind": "measurements", "body": {"items": [{"value": {"i": number}}]}}
