"""How fast a backlog is drained: one measurement a message, fifty, more sensors, more history, more bridges; memory."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg

from tests.bench.backlog import Backlog
from tests.bench.bench import Bench
from tests.bench.installation import Installation
from tests.bench.processes import MemoryWatch, proportional
from tests.bench.queued import FLOOR_IS, Drained, queued
from tests.bench.results import Row, Run, Target
from tests.bench.stored import with_history

BATCH_ENTRIES: Final = 50
# As many rows as the bridge stores in one transaction of full batches.
COPY_ROWS: Final = 25_000
# The messages that wait while memory is measured, for each that is drained elsewhere: 100,000 by default.
MEMORY_FACTOR: Final = 5 / 3


def drain(bench: Bench) -> Iterator[Row]:
    """Messages of one measurement, all parts of the product running."""
    with bench.installation("drain") as installation:

        def once(run: int) -> Run:
            backlog = bench.backlog(run, messages=bench.options.messages)
            drained = drain_once(bench, installation, backlog)
            return Run(drained.rate, drained.floor_rate, drained.detail)

        what = f"{bench.options.messages:,} messages of 1 × 5 values, {bench.options.sensors:,} sensors"
        target = Target(0.4, 0.6, of_floor=True)
        yield Row("drain", what, "messages/s", bench.repeat(once), FLOOR_IS, target)


def batches(bench: Bench) -> Iterator[Row]:
    """Messages of fifty measurements; beside the subscriber, and beside a bare COPY of the same rows."""
    messages = max(1, bench.options.messages // 10)
    with bench.installation("batches") as installation:

        def once(run: int) -> tuple[Drained, float]:
            backlog = bench.backlog(run, messages=messages, entries=BATCH_ENTRIES)
            drained = drain_once(bench, installation, backlog)
            return drained, copy_rate(installation, backlog)

        runs = bench.repeat(once)
    what = f"{messages:,} messages of {BATCH_ENTRIES} × 5 values, {bench.options.sensors:,} sensors"
    values = [
        Run(drained.detail["values/s"], drained.floor_rate * BATCH_ENTRIES * 5, drained.detail) for drained, _ in runs
    ]
    yield Row("batches", what, "values/s", values, FLOOR_IS, Target(300_000, 500_000))
    beside = [Run(drained.detail["values/s"], rate) for drained, rate in runs]
    yield Row("batches", "the same", "values/s", beside, "a bare COPY of the same rows into a table with the same key")


def sensors(bench: Bench) -> Iterator[Row]:
    """A hundred times as many sensors beside as many as elsewhere; none of them is heard of for the first time."""
    few, many = bench.options.sensors, bench.options.sensors * 100
    with bench.installation("few", sensors=few) as small, bench.installation("many", sensors=many) as large:
        for each in (small, large):
            # The first message of a sensor makes its rows of attributes and of rules.
            drain_once(bench, each, bench.backlog(-1, messages=bench.options.messages, sensors=each.sensors))
        runs = in_turns(bench, large, small)
    target = Target(0.8, 0.95, of_floor=True)
    yield Row("sensors", f"drain, {many:,} sensors", "messages/s", runs, f"{few:,} sensors", target)


def history(bench: Bench) -> Iterator[Row]:
    """Much history in the database beside a hundredth of it."""
    rows = bench.options.rows
    short, long = with_history(bench, rows // 100), with_history(bench, rows)
    runs = in_turns(bench, long.installation, short.installation)
    target = Target(0.9, 1.0, of_floor=True)
    yield Row("history", f"drain into {rows:,} measurements", "messages/s", runs, f"into {rows // 100:,}", target)


def shards(bench: Bench) -> Iterator[Row]:
    """Two bridges beside one."""
    with bench.installation("one") as one, bench.installation("two") as two:
        runs = in_turns(bench, two, one, shards=2)
    yield Row("shards", "drain by two bridges", "messages/s", runs, "one bridge")


def in_turns(bench: Bench, measured: Installation, plain: Installation, *, shards: int = 1) -> list[Run]:
    """Return runs whose figure is `measured`'s, drained by `shards` bridges, and whose floor is `plain`'s, by one.

    Both are drained in each run, and take turns in being the first.
    """

    def once(run: int) -> Run:
        rates = {}
        for installation in (plain, measured) if run % 2 == 0 else (measured, plain):
            backlog = bench.backlog(run, messages=bench.options.messages, sensors=installation.sensors)
            count = shards if installation is measured else 1
            rates[installation.name] = drain_once(bench, installation, backlog, shards=count).rate
        return Run(rates[measured.name], rates[plain.name])

    return bench.repeat(once)


def memory(bench: Bench) -> Iterator[Row]:
    """The bridge's peak while it drains, beside what it holds when nothing comes."""
    messages = round(bench.options.messages * MEMORY_FACTOR)
    with bench.installation("memory") as installation:

        def once(run: int) -> Run:
            idle, idle_pss = _idle_memory(installation)
            drained = drain_once(bench, installation, bench.backlog(run, messages=messages))
            detail = {
                "peak_pss": drained.detail["bridge_peak_pss_mib"],
                "idle_pss": idle_pss,
                "messages/s": drained.rate,
            }
            return Run(drained.detail["bridge_peak_rss_mib"], idle, detail)

        what = f"peak of the bridge, {messages:,} messages waiting in the broker"
        target = Target(150, 100, small=True)
        yield Row("memory", what, "MiB (RSS)", bench.repeat(once), "the bridge while nothing comes", target)


