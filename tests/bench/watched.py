"""Many rules over many sensors: which cover whom, what is measured, and which alerts must come of it. Pure.

Nothing here knows how the service evaluates: what it raises is held against this.
"""

import json
import math
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final, NamedTuple

# Of each attribute the least healthy value and how far the healthy ones spread; limits and excursions are so many
# spreads away from them.
HEALTHY: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (20.0, 4.0),
    "humidity": (45.0, 5.0),
    "voltage": (229.0, 2.0),
    "current": (3.0, 1.0),
    "pressure": (1010.0, 5.0),
}
# Rules warn early, late, or in between; how far excursions go: most not far.
TIERS: Final = (1, 2, 3, 4, 5)
_HOW_OFTEN: Final = (8, 4, 2, 1, 1)
# Beyond the limits of its tier and at no multiple of a spread, so that no sum of floats decides.
_BEYOND: Final = 0.4995
# Of so many sensors one leaves what is healthy, once in a stream.
SENSORS_PER_EXCURSION: Final = 20
# Some excursions last for one sample, some as long as the rules with `for_s` wait.
_LENGTHS: Final = (1, 3)
MODELS: Final = 10
SITES: Final = 100
# What one rule may list.
_MOST_LISTED: Final = 1_000
MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True)
class WatchingRule:
    """One rule about values. sensors: whom it covers, by number; scope and labels: how it says so."""

    name: str
    kind: str
    scope: str
    labels: Mapping[str, str]
    sensors: Collection[int]
    attribute: str
    above: float
    below: float | None
    hysteresis: float
    for_s: int


class Episode(NamedTuple):
    """One alert from first to last; times in microseconds since 1970. resolved_us: None while it is open."""

    rule: str
    sensor: str
    fired_us: int
    resolved_us: int | None


class Excursion(NamedTuple):
    """A sensor's attribute has `value` from its sample `first` until before `end`."""

    attribute: str
    first: int
    end: int
    value: float


def labels_of(sensor: int) -> dict[str, str]:
    """Return the labels of sensor `sensor`."""
    return {"model": f"m-{sensor % MODELS}", "site": f"site-{sensor // MODELS % SITES}"}


def watching_rules(count: int, *, sensors: int, interval_s: float) -> list[WatchingRule]:
    """Return `count` rules over `sensors` sensors that measure every `interval_s` seconds; always the same ones.

    Of ten rules one covers all sensors, five select by label (a model or a site), and four list sensors (a hundredth
    of them). One in twenty looks at how fast a value changes, one in ten waits before it fires.
    """
    return [_rule(number, sensors, interval_s) for number in range(count)]


def _rule(number: int, sensors: int, interval_s: float) -> WatchingRule:
    choose = random.Random(f"rule {number}")
    attribute = choose.choice(list(HEALTHY))
    low, spread = HEALTHY[attribute]
    tier = choose.choice(TIERS)
    scope, labels, covered = _covered(number, sensors, choose)
    # Healthy values differ by a spread at most, so a limit of two is the first that healthy changes do not reach.
    fast = (tier + 1) * spread * 60 / interval_s
    is_rate = choose.random() < 0.05
    return WatchingRule(
        name=f"Rule {number}",
        kind="rate_of_change" if is_rate else "threshold",
        scope=scope,
        labels=labels,
        sensors=covered,
        attribute=attribute,
        above=fast if is_rate else low + (1 + tier) * spread,
        below=None if is_rate or choose.random() < 0.5 else low - tier * spread,
        hysteresis=spread / 4,
        for_s=math.ceil(1.5 * interval_s) if not is_rate and choose.random() < 0.1 else 0,
    )


