"""Messages at a steady rate, from a process of their own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.bench.bench import Bench
from tests.bench.installation import Installation
from tests.bench.servers import ROOT

# Connections are opened, statements planned, the first alerts raised; not counted.
WARM_UP_S: Final = 3.0
# The publisher's own start.
START_S: Final = 1.0


@contextmanager
def steady_load(bench: Bench, installation: Installation) -> Iterator[float]:
    """Publish at the bench's rate, for as long as it measures and some more; the block begins when it is warm.

    Yields since when what is published counts, in Unix seconds. Afterwards everything was published in time.
    """
    options = bench.options
    begins_at_s = time.time() + START_S
    seconds = WARM_UP_S + options.seconds
    numbers = [installation.sensors, options.rate, begins_at_s, seconds]
    since_s = begins_at_s + WARM_UP_S
    with publishing(installation, "steady", *numbers, since_s=since_s, seconds=options.seconds):
        yield since_s


@contextmanager
def publishing(
    installation: Installation, mode: str, *numbers: float, since_s: float, seconds: float
) -> Iterator[None]:
    """Run the publisher (see `tests.bench.publish`); the block begins at `since_s`, `seconds` before it is done.

    Afterwards everything was published in time.
    """
    url = installation.servers.broker.sensor_url
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.publish", mode, url, *map(str, numbers)], cwd=ROOT)
    try:
        time.sleep(max(0.0, since_s - time.time()))
        yield
        if process.wait(seconds + 60):
            raise RuntimeError("the publisher did not keep its rate; see above")
    finally:
        process.kill()
        process.wait()
