"""A long export: its rate beside a bare COPY of the same rows, and what the web process needs for it."""

import time
from collections.abc import Iterator
from typing import Final

from tests.bench.bench import Bench
from tests.bench.installation import Installation, Running
from tests.bench.processes import MemoryWatch
from tests.bench.results import Row, Run
from tests.bench.web import Web

FORMATS: Final = ("ndjson", "csv")


def export(bench: Bench, running: Running, *, rows: int) -> Iterator[Row]:
    """Export all measurements of the sensor `probe`, of which there are `rows`."""
    path = "sensors/probe/measurements/export/?format="
    for form in FORMATS:

        def once(run: int, form: str = form) -> tuple[Run, Run]:
            # What a first request loads for good is not what a long export takes.
            _read(running, "sensors/s-0/measurements/export/?format=" + form)
            with MemoryWatch(running.pid("web")) as memory:
                lines, size, took_s = _read(running, path + form)
            if lines != rows + (form == "csv"):
                raise RuntimeError(f"{lines} lines were exported, of {rows} measurements")
            rate = Run(rows / took_s, _copy_rate(running.installation, rows), {"MB/s": size / took_s / 1e6})
            return rate, Run(memory.peak_rss - memory.first_rss, None, {"peak_rss_mib": memory.peak_rss})

        runs = bench.repeat(once)
        floor_is = "a bare COPY of the same rows to a program"
        yield Row("export", f"{rows:,} rows as {form}", "rows/s", [run for run, _ in runs], floor_is)
        yield Row("export", "the same: growth of the web process", "MiB", [run for _, run in runs])


def _read(running: Running, path: str) -> tuple[int, int, float]:
    """Return (lines, bytes, seconds) of the whole answer."""
    web = Web(running)
    lines = size = 0
    began_s = time.perf_counter()
    for chunk in web.stream(path):
        lines += chunk.count(b"\n")
        size += len(chunk)
    took_s = time.perf_counter() - began_s
    web.close()
    return lines, size, took_s


def _copy_rate(installation: Installation, rows: int) -> float:
    statement = (
        "COPY (SELECT measured_at, received_at, revision, value FROM telemetry_measurement WHERE sensor_id = %s"
        " ORDER BY measured_at, digest) TO STDOUT"
    )
    with installation.connect() as connection:
        began_s = time.perf_counter()
        with connection.cursor().copy(statement, [installation.sensor_ids["probe"]]) as copy:
            count = sum(bytes(block).count(b"\n") for block in copy)
        assert count == rows
        return rows / (time.perf_counter() - began_s)
