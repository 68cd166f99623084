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
_START_S: Final = 1.0


@contextmanager
def steady_load(bench: Bench, installation: Installation) -> Iterator[float]:
    """Publish at the bench's rate, for as long as it measures and some more; the block begins when it is warm.

    Yields since when what is published counts, in Unix seconds. Afterwards everything was published in time.
    """
    options = bench.options
    begins_at_s = time.time() + _START_S
    seconds = WARM_UP_S + options.seconds
    arguments = [installation.sensors, options.rate, begins_at_s, seconds]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.bench.publish", "steady", installation.servers.broker.sensor_url),
            *map(str, arguments),
        ],
        cwd=ROOT,
    )
    try:
        time.sleep(max(0.0, begins_at_s + WARM_UP_S - time.time()))
        yield begins_at_s + WARM_UP_S
        if process.wait(options.seconds + 60):
            raise RuntimeError("the publisher did not keep its rate; see above")
    finally:
        process.kill()
        process.wait()
