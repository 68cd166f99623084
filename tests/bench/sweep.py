"""How long the regular look at silence takes when some of many sensors have just become overdue."""

import json
import statistics
from collections.abc import Iterator
from typing import Final

from tests.bench.bench import Bench
from tests.bench.results import Row, Run, Target

# Of what the options say: 100,000 sensors, of which 100 are newly overdue in each sweep.
SENSORS_FACTOR: Final = 1_000
# Each finds others overdue.
SWEEPS: Final = 10


def sweep(bench: Bench) -> Iterator[Row]:
    """Sweeps that open alerts, beside those that find nothing due and beside a bare look at what is due."""
    overdue = bench.options.sensors
    count = overdue * SENSORS_FACTOR
    # The sensors of the work are made by SQL, in a network of their own.
    with bench.installation("sweep", sensors=1) as installation:
        installation.run("tests.bench.silence", "make", str(count))
        with installation.connect() as connection:
            connection.execute("VACUUM (ANALYZE)")

        def once(run: int) -> dict[str, list[float]]:
            answer = installation.run("tests.bench.silence", "sweep", str(overdue), str(SWEEPS))
            found: dict[str, list[float]] = json.loads(answer.strip().rpartition("\n")[2])
            return found

        runs = bench.repeat(once)
    what = f"{count:,} watched sensors of which {overdue:,} are newly overdue, median of {SWEEPS} sweeps"
    target = Target(100, small=True)
    yield Row("sweep", what, "ms", [_run(run, "empty") for run in runs], "a sweep that finds nothing due", target)
    floor_is = "a bare SELECT of all that is due, by its index"
    yield Row("sweep", "the same", "ms", [_run(run, "select") for run in runs], floor_is)


def _run(found: dict[str, list[float]], floor: str) -> Run:
    detail = {
        "slowest": max(found["sweep"]),
        "fastest": min(found["sweep"]),
        "rows_due": statistics.median(found["due"]),
    }
    return Run(statistics.median(found["sweep"]), statistics.median(found[floor]), detail)
