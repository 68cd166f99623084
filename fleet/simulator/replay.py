"""Replays a CSV file into one sensor over MQTT; replaying it again stores nothing twice."""

import asyncio
import dataclasses
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from fleet.mqtt.device import Device
from fleet.mqtt.device_group import DeviceGroup
from fleet.simulator.broker import Broker
from fleet.simulator.messages import Measurement, measurements
from fleet.simulator.report import StatusLine, counted
from fleet.simulator.table import BadRow, Row

# Below the service's limit of 256 KiB a message, with room for the frame around the entries.
MAX_BATCH_BYTES: Final = 200 * 1024
# One message costs the service one step of its work; many small ones keep live pages moving.
MAX_BATCH_ROWS: Final = 1_000
# Enough to keep the broker busy; what was not acknowledged is kept in memory.
MAX_IN_FLIGHT: Final = 16
CONNECT_S: Final = 30.0
# Bad rows are counted without limit; this many are named.
MAX_NAMED: Final = 20


class ReplayError(Exception):
    """A replay that could not begin; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay did. `acknowledged` counts rows whose message the broker acknowledged."""

    sensor: str
    rows: int
    bad_rows: int
    messages: int
    acknowledged: int
    seconds: float
    interrupted: bool
    problems: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Return whether the broker has every usable row."""
        return not self.interrupted and self.acknowledged == self.rows

    def line(self) -> str:
        """Return the summary in one line for people."""
        bad = f", {counted(self.bad_rows, 'bad row')} left out" if self.bad_rows else ""
        text = (
            f"Replayed {counted(self.rows, 'row')} into {self.sensor} in {counted(self.messages, 'message')}: "
            f"{self.acknowledged:,} acknowledged{bad}, {self.seconds:.1f} s."
        )
        return text if self.complete else f"{text} Interrupted; run it again, nothing is stored twice."

    def as_dict(self) -> dict[str, object]:
        """Return the summary for --json."""
        return dataclasses.asdict(self)


class _Replay:
    def __init__(self, sensor: str, device: Device, *, revision: int) -> None:
        self.sensor = sensor
        self.device = device
        self.revision = revision
        self.rows = self.bad_rows = self.messages = self.acknowledged = 0
        self.problems: list[str] = []
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._in_flight: dict[asyncio.Future[None], int] = {}

    async def add(self, row: Row | BadRow) -> None:
        entry = b""
        if isinstance(row, Row):
            entry = Measurement(self.revision, row.timestamp_s, row.value).encode()
            if len(entry) > MAX_BATCH_BYTES:
                row = BadRow(row.line, f"is {len(entry):,} bytes long; a message takes {MAX_BATCH_BYTES:,}")
        if isinstance(row, BadRow):
            self.bad_rows += 1
            if self.bad_rows <= MAX_NAMED:
                self.problems.append(f"line {row.line}: {row.problem}")
            return
        if len(self._batch) == MAX_BATCH_ROWS or self._batch_bytes + len(entry) > MAX_BATCH_BYTES:
            await self.send()
        self.rows += 1
        self._batch.append(entry)
        self._batch_bytes += len(entry) + 1

    async def send(self) -> None:
        if not self._batch:
            return
        while len(self._in_flight) >= MAX_IN_FLIGHT:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        message = measurements(self.sensor, self._batch)
        future = self.device.publish(message.topic, message.payload)
        self._in_flight[future] = len(self._batch)
        future.add_done_callback(self._done)
        self.messages += 1
        self._batch, self._batch_bytes = [], 0
        # Lets the loop write and read while a long file is parsed.
        await asyncio.sleep(0)

    def _done(self, future: asyncio.Future[None]) -> None:
        rows = self._in_flight.pop(future)
        if not future.cancelled():
            self.acknowledged += rows

    async def finish(self) -> None:
        await self.send()
        while self._in_flight:
            await asyncio.wait(self._in_flight)

    def describe(self) -> str:
        trouble = f" · {self.device.trouble}" if self.device.trouble else ""
        return f"{self.rows:,} rows read · {self.acknowledged:,} acknowledged · {self.bad_rows:,} bad{trouble}"


async def replay_rows(
    rows: Iterable[Row | BadRow],
    broker: Broker,
    *,
    sensor: str,
    stop: asyncio.Event,
    revision: int = 0,
    status: TextIO | None = None,
) -> ReplaySummary:
    """Publish `rows` as measurements of `sensor`, wait for every acknowledgement, and return the summary.

    revision: what the measurements say they were made under. It is a fixed number rather than the one that
    the sensor runs, because it is part of what makes two measurements the same. A broker that goes away is
    waited for; `stop` ends it early. Raises ReplayError if there is no connection within CONNECT_S or the
    broker refuses it.
    """
    began_s = time.monotonic()
    async with DeviceGroup(host=broker.host, port=broker.port, tls=broker.tls) as group:
        connected = asyncio.Event()
        device = group.add(
            sensor,
            # A simulated sensor of that name may run beside it; one client id would throw the other out.
            client_id=f"{sensor}-replay",
            credentials=broker.credentials(sensor),
            on_connected=connected.set,
        )
        await _connected(device, connected, broker, stop)
        replay = _Replay(sensor, device, revision=revision)
        line = StatusLine(status, replay.describe) if status is not None else None
        if line is not None:
            line.start()
        work = group.loop.create_task(_send_all(rows, replay))
        stopping = group.loop.create_task(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not work.done()
        work.cancel()
        stopping.cancel()
        if line is not None:
            await line.stop()
        if not interrupted:
            work.result()
    return ReplaySummary(
        sensor=sensor,
        rows=replay.rows,
        bad_rows=replay.bad_rows,
        messages=replay.messages,
        acknowledged=replay.acknowledged,
        seconds=round(time.monotonic() - began_s, 3),
        interrupted=interrupted,
        problems=tuple(replay.problems),
    )


async def _send_all(rows: Iterable[Row | BadRow], replay: _Replay) -> None:
    for row in rows:
        await replay.add(row)
    await replay.finish()


async def _connected(device: Device, connected: asyncio.Event, broker: Broker, stop: asyncio.Event) -> None:
    deadline_s = time.monotonic() + CONNECT_S
    while not connected.is_set() and not stop.is_set():
        if device.counts.refusals:
            raise ReplayError(f"{broker}: {device.trouble}; see --username, --password and --password-file")
        if time.monotonic() > deadline_s:
            raise ReplayError(f"no connection to {broker} within {CONNECT_S:.0f} s: {device.trouble}")
        try:
            await asyncio.wait_for(connected.wait(), 0.1)
        except TimeoutError:
            continue


def identifier_from(path: Path) -> str:
    """Return a valid sensor identifier made from the file's name: `my file (2).csv` gives `my-file-2`."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).lstrip("-_").rstrip("-")
    return name[:64] or "replay"
