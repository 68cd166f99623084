"""`/healthz`: this process lives. `/readyz`: the service does its work, part by part.

No part is asked for longer than ASK_TIMEOUT_S, whatever hangs; all are asked at once, and an answer is good for
CACHE_S, so that a flood of probes costs no more than one. Answers name no host, no address and no error text.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
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

from fleet.ingest.status import oldest_sample_at, watermarks
from fleet.mqtt.shards import shard_trouble
from fleet.ticks import Tick, current_bridges, read_ticks

# A healthy server answers within milliseconds; supervisors and load balancers wait for a few seconds.
ASK_TIMEOUT_S: Final = 1.5
CACHE_S: Final = 1.0
# Ticks come every one to two seconds; a restart of a process, or a checkpoint, takes a few.
FRESH_S: Final = 15.0
# A deadlock or a dropped connection is over after one or two tries; what lasts longer is the database's state.
REFUSED_S: Final = 3.0
# Drained marks come twice a second, and samples are evaluated every one to two.
BEHIND_S: Final = 15.0


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
class Reading:
    """What the database says of the service in one go; drained: by shard, up to when the broker's queue is stored."""

    takes_writes: bool
    ticks: list[Tick]
    drained: Mapping[str, datetime]
    oldest_sample_at: datetime | None


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


def judge(
    ticks: Iterable[Tick] | None,
    *,
    now: datetime,
    drained: Mapping[str, datetime] | None = None,
    oldest_sample_at: datetime | None = None,
) -> dict[str, Part]:
    """Return broker, bridge, worker and beat as their ticks show them; `ticks` is None without a database. Pure.

    The broker is judged by what the bridge last said of it, however long ago: a bridge that ended says nothing
    against the broker. With several shards the worst one counts; shards of an earlier number of them do not.
    What is behind but at work is fit, and `detail` says how far behind.
    """
    if ticks is None:
        unknown = Part(False, detail="not known without the database")
        return dict.fromkeys(("broker", "bridge", "worker", "beat"), unknown)
    ticks = list(ticks)
    rows = {tick.name: tick for tick in ticks}
    bridges = current_bridges(ticks)
    worker = _fresh(rows.get("worker"), now=now)
    if worker.fit and oldest_sample_at is not None:
        wait_s = (now - oldest_sample_at).total_seconds()
        if wait_s > BEHIND_S:
            worker = replace(worker, detail=f"samples have waited for the rules for {wait_s:.0f} s")
    trouble = shard_trouble(((tick.name, tick.at, tick.detail) for tick in ticks), now=now)
    return {
        "broker": _broker(bridges),
        "bridge": _bridge(bridges, trouble, now=now, drained=drained or {}),
        "worker": worker,
        "beat": _fresh(rows.get("beat"), now=now),
    }


def _broker(bridges: list[Tick]) -> Part:
    if not bridges:
        return Part(False, detail="no bridge has ticked yet")
    if not all(tick.detail.get("connected") for tick in bridges):
        return Part(False, detail="the bridge is not connected to it")
    # Each shard hears the same count of the same broker.
    dropped = max(tick.number("broker_dropped") or 0 for tick in bridges)
    return Part(True, detail=f"has dropped {dropped:.0f} messages since it started" if dropped else "")


def _bridge(bridges: list[Tick], trouble: str, *, now: datetime, drained: Mapping[str, datetime]) -> Part:
    if not bridges:
        return Part(False, detail=trouble or "no bridge has ticked yet")
    part = _fresh(min(bridges, key=lambda tick: tick.at), now=now)
    missing = bridges[0].shard_count - len(bridges)
    if missing:
        return replace(part, fit=False, detail=trouble or f"{missing} shards have not ticked yet")
    if not part.fit:
        return replace(part, detail=trouble or part.detail)
    if any(_is_refused(tick) for tick in bridges):
        return replace(part, fit=False, detail="the database refuses what it is to store")
    behind = [now - drained[tick.shard] for tick in bridges if tick.shard in drained]
    behind_s = max(behind).total_seconds() if behind else 0.0
    if behind_s > BEHIND_S and not trouble:
        return replace(part, detail=f"is {behind_s:.0f} s behind the broker")
    return replace(part, detail=trouble)


def _is_refused(tick: Tick) -> bool:
    since = tick.number("failing_since")
    return since is not None and tick.at.timestamp() - since >= REFUSED_S


def _fresh(tick: Tick | None, *, now: datetime) -> Part:
    if tick is None:
        return Part(False, detail="has not ticked yet")
    age_s = tick.age_s(now)
    fit = age_s <= FRESH_S
    return Part(fit, age_s=age_s, detail="" if fit else f"last ticked more than {FRESH_S:g} s ago")


def _database(reading: Reading | None) -> Part:
    if reading is None:
        return Part(False, detail="does not answer")
    return Part(reading.takes_writes, detail="" if reading.takes_writes else "is read-only")


class _Asker:
    """Asks the parts, once for all who want to know at the same time."""

    def __init__(self) -> None:
        # A hung database holds its thread; the next question then finds it busy and does not wait.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
        self._busy: Future[Reading] | None = None
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
        reading, redis_part = await asyncio.gather(self._read(), _ask_bounded(_write_to_redis))
        now = datetime.now(UTC)
        if reading is None:
            judged = judge(None, now=now)
        else:
            judged = judge(reading.ticks, now=now, drained=reading.drained, oldest_sample_at=reading.oldest_sample_at)
        parts = {"database": _database(reading), "redis": redis_part, **judged}
        self._answer, self._answered_at = parts, time.monotonic()
        return parts

    async def _read(self) -> Reading | None:
        """Return what the database says; None if it does not answer in time or still owes the last answer."""
        if self._busy is None or self._busy.done():
            self._busy = self._thread.submit(_read)
            try:
                return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._busy)), ASK_TIMEOUT_S)
            except (TimeoutError, DatabaseError, OSError):
                return None
        return None


def _read() -> Reading:
    try:
        with connection.cursor() as cursor:
            # Of the transaction that has just begun: on for a standby, and where the default is read-only. That a
            # disk is full is seen by the bridge, whose tick says that it is refused, or by ticks that grow old.
            cursor.execute("SELECT current_setting('transaction_read_only')")
            takes_writes = cursor.fetchone()[0] == "off"
        return Reading(takes_writes, read_ticks(), watermarks(), oldest_sample_at())
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
