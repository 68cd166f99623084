"""What viewers are asked to look at, and what they saw; the process that they are in, from outside."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec

from tests.bench.installation import NETWORK, Running
from tests.bench.servers import ROOT

# Millions of delays would cost memory and time to hand over; this is finer than any figure here needs.
BUCKETS_PER_MS: Final = 10


class View(msgspec.Struct):
    """Who looks at what: one viewer for each query. Items measured before `since_s` (Unix seconds) do not count.

    None: none counts yet.
    """

    port: int
    token: str
    queries: list[str]
    since_s: float | None = None


class Seen(msgspec.Struct):
    """What all viewers together saw: items by delay in tenths of a millisecond, and what was left out for them."""

    delays: dict[int, int] = {}
    frames: int = 0
    left_out: int = 0
    lost: int = 0

    @property
    def items(self) -> int:
        """How many items arrived."""
        return sum(self.delays.values())

    def percentile_ms(self, share: float) -> float:
        """Return the delay below which `share` of the items lie, NaN when there are none."""
        left = share * self.items
        for bucket, count in sorted(self.delays.items()):
            left -= count
            if left < 0:
                return (bucket + 0.5) / BUCKETS_PER_MS
        return float("nan")


class Item(msgspec.Struct):
    """One entry of a frame; the rest of it is not read."""

    measured_at: datetime


class Frame(msgspec.Struct):
    """One frame of docs/websocket.md, as far as it matters here."""

    type: str
    items: list[Item] = []
    seq: int = 0
    dropped: int | None = 0


class Viewers:
    """A process with viewers, all of which have had their snapshot."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def count_since(self, since_s: float) -> None:
        """Count what is measured from `since_s` on."""
        self._tell(f"{since_s}")

    def seen(self) -> Seen:
        """Return what was seen until now."""
        self._tell("")
        assert self._process.stdout is not None
        return msgspec.json.decode(self._process.stdout.readline(), type=Seen)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()


@contextmanager
def viewing(running: Running, *, queries: list[str]) -> Iterator[Viewers]:
    """Open one WebSocket for each query in a process of their own, until the block ends."""
    view = View(running.port, running.installation.token, queries)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.viewers"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(view).decode() + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the viewers could not open their WebSockets; see above")
        yield Viewers(process)
    finally:
        process.kill()
        process.wait()


def everything(viewers: int) -> list[str]:
    """Return the queries of viewers that follow the whole network."""
    return [f"network={NETWORK}"] * viewers


def one_sensor_each(viewers: int, sensors: int) -> list[str]:
    """Return the queries of viewers that follow one sensor each, all sensors alike."""
    return [f"sensor=s-{number % sensors}" for number in range(viewers)]
