"""How fast rules look at what waits for them: alone, and while messages are drained."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tests.bench.bench import Bench
from tests.bench.ingest import BATCH_ENTRIES, drain_once
from tests.bench.installation import Installation
from tests.bench.queued import DRAIN_S, queued, waiting_samples
from tests.bench.results import Row, Run, Target

# While the worker is busy; more often would be a load of its own.
_LOOK_EVERY_S: Final = 0.1


def evaluation(bench: Bench) -> Iterator[Row]:
    """Samples of single messages while they are drained; then a queue of batches, by the worker alone."""
    messages = max(1, bench.options.messages // 10)
    with bench.installation("evaluation_busy") as installation:

        def busy(run: int) -> Run:
            drained = drain_once(bench, installation, bench.backlog(run, messages=bench.options.messages))
            wanted = ("samples_behind_at_end", "evaluated_after_end_s")
            detail = {name: drained.detail[name] for name in wanted}
            return Run(drained.detail["evaluated_while_draining/s"], drained.rate, detail)

        singles = bench.repeat(busy)
    with bench.installation("evaluation_alone") as installation:

        def alone(run: int) -> tuple[float, float]:
            backlog = bench.backlog(run, messages=messages, entries=BATCH_ENTRIES)
            # Without a worker all samples wait when the bridge is done.
            with queued(installation, backlog, workers=False) as queue:
                drained = queue.drain(evaluated=False)
            return _evaluate(installation), drained.rate * BATCH_ENTRIES

        batches = bench.repeat(alone)
    what = f"{messages * BATCH_ENTRIES:,} waiting samples of 5 values, 5 rules, nothing else running"
    beside_singles = [Run(rate, single.floor) for (rate, _), single in zip(batches, singles, strict=True)]
    floor_is = "measurements/s stored of messages of one, all running"
    yield Row("evaluation", what, "samples/s", beside_singles, floor_is, Target(1.0, of_floor=True))
    beside_batches = [Run(rate, stored) for rate, stored in batches]
    floor_is = f"measurements/s stored of messages of {BATCH_ENTRIES}, without a worker"
    yield Row("evaluation", "the same", "samples/s", beside_batches, floor_is, Target(0.0, 1.0, of_floor=True))
    what = "while messages of one measurement are drained"
    yield Row("evaluation", what, "samples/s", singles, "measurements/s stored meanwhile")


def _evaluate(installation: Installation) -> float:
    """Return the samples/s from the worker's first transaction to an empty queue."""
    with ThreadPoolExecutor(1) as pool:
        rate = pool.submit(_watch, installation)
        with installation.running("worker", "beat"):
            return rate.result()


def _watch(installation: Installation) -> float:
    deadline = time.monotonic() + DRAIN_S
    with installation.connect() as connection:
        whole = first = waiting_samples(connection)
        began_s = time.monotonic()
        while first == whole:
            assert time.monotonic() < deadline, "the worker does not begin"
            before_s, began_s = began_s, time.monotonic()
            # The worker does not say when it begins; what is looked for is the moment, so more often than below.
            time.sleep(_LOOK_EVERY_S / 10)
            first = waiting_samples(connection)
        if first:
            began_s = time.monotonic()
        else:
            # All of it in one transaction: count that, from before it was seen.
            first, began_s = whole, before_s
        while waiting_samples(connection):
            assert time.monotonic() < deadline, "the queue of samples was not evaluated"
            # Nor does it say when it is done: the queue is looked at, and a look costs the database.
            time.sleep(_LOOK_EVERY_S)
        return first / (time.monotonic() - began_s)
