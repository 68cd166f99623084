"""Runs simulated sensors over real MQTT until it is told to stop."""

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from fleet.mqtt.device import Device
from fleet.mqtt.device_group import DeviceGroup
from fleet.simulator.broker import Broker
from fleet.simulator.report import StatusLine, counted
from fleet.simulator.sensor import Actions, SimulatedSensor

# Time for the last acknowledgements when it ends; a broker that is away must not hold up a Ctrl-C.
DRAIN_S: Final = 3.0
# Connections are spread over up to this, 5 ms each: mosquitto's listening queue holds 100.
CONNECTING_SPREAD_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation did. `messages`, all with QoS 1, are the acknowledged ones and those that were given up."""

    sensors: int
    seconds: float
    messages: int
    acknowledged: int
    unacknowledged: int
    measurements: int
    heartbeats: int
    log_messages: int
    configurations_accepted: int
    configurations_refused: int
    connections: int
    refused_connections: int

    def line(self) -> str:
        """Return the summary in one line for people."""
        lost = f", {self.unacknowledged:,} given up" if self.unacknowledged else ""
        refused = f", {self.configurations_refused:,} refused" if self.configurations_refused else ""
        logins = f", {self.refused_connections:,} refused" if self.refused_connections else ""
        return (
            f"Simulated {counted(self.sensors, 'sensor')} for {self.seconds:.1f} s: "
            f"{counted(self.messages, 'message')}, {self.acknowledged:,} acknowledged{lost}; "
            f"{counted(self.configurations_accepted, 'configuration')} accepted{refused}; "
            f"{counted(self.connections, 'connection')}{logins}."
        )

    def as_dict(self) -> dict[str, int | float]:
        """Return the summary for --json."""
        return dataclasses.asdict(self)


class _Link:
    """One simulated sensor and its device: hands over what comes in, and acts when the time has come."""

    def __init__(
        self,
        sensor: SimulatedSensor,
        group: DeviceGroup,
        broker: Broker,
        *,
        clock: Callable[[], float],
        kinds: Counter[str],
        delay_s: float,
    ) -> None:
        self.sensor = sensor
        self._loop = group.loop
        self._clock = clock
        self._kinds = kinds
        self._timer: asyncio.TimerHandle | None = None
        self.device: Device = group.add(
            sensor.identifier,
            credentials=broker.credentials(sensor.identifier),
            on_configuration=self._receive,
            delay_s=delay_s,
        )

    def begin(self) -> None:
        self._do(self.sensor.begin(now_s=self._clock()))

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._kinds = Counter()

    def _receive(self, payload: bytes) -> None:
        self._do(self.sensor.receive(payload, now_s=self._clock()))

    def _act(self) -> None:
        self._do(self.sensor.act(now_s=self._clock()))

    def _do(self, actions: Actions) -> None:
        for message in actions.messages:
            self._kinds[message.topic.partition("/")[0]] += 1
            if message.once:
                self.device.publish_once(message.topic, message.payload)
            else:
                self.device.publish(message.topic, message.payload)
        if actions.cut:
            self.device.cut()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0.0, self.sensor.due_at_s - self._clock()), self._act)


async def run_simulation(
    sensors: Sequence[SimulatedSensor],
    broker: Broker,
    *,
    stop: asyncio.Event,
    duration_s: float | None = None,
    status: TextIO | None = None,
    clock: Callable[[], float] = time.time,
) -> Summary:
    """Run `sensors` at `broker` until `stop` is set or `duration_s` is over, then disconnect; return the summary.

    The broker may be away or come and go: sensors connect again by themselves and send what waited. At the
    end up to DRAIN_S seconds are left for the last acknowledgements. status: a stream for progress lines.
    """
    began_s = time.monotonic()
    kinds: Counter[str] = Counter()
    links: list[_Link] = []
    async with DeviceGroup(host=broker.host, port=broker.port, tls=broker.tls) as group:
        pause_s = min(0.005, CONNECTING_SPREAD_S / max(1, len(sensors)))
        for index, sensor in enumerate(sensors):
            links.append(_Link(sensor, group, broker, clock=clock, kinds=kinds, delay_s=index * pause_s))
        for link in links:
            link.begin()
        line = StatusLine(status, lambda: _describe(links, group)) if status is not None else None
        if line is not None:
            line.start()
        try:
            async with asyncio.timeout(duration_s):
                await stop.wait()
        except TimeoutError:
            pass
        for link in links:
            link.end()
        if line is not None:
            await line.stop()
        await group.drained(timeout_s=DRAIN_S)
    totals = group.counts()
    return Summary(
        sensors=len(sensors),
        seconds=round(time.monotonic() - began_s, 3),
        messages=totals.acknowledged + totals.dropped,
        acknowledged=totals.acknowledged,
        unacknowledged=totals.dropped,
        measurements=kinds["measurements"],
        heartbeats=kinds["heartbeats"],
        log_messages=kinds["log-messages"],
        configurations_accepted=sum(sensor.configurations.accepted for sensor in sensors),
        configurations_refused=sum(sensor.configurations.refused for sensor in sensors),
        connections=totals.connections,
        refused_connections=totals.refusals,
    )


def _describe(links: Sequence[_Link], group: DeviceGroup) -> str:
    connected = sum(link.device.connected for link in links)
    totals = group.counts()
    waiting = sum(device.outstanding() for device in group.devices)
    accepted = sum(link.sensor.configurations.accepted for link in links)
    parts = [
        f"{connected} of {counted(len(links), 'sensor')} connected",
        f"{totals.acknowledged:,} messages acknowledged",
        f"{waiting:,} waiting",
        f"{counted(accepted, 'configuration')} accepted",
    ]
    trouble = next((link.device.trouble for link in links if link.device.trouble), "")
    if trouble and connected < len(links):
        parts.append(trouble)
    return " · ".join(parts)