def _covered(number: int, sensors: int, choose: random.Random) -> tuple[str, dict[str, str], Collection[int]]:
    """Return scope, labels and sensors of rule `number`."""
    if number % 10 == 0:
        return "network", {}, range(sensors)
    if number % 10 <= 5:
        name = choose.choice(["model", "site"])
        label = labels_of(choose.randrange(sensors))[name]
        return "labels", {name: label}, _labelled(sensors, name, label)
    listed = choose.sample(range(sensors), min(max(1, sensors // 100), _MOST_LISTED))
    return "sensors", {}, frozenset(listed)


@cache
def _labelled(sensors: int, name: str, label: str) -> frozenset[int]:
    return frozenset(each for each in range(sensors) if labels_of(each)[name] == label)


@dataclass(frozen=True)
class Stream:
    """`sensors` sensors measure in turns, `rounds` times each, all together `rate` times a second.

    The first and the last two of each sensor's samples are healthy, so that no alert is open before or afterwards.
    """

    sensors: int
    rounds: int
    rate: float
    begins_at_us: int

    @property
    def messages(self) -> int:
        return self.sensors * self.rounds

    @property
    def interval_s(self) -> float:
        """How often a sensor measures."""
        return self.sensors / self.rate

    def measured_us(self, number: int) -> int:
        """Return when message `number` is measured and to be published, in microseconds since 1970."""
        return self.begins_at_us + round(number * 1e6 / self.rate)

    def message(self, number: int) -> tuple[str, bytes]:
        """Return topic and payload of message `number`."""
        step, sensor = divmod(number, self.sensors)
        entry = {"revision": 0, "timestamp": self.measured_us(number) / 1e6, "value": self.value(sensor, step)}
        return f"measurements/s-{sensor}", json.dumps({"measurements": [entry]}).encode()

    def value(self, sensor: int, step: int) -> dict[str, float]:
        """Return what the sensor measures at its sample `step`, from 0 on."""
        value = {}
        for index, (name, (low, spread)) in enumerate(HEALTHY.items()):
            share = (step * 7_919 + sensor * 104_729 + index * 611_953) % 1_000 / 1_000
            value[name] = round(low + share * spread, 3)
        excursion = self.excursions.get(sensor)
        if excursion is not None and excursion.first <= step < excursion.end:
            value[excursion.attribute] = excursion.value
        return value

    @cached_property
    def excursions(self) -> dict[int, Excursion]:
        """By sensor, where there is one."""
        choose = random.Random(self.begins_at_us)
        leaving = choose.sample(range(self.sensors), max(1, self.sensors // SENSORS_PER_EXCURSION))
        return {sensor: self._excursion(choose) for sensor in leaving}

    def _excursion(self, choose: random.Random) -> Excursion:
        attribute = choose.choice(list(HEALTHY))
        low, spread = HEALTHY[attribute]
        (tier,) = choose.choices(TIERS, _HOW_OFTEN)
        value = choose.choice([low + (1 + tier + _BEYOND) * spread, low - (tier + _BEYOND) * spread])
        length = choose.choice([each for each in _LENGTHS if 1 + each + 2 <= self.rounds])
        first = choose.randrange(1, self.rounds - length - 1)
        return Excursion(attribute, first, first + length, value)

    def episodes(self, rules: Sequence[WatchingRule]) -> set[Episode]:
        """Return the alerts that `rules` must have raised, and resolved, by the end of the stream."""
        return {
            episode
            for sensor, excursion in self.excursions.items()
            for rule in rules
            if rule.attribute == excursion.attribute and sensor in rule.sensors
            for episode in self._episodes(rule, sensor)
        }

    def _episodes(self, rule: WatchingRule, sensor: int) -> Iterator[Episode]:
        times = [self.measured_us(step * self.sensors + sensor) for step in range(self.rounds)]
        values = [self.value(sensor, step)[rule.attribute] for step in range(self.rounds)]
        if rule.kind == "rate_of_change":
            values = [
                0.0,
                *(
                    (values[step] - values[step - 1]) / (times[step] - times[step - 1]) * MINUTE_US
                    for step in range(1, self.rounds)
                ),
            ]
        began_us = fired_us = None
        for at_us, value in zip(times, values, strict=True):
            if value > rule.above or (rule.below is not None and value < rule.below):
                began_us = at_us if began_us is None else began_us
                if fired_us is None and at_us - began_us >= rule.for_s * 1_000_000:
                    fired_us = at_us
                continue
            # What is not beyond is healthy here, so it clears.
            if fired_us is not None:
                yield Episode(rule.name, f"s-{sensor}", fired_us, at_us)
            began_us = fired_us = None
        if fired_us is not None:
            yield Episode(rule.name, f"s-{sensor}", fired_us, None)
