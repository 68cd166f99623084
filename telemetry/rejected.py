"""Keeps what came in and could not be stored, with its reason."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from sensors.wire import Reason

# Enough to see what a sensor sends wrongly, and to take it in again once the cause is mended.
KEPT_BYTES: Final = 64 * 1024
KEPT_TOPIC_CHARACTERS: Final = 512
KEPT_DETAIL_CHARACTERS: Final = 1_000


class Rejected(msgspec.Struct, frozen=True):
    """One refused message or entry."""

    topic: str
    payload: bytes
    reason: Reason
    detail: str
    at: datetime
    sensor_id: int | None = None


_UPSERT: Final = """
INSERT INTO telemetry_rejectedmessage AS known
    (topic, digest, sensor_id, reason, detail, count, first_at, last_at, payload, payload_bytes)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (topic, digest) DO UPDATE SET
    count = known.count + excluded.count,
    last_at = GREATEST(known.last_at, excluded.last_at),
    -- An unknown sensor may have become a known one, and the cause another one.
    sensor_id = excluded.sensor_id, reason = excluded.reason, detail = excluded.detail
"""


def record_rejected(cursor: Any, rejected: Sequence[Rejected]) -> None:
    """Keep `rejected`, the same bytes on the same topic as one row with a count, in the caller's transaction."""
    groups: dict[tuple[str, bytes], list[Rejected]] = {}
    for item in rejected:
        topic = storable_text(item.topic)[:KEPT_TOPIC_CHARACTERS]
        groups.setdefault((topic, hashlib.blake2b(item.payload, digest_size=16).digest()), []).append(item)
    # In the order of their key, so that two bridges never wait for each other.
    cursor.executemany(_UPSERT, [_values(key, groups[key]) for key in sorted(groups)])


def storable_text(text: str) -> str:
    """Return `text` with what PostgreSQL cannot store (NUL, lone surrogates) replaced."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _values(key: tuple[str, bytes], items: list[Rejected]) -> tuple[Any, ...]:
    topic, digest = key
    newest = items[-1]
    return (
        topic,
        digest,
        newest.sensor_id,
        newest.reason.value,
        storable_text(newest.detail)[:KEPT_DETAIL_CHARACTERS],
        len(items),
        items[0].at,
        newest.at,
        newest.payload[:KEPT_BYTES],
        len(newest.payload),
    )
