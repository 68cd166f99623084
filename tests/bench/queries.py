"""Reading over HTTP from much history, in turns with a tenth of it; and export."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from tests.bench.bench import Bench
from tests.bench.export import export
from tests.bench.installation import Running
from tests.bench.results import Row, Run, Target, percentile
from tests.bench.stored import History, with_history
from tests.bench.web import Web

DAY_S: Final = 86_400.0
# The cheapest request that is authenticated: the caller's own name.
FLOOR_PATH: Final = "me/"
WARM_UP: Final = 20
# Different addresses of each kind, so that no answer comes from what the one before it left in memory.
ADDRESSES: Final = 100
KINDS: Final = {
    "latest": "latest of all sensors",
    "day": "24 h of one attribute",
    "year": "whole history of one attribute in 300 points",
    "page": "a page of 100 in the middle of history",
}


def queries(bench: Bench) -> Iterator[Row]:
    """Each kind beside the floor, and beside itself with a tenth of the rows; then export."""
    options = bench.options
    few, many = options.rows // 10, options.rows
    tenth, whole = with_history(bench, few), with_history(bench, many)
    bench.servers.begin_anew()
    with tenth.installation.running("web") as small, whole.installation.running("web") as large:
        runs = bench.repeat(lambda _: _measure(bench, (tenth, small), (whole, large)))
        exports = list(export(bench, large, rows=many // 10))
    for kind, what in KINDS.items():
        at_many = [
            Run(
                percentile(run[kind][1], 0.5), percentile(run["floor"][1], 0.5), {"p99": percentile(run[kind][1], 0.99)}
            )
            for run in runs
        ]
        yield Row("queries", f"{what}, {many:,} rows, p50", "ms", at_many, f"GET {FLOOR_PATH}", Target(20, small=True))
    for kind, what in KINDS.items():
        beside = [Run(percentile(run[kind][1], 0.5), percentile(run[kind][0], 0.5)) for run in runs]
        target = Target(1.3, of_floor=True, small=True)
        yield Row("queries", what, "ms", beside, f"with {few:,} rows", target)
    yield from exports


def _measure(bench: Bench, *sides: tuple[History, Running]) -> dict[str, tuple[list[float], ...]]:
    """Return by kind the times in ms of each side, taken in turns."""
    with ExitStack() as stack:
        webs = [Web(running) for _, running in sides]
        for web in webs:
            stack.callback(web.close)
        addresses = [_addresses(history, web) for (history, _), web in zip(sides, webs, strict=True)]
        times: dict[str, tuple[list[float], ...]] = {kind: tuple([] for _ in sides) for kind in ("floor", *KINDS)}
        # All kinds in turns: whatever else the machine does meets all alike.
        for number in range(WARM_UP + bench.options.requests):
            for kind, taken_by_side in times.items():
                for web, choice, taken in zip(webs, addresses, taken_by_side, strict=True):
                    taken_ms = web.time_ms(choice[kind][number % len(choice[kind])])
                    if number >= WARM_UP:
                        taken.append(taken_ms)
        return times


def _addresses(history: History, web: Web) -> dict[str, list[str]]:
    """Return addresses of each kind, the same sensors and moments for histories of the same time."""
    start_s, ends_at_s = history.start_s, history.ends_at_s
    choice = random.Random(7)
    names = [f"s-{choice.randrange(history.installation.sensors)}" for _ in range(ADDRESSES)]
    whole = {"attribute": "temperature", "start": _iso(start_s), "end": _iso(ends_at_s), "points": 300}
    days, years, pages = [], [], []
    for name in names:
        began_s = choice.uniform(start_s, max(start_s, ends_at_s - DAY_S))
        day = {"attribute": "temperature", "start": _iso(began_s), "end": _iso(began_s + DAY_S), "points": 300}
        days.append(f"sensors/{name}/series/?{urlencode(day)}")
        years.append(f"sensors/{name}/series/?{urlencode(whole)}")
        middle_s = start_s + (ends_at_s - start_s) * choice.uniform(0.3, 0.7)
        first = web.get(f"sensors/{name}/measurements/?{urlencode({'end': _iso(middle_s)})}")
        # The page after one that begins there: what following `next` costs.
        pages.append(first["next"] or f"sensors/{name}/measurements/")
    return {"floor": [FLOOR_PATH], "latest": ["measurements/latest/"], "day": days, "year": years, "page": pages}


def _iso(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).isoformat()
