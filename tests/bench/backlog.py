"""Messages as sensors send them that measured once a second while the bridge was away. Pure."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from fleet.mqtt.shards import Shard

ATTRIBUTES: Final = ("temperature", "humidity", "voltage", "current", "pressure")
# So many measurements bring one temperature beyond its rule: alerts open and resolve, and are not what is measured.
_TOO_HOT_EVERY: Final = 500


@dataclass(frozen=True, slots=True)
class Backlog:
    """`messages` of `entries` measurements each, sent by `sensors` sensors in turns.

    The newest is measured at `ends_at_s` (Unix seconds). No two backlogs whose times differ share a measurement.
    """

    messages: int
    entries: int
    sensors: int
    ends_at_s: float

    @property
    def measurements(self) -> int:
        return self.messages * self.entries

    @property
    def values(self) -> int:
        return self.measurements * len(ATTRIBUTES)

    @property
    def rounds(self) -> int:
        """How many messages a sensor sends at most."""
        return -(-self.messages // self.sensors)

    @property
    def span_s(self) -> float:
        """From the first measurement to the last, generously."""
        return float(self.rounds * self.entries + 1)

    def sensor(self, number: int) -> int:
        """Return which sensor sends message `number`."""
        return number % self.sensors

    def topic(self, number: int) -> str:
        """Return the topic of message `number`."""
        return f"measurements/s-{self.sensor(number)}"

    def measured_at_s(self, number: int, entry: int) -> float:
        """Return when entry `entry` of message `number` was measured, in Unix seconds."""
        late_by = (self.rounds - number // self.sensors) * self.entries - entry - 1
        # Sensors measure at different moments of the same second.
        return round(self.ends_at_s - late_by - self.sensor(number) / self.sensors, 6)

    def payload(self, number: int) -> bytes:
        """Return message `number` as on the wire."""
        sensor = self.sensor(number)
        first = number // self.sensors * self.entries
        entries = [
            {
                "revision": 0,
                "timestamp": self.measured_at_s(number, entry),
                "value": value_of(sensor, first + entry),
            }
            for entry in range(self.entries)
        ]
        return json.dumps({"measurements": entries}).encode()

    def last_numbers(self, shards: int) -> list[int]:
        """Return the number of the last message of each shard that has any."""
        last = {}
        for number in range(max(0, self.messages - self.sensors), self.messages):
            owner = next(index for index in range(shards) if Shard(index, shards).owns(self.topic(number)))
            last[owner] = number
        return list(last.values())

    def as_text(self) -> str:
        """Return it for `from_text`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Backlog":
        """Return what `as_text` wrote."""
        return cls(**json.loads(text))


def value_of(sensor: int, step: int) -> dict[str, Any]:
    """Return what the sensor measured at its `step`-th measurement."""
    wave = math.sin(step / 300 + sensor)
    noise = (step * 7919 + sensor * 104_729) % 1_000 / 1_000
    hot = (step * 31 + sensor * 17) % _TOO_HOT_EVERY == 0
    return {
        "temperature": 51.5 if hot else round(21 + 4 * wave + noise, 2),
        "humidity": round(45 + 10 * wave + 3 * noise, 1),
        "voltage": round(229 + 2 * noise, 2),
        "current": round(4 + wave + noise, 3),
        "pressure": round(1012 + 6 * wave + noise, 2),
    }
