"""Which of several bridges stores what, and what is wrong when they do not fit together."""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

# Every shard's session receives every message, so that more shards soon cost more than they store; and the
# numbers of the shards' locks have room for three digits of index.
MAX_SHARDS: Final = 100

# Names of rows of ServiceTick. A bridge's own is written while it works.
BRIDGE_TICK: Final = "bridge"
WAITING_TICK: Final = "waiting bridge"
RESHARD_TICK: Final = "reshard"
# Both are renewed every two seconds; some of them may be held up by a checkpoint.
FRESH_S: Final = 15.0

_TEXT: Final = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """Part `index` of `count`; each sensor belongs to exactly one, by a hash that never changes."""

    index: int = 0
    count: int = 1

    @classmethod
    def from_text(cls, text: str) -> "Shard":
        """Return the shard written as I/N with 0 <= I < N <= MAX_SHARDS; ValueError says what is wrong."""
        found = _TEXT.fullmatch(text)
        if not (found and int(found[1]) < int(found[2]) <= MAX_SHARDS):
            raise ValueError(
                f"{text!r} is no shard: write I/N, as 0/2 and 1/2 for two bridges; there are at most {MAX_SHARDS}"
            )
        return cls(int(found[1]), int(found[2]))

    def owns(self, topic: str) -> bool:
        """Return whether messages on `topic` are this shard's: by the last level, the sensor's identifier."""
        return self.count == 1 or zlib.crc32(topic.rpartition("/")[2].encode()) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def suffix(self) -> str:
        """Return the shard's part of MQTT client ids."""
        return f"{self.index}-of-{self.count}"

    @property
    def receiver_id(self) -> str:
        """Return the client id whose session the broker keeps for this shard."""
        return f"fleet-bridge-{self.suffix}"

    @property
    def publisher_id(self) -> str:
        """Return the client id under which this shard publishes configurations."""
        return f"fleet-publisher-{self.suffix}"

    @property
    def marker_topic(self) -> str:
        """Return the topic of the markers that run through this shard's queue."""
        return f"fleet/watermark/{self.receiver_id}"


def set_of(count: int) -> tuple[Shard, ...]:
    """Return the `count` shards that own every sensor between them."""
    return tuple(Shard(index, count) for index in range(count))


def counts_in(names: Iterable[str]) -> set[int]:
    """Return how many shards the sets have of which a member is among `names`, each written as I/N."""
    found = (_TEXT.fullmatch(name) for name in names)
    return {int(match[2]) for match in found if match}


def shard_trouble(ticks: Iterable[tuple[str, datetime, dict[str, Any]]], *, now: datetime) -> str:
    """Return what is wrong with the set of shards and what to do, for a person; "" if nothing is.

    ticks: name, time and detail of every row of ServiceTick, any others among them. Pure.
    """
    waiting: dict[str, str] = {}
    for name, at, detail in ticks:
        is_fresh = (now - at).total_seconds() <= FRESH_S
        if name == RESHARD_TICK:
            if is_fresh:
                return f"re-sharding to {detail.get('to')}: bridges start when it is done"
            return f"re-sharding was interrupted: run `manage.py reshard {detail.get('to')}` again"
        if name.startswith(f"{WAITING_TICK} ") and is_fresh:
            waiting[name.removeprefix(f"{WAITING_TICK} ")] = str(detail.get("why", ""))
    return "; ".join(f"bridge {shard} waits: {why}" for shard, why in sorted(waiting.items()))
