"""Markers: messages that a bridge sends to itself through the broker's queue, and what they prove.

Whatever lies in the queue before a marker is stored when the marker is, so its time of sending is up to when this
shard is drained. And a marker that somebody else sends to the same session gives away a second bridge that no lock
can hold back, because its database is another one.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
import psycopg

from fleet.ingest.batch import Drained
from fleet.mqtt.inbox import Delivery
from fleet.mqtt.shards import Shard

# What is younger may have been sent before the bridge that hears it began, by a clock that is a little ahead.
OVERLAP_S: Final = 5.0


class Marker(msgspec.Struct, frozen=True):
    """sent_s: when, Unix seconds. database, started_s: of the bridge that sent it; empty from a re-sharding."""

    sent_s: float
    database: str = ""
    started_s: float = 0.0

    def encoded(self) -> bytes:
        """Return the payload."""
        return _encode(self)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Marker).decode


def decode_marker(payload: bytes) -> Marker | None:
    """Return the marker in a payload; None if there is none."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def drained_by(marker: Marker, delivery: Delivery, shard: Shard) -> Drained | None:
    """Return the proof in a delivered marker: everything that the broker queued for `shard` before it was taken."""
    try:
        until = datetime.fromtimestamp(marker.sent_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    # Somebody else's marker cannot prove the future.
    return Drained(str(shard), min(until, delivery.message.received_at))


class Origin(msgspec.Struct, frozen=True):
    """A running bridge, as far as its markers tell: its database, and when it started (Unix seconds)."""

    database: str
    started_s: float

    def marker(self, *, now: datetime) -> Marker:
        """Return a marker of this bridge."""
        return Marker(now.timestamp(), self.database, self.started_s)

    def has_rival(self, marker: Marker) -> bool:
        """Return whether a bridge with another database sent the marker while this one was running."""
        is_stranger = marker.database not in ("", self.database)
        return is_stranger and marker.sent_s > self.started_s + OVERLAP_S

    def gives_way_to(self, marker: Marker) -> bool:
        """Return whether that rival is the older one."""
        return marker.started_s < self.started_s


def database_of(connection: psycopg.Connection) -> str:
    """Return what no other database shares: the number of its cluster, and its own there."""
    row = connection.execute(
        "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())"
        " FROM pg_control_system()"
    ).fetchone()
    assert row is not None
    return f"{row[0]}/{row[1]}"
