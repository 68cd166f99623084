"""What the service's parts last said of themselves, and which bridges are the ones that count."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sensors.models import ServiceTick

_SHARD: Final = re.compile(r"bridge (\d+/(\d+))")


@dataclass(frozen=True, slots=True)
class Tick:
    """One row of ServiceTick."""

    name: str
    at: datetime
    detail: dict[str, Any] = field(default_factory=dict)

    def age_s(self, now: datetime) -> float:
        """Return how long ago it was; a clock that is behind makes no negative age."""
        return max(0.0, (now - self.at).total_seconds())

    @property
    def shard(self) -> str:
        """Return the shard of a bridge's tick, as I/N, else ""."""
        match = _SHARD.fullmatch(self.name)
        return match[1] if match else ""

    @property
    def shard_count(self) -> int:
        """Return the N of a bridge's I/N, else 0."""
        match = _SHARD.fullmatch(self.name)
        return int(match[2]) if match else 0

    def number(self, key: str) -> float | None:
        """Return the number that the detail holds there, None for anything else; a truth is 0 or 1."""
        value = self.detail.get(key)
        return float(value) if isinstance(value, (bool, int, float)) else None


def read_ticks() -> list[Tick]:
    """Return all ticks, in one query."""
    return [Tick(*row) for row in ServiceTick.objects.order_by("name").values_list("name", "at", "detail")]


def current_bridges(ticks: Iterable[Tick]) -> list[Tick]:
    """Return the bridges' ticks of the set of shards that ticked last, by shard; an earlier set is history. Pure."""
    bridges = [tick for tick in ticks if tick.shard_count]
    if not bridges:
        return []
    count = max(bridges, key=lambda tick: tick.at).shard_count
    current = [tick for tick in bridges if tick.shard_count == count]
    return sorted(current, key=lambda tick: int(tick.shard.partition("/")[0]))
