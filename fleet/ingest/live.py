"""Tells live views what a batch stored; best effort, after the commit."""

from datetime import datetime
from typing import Any, Final

from fleet.ingest.result import BatchResult
from fleet.ingest.routes import Family
from fleet.ingest.transaction import entry_time
from sensors import live
from telemetry.storage import Row

KINDS: Final = {
    Family.HEARTBEATS: "heartbeats",
    Family.LOG_MESSAGES: "log_messages",
    Family.MEASUREMENTS: "measurements",
}


def announce(result: BatchResult) -> None:
    """Send the new entries and the sensors that are up again to live views; never blocks."""
    seen_at: dict[str, datetime] = {}
    for entries in result.new:
        sensor = entries.sensor
        # A backlog that is being drained would cost more to encode than anybody can look at.
        rows = entries.rows[-live.ITEMS_PER_FRAME :]
        live.send_event(
            network=sensor.network,
            sensor=sensor.identifier,
            kind=KINDS[entries.family],
            body={"items": [_item(entries.family, row) for row in rows]},
            dropped=len(entries.rows) - len(rows),
        )
        seen_at[sensor.identifier] = entry_time(max(row.received_us for row in entries.rows))
    for sensor in result.awakened:
        live.send_status(sensor.network, sensor.identifier, status="up", last_seen_at=seen_at[sensor.identifier])


def _item(family: Family, row: Row) -> dict[str, Any]:
    entry = row.entry
    item = {
        "measured_at": entry_time(entry.measured_us),
        "received_at": entry_time(row.received_us),
        "revision": entry.revision,
    }
    if family is Family.MEASUREMENTS:
        item["value"] = entry.value
    elif family is Family.HEARTBEATS:
        item["success"] = entry.success
    else:
        item |= {"severity": entry.severity, "subject": entry.subject, "details": entry.details}
    return item
