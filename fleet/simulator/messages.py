"""What simulated sensors send, as topic and payload (docs/mqtt.md has the formats)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sensors.wire import FlatValue

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to publish. `once`: with QoS 0, because a broker may close the connection over it."""

    topic: str
    payload: bytes
    once: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One entry of a measurements message."""

    revision: int
    timestamp_s: float
    value: FlatValue

    def encode(self) -> bytes:
        """Return the entry as JSON."""
        return encode({"revision": self.revision, "timestamp": self.timestamp_s, "value": self.value})


def encode(document: Mapping[str, Any]) -> bytes:
    """Return compact JSON; raises ValueError for NaN and Infinity, which JSON does not have."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def heartbeat(sensor: str, *, revision: int, timestamp_s: float, success: bool) -> Message:
    """Return a heartbeat: the sensor's answer to `revision`, or that it still runs it."""
    entry = {"revision": revision, "timestamp": timestamp_s, "success": success}
    return Message(f"heartbeats/{sensor}", encode({"heartbeats": [entry]}))


def log_message(
    sensor: str, *, severity: Severity, revision: int, timestamp_s: float, subject: str, details: str = ""
) -> Message:
    """Return a log message; empty details are left out."""
    entry = {"severity": severity, "revision": revision, "timestamp": timestamp_s, "subject": subject}
    if details:
        entry["details"] = details
    return Message(f"log-messages/{sensor}", encode({"log_messages": [entry]}))


def measurements(sensor: str, entries: Sequence[bytes]) -> Message:
    """Return one message of encoded measurements, in their order."""
    return Message(f"measurements/{sensor}", b'{"measurements":[' + b",".join(entries) + b"]}")