def drain_once(bench: Bench, installation: Installation, backlog: Backlog, *, shards: int = 1) -> Drained:
    """Queue and drain with everything running that a real installation runs."""
    with queued(installation, backlog, shards=shards, dashboards=bench.options.dashboards) as queue:
        drained = queue.drain()
    bench.say(
        f"    {drained.rate:,.0f} messages/s, {drained.rate / drained.floor_rate:.2f} of a floor of"
        f" {drained.floor_rate:,.0f}; evaluated {drained.detail['evaluated_after_end_s']:.1f} s after the end"
    )
    return drained


def copy_rate(installation: Installation, backlog: Backlog) -> float:
    """Return the values/s of COPY alone: the backlog's rows into an empty, logged table with the same primary key."""
    with installation.connect() as connection:
        connection.execute("CREATE TABLE bench_copy (LIKE telemetry_measurement INCLUDING ALL)")
        try:
            parts = _as_copy_text(connection, backlog)
            began_s = time.perf_counter()
            for part in parts:
                with connection.cursor().copy("COPY bench_copy FROM STDIN") as copy:
                    copy.write(part)
            took_s = time.perf_counter() - began_s
        finally:
            connection.execute("DROP TABLE bench_copy")
    return backlog.values / took_s


def _as_copy_text(connection: psycopg.Connection[Any], backlog: Backlog) -> Sequence[bytes]:
    """Return the backlog's rows in the order of their arrival, COPY_ROWS in each part."""
    lines = bytearray()
    parts: list[bytes] = []
    statement = (
        "COPY (SELECT * FROM telemetry_measurement WHERE measured_at > to_timestamp(%s)"
        " AND measured_at <= to_timestamp(%s) ORDER BY received_at, sensor_id, measured_at) TO STDOUT"
    )
    times = [backlog.ends_at_s - backlog.span_s, backlog.ends_at_s + 0.001]
    with connection.cursor().copy(statement, times) as copy:
        for number, row in enumerate(copy, 1):
            lines += row
            if number % COPY_ROWS == 0:
                parts.append(bytes(lines))
                lines.clear()
    return [*parts, bytes(lines)] if lines else parts


def _idle_memory(installation: Installation) -> tuple[float, float]:
    """Return the MiB (RSS, PSS) of a bridge that is connected and has nothing to do."""
    installation.servers.begin_anew()
    with installation.bridges() as bridges:
        installation.await_connected(bridges)
        process = bridges[0].process
        assert process is not None
        with MemoryWatch(process.pid) as memory:
            # What it holds while nothing comes is what is measured: there is no event to wait for.
            time.sleep(1)
        return memory.peak_rss, proportional(process.pid)
