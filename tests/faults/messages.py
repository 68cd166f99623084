"""Numbered messages of every family; without Django, so that a plain program can read them too."""

import json
import time
from typing import Any

SENSORS = 20
# Revisions from here on were never created, so that these heartbeats answer nothing and carry a number.
NEVER_CREATED = 1_000_000


def message(number: int) -> tuple[str, dict[str, Any]]:
    """Return topic and payload of message `number`: of ten one heartbeat, one log message, eight measurements."""
    sensor = f"s-{number % SENSORS}"
    # Not the sensors' own cycle, so that each sends every family.
    kind = number // SENSORS % 10
    if kind == 0:
        beat = {"revision": NEVER_CREATED + number, "timestamp": time.time(), "success": True}
        return f"heartbeats/{sensor}", {"heartbeats": [beat]}
    if kind == 1:
        entry = {
            "severity": "info",
            "revision": 0,
            "timestamp": time.time(),
            "subject": "load",
            "details": str(number),
        }
        return f"log-messages/{sensor}", {"log_messages": [entry]}
    return f"measurements/{sensor}", {
        "measurements": [{"revision": 0, "timestamp": time.time(), "value": {"n": number}}]
    }


def number_of(topic: str, payload: bytes) -> int | None:
    """Return the number of a message of the load; None for another one."""
    (entry,) = next(iter(json.loads(payload).values()))
    if topic.startswith("heartbeats/"):
        return entry["revision"] - NEVER_CREATED if entry["revision"] >= NEVER_CREATED else None
    return int(entry["details"]) if topic.startswith("log-messages/") else entry["value"].get("n")


# All numbers that are stored, each as often as it is.
STORED = f"""
SELECT (value ->> 'n')::int FROM telemetry_measurement WHERE value ? 'n'
UNION ALL SELECT details::int FROM telemetry_logmessage WHERE subject = 'load'
UNION ALL SELECT revision - {NEVER_CREATED} FROM telemetry_heartbeat WHERE revision >= {NEVER_CREATED}
"""
