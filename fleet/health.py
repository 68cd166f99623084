"""`/healthz`: this process lives. `/readyz`: the service does its work, part by part.

No part is asked for longer than ASK_TIMEOUT_S, whatever hangs; all are asked at once, and an answer is good for
CACHE_S, so that a flood of probes costs no more than one. Answers name no host, no address and no error text.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import redis.asyncio
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from sensors.models import ServiceTick

# A healthy server answers within milliseconds; supervisors and load balancers wait for a few seconds.
ASK_TIMEOUT_S: Final = 1.5
CACHE_S: Final = 1.0
# Ticks come every one to two seconds; a restart of a process, or a checkpoint, takes a few.
FRESH_S: Final = 15.0

_SHARD: Final = re.compile(r"bridge (\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """How one part is. age_s: since its last tick. detail: what is wrong, without names and addresses."""

    fit: bool
    age_s: float | None = None
    detail: str = ""

    def shown(self) -> dict[str, Any]:
        """Return the part as JSON shows it; what does not apply is left out."""
        shown: dict[str, Any] = {"fit": self.fit}
        if self.age_s is not None:
            shown["age_s"] = round(self.age_s, 1)
        if self.detail:
            shown["detail"] = self.detail
        return shown


@dataclass(frozen=True, slots=True)
class Tick:
    """One row of ServiceTick."""

    name: str
    at: datetime
    detail: dict[str, Any] = field(default_factory=dict)


@require_safe
async def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 while this process serves requests; asks nobody."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
async def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if every part is fit, else 503; in both cases name each."""
    parts = await _asker.parts()
    ready = all(part.fit for part in parts.values())
    body = {"ready": ready, "parts": {name: part.shown() for name, part in parts.items()}}
    return JsonResponse(body, status=200 if ready else 503)


def judge(ticks: Iterable[Tick] | None, *, now: datetime) -> dict[str, Part]:
    """Return broker, bridge, worker and beat as their ticks show them; `ticks` is None without a database. Pure.

    The broker is judged by what the bridge last said of it, however long ago: a bridge that ended says nothing
    against the broker. With several shards the worst one counts; shards of an earlier number of them do not.
    """
    if ticks is None:
        unknown = Part(False, detail="not known without the database")
        return dict.fromkeys(("broker", "bridge", "worker", "beat"), unknown)
    rows = {tick.name: tick for tick in ticks}
    shards = _current_shards(rows.values())
    if not shards:
        never = Part(False, detail="no bridge has ticked yet")
        return {"broker": never, "bridge": never, **_by_tick(rows, now=now)}
    missing = int(shards[0].name.rpartition("/")[2]) - len(shards)
    oldest = min(shards, key=lambda tick: tick.at)
    bridge = _fresh(oldest, now=now)
    if missing:
        bridge = Part(False, age_s=bridge.age_s, detail=f"{missing} shards have not ticked yet")
    connected = all(tick.detail.get("connected") for tick in shards)
    broker = Part(connected, detail="" if connected else "the bridge is not connected to it")
    return {"broker": broker, "bridge": bridge, **_by_tick(rows, now=now)}


def _by_tick(rows: dict[str, Tick], *, now: datetime) -> dict[str, Part]:
    return {name: _fresh(rows.get(name), now=now) for name in ("worker", "beat")}


def _fresh(tick: Tick | None, *, now: datetime) -> Part:
    if tick is None:
        return Part(False, detail="has not ticked yet")
    age_s = max(0.0, (now - tick.at).total_seconds())
    fit = age_s <= FRESH_S
    return Part(fit, age_s=age_s, detail="" if fit else f"last ticked more than {FRESH_S:g} s ago")


def _current_shards(ticks: Iterable[Tick]) -> list[Tick]:
    """Return the ticks of the set of shards that ticked last."""
    found = [(match[2], tick) for tick in ticks if (match := _SHARD.fullmatch(tick.name))]
    if not found:
        return []
    number, _ = max(found, key=lambda pair: pair[1].at)
    return [tick for of, tick in found if of == number]


class _Asker:
    """Asks the parts, once for all who want to know at the same time."""

    def __init__(self) -> None:
        # A hung database holds its thread; the next question then finds it busy and does not wait.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
        self._busy: Future[list[Tick]] | None = None
        self._asking: asyncio.Task[dict[str, Part]] | None = None
        self._answered_at = float("-inf")
        self._answer: dict[str, Part] = {}

    async def parts(self) -> dict[str, Part]:
        """Return how the parts are, or were at most CACHE_S ago."""
        if time.monotonic() - self._answered_at <= CACHE_S:
            return self._answer
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done() or self._asking.get_loop() is not loop:
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> dict[str, Part]:
        ticks, redis_part = await asyncio.gather(self._ticks(), _ask_bounded(_write_to_redis))
        database = Part(ticks is not None, detail="" if ticks is not None else "does not answer")
        parts = {"database": database, "redis": redis_part, **judge(ticks, now=datetime.now(UTC))}
        self._answer, self._answered_at = parts, time.monotonic()
        return parts

    async def _ticks(self) -> list[Tick] | None:
        """Return the ticks; None if the database does not answer in time or still owes the last answer."""
        if self._busy is None or self._busy.done():
            self._busy = self._thread.submit(_read_ticks)
            try:
                return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._busy)), ASK_TIMEOUT_S)
            except (TimeoutError, DatabaseError, OSError):
                return None
        return None


def _read_ticks() -> list[Tick]:
    try:
        return [Tick(*row) for row in ServiceTick.objects.values_list("name", "at", "detail")]
    finally:
        # Back to the pool; a connection that was kept would hide that no new one can be had.
        connection.close()


async def _write_to_redis() -> None:
    """Write, because a full Redis and a replica still answer a ping."""
    async with redis.asyncio.from_url(
        settings.REDIS_URL, socket_timeout=ASK_TIMEOUT_S, socket_connect_timeout=ASK_TIMEOUT_S
    ) as client:
        await client.set("fleet:readyz", "1", ex=60)


async def _ask_bounded(ask: Callable[[], Awaitable[None]]) -> Part:
    try:
        await asyncio.wait_for(ask(), ASK_TIMEOUT_S)
    except (TimeoutError, OSError, RedisError):
        return Part(False, detail="does not answer")
    return Part(True)


_asker: Final = _Asker()
