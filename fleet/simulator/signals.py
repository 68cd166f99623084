"""Plausible signals of a simulated room sensor: seeded, deterministic, now and then out of range."""

import math
import random
from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one attribute of a simulated sensor moves, in the attribute's own unit.

    `low` and `high` are what the demo network's rules allow. Each sensor has a middle of its own from
    `middle`; on it lie a daily course, a slow wander (standard deviation, correlation time) and noise.
    """

    name: str
    low: float
    high: float
    middle: tuple[float, float]
    daily: float
    wander: float
    wander_s: float
    noise: float
    decimals: int
    # How far beyond the limits an excursion goes.
    beyond: tuple[float, float]


ATTRIBUTES: Final = (
    Attribute("temperature", 0, 50, (18.0, 25.0), 3.0, 1.0, 1_800, 0.05, 2, (1.5, 8.0)),
    Attribute("humidity", 10, 90, (38.0, 58.0), -5.0, 3.0, 2_400, 0.2, 1, (1.5, 6.0)),
    Attribute("voltage", 200, 240, (228.0, 231.0), -1.0, 0.8, 300, 0.3, 1, (2.0, 12.0)),
    Attribute("current", 0, 10, (2.5, 5.0), 0.8, 0.5, 600, 0.05, 2, (0.4, 3.0)),
    Attribute("pressure", 900, 1100, (1_002.0, 1_022.0), 0.5, 4.0, 20_000, 0.05, 1, (3.0, 15.0)),
)
ATTRIBUTE_NAMES: Final = tuple(attribute.name for attribute in ATTRIBUTES)

# The base signal keeps this share of the allowed range free on both sides, so only excursions violate a rule.
_MARGIN: Final = 0.04
# Long enough to be seen on a page that follows live, short enough to see the alert resolve as well.
_EXCURSION_S: Final = (30.0, 90.0)
# The share of an excursion in which it rises, and again in which it falls.
_EDGE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Excursion:
    """One episode in which one attribute leaves its range."""

    attribute: str
    starts_at_s: float
    ends_at_s: float
    target: float

    def weight(self, at_s: float) -> float:
        """Return how far the value has moved towards the target: 0 outside, 1 on the plateau."""
        edge_s = (self.ends_at_s - self.starts_at_s) * _EDGE
        nearest_s = min(at_s - self.starts_at_s, self.ends_at_s - at_s)
        return min(1.0, max(0.0, nearest_s / edge_s))


class Signals:
    """The signals of one sensor: the same values for the same seed, identifier and moments asked for.

    excursions_per_hour: how often, on average, one of the attributes leaves its range for a minute or so.
    """

    def __init__(self, *, seed: int, identifier: str, excursions_per_hour: float) -> None:
        # A text seeds the same generator in every process, which hash() of a tuple would not.
        self._random = random.Random(f"{seed}:{identifier}")  # noqa: S311 - signals, not secrets
        self._middles = [self._random.uniform(*attribute.middle) for attribute in ATTRIBUTES]
        # Rooms warm up at about the same time of day, give or take an hour.
        self._peak_s = 14 * HOUR_S + self._random.uniform(-HOUR_S, HOUR_S)
        self._wanders = [self._random.gauss(0, attribute.wander) for attribute in ATTRIBUTES]
        self._mean_pause_s = HOUR_S / excursions_per_hour if excursions_per_hour > 0 else math.inf
        self._last_at_s: float | None = None
        self._next_excursion_s = math.inf
        self.excursion: Excursion | None = None

    def sample(self, at_s: float) -> dict[str, float]:
        """Return all attributes' values at `at_s` (Unix seconds); moments must not go backwards."""
        elapsed_s = 0.0 if self._last_at_s is None else max(0.0, at_s - self._last_at_s)
        if self._last_at_s is None:
            self._plan_excursion(at_s)
        self._last_at_s = at_s
        self._move_excursion(at_s, elapsed_s)
        daily = math.cos(2 * math.pi * ((at_s - self._peak_s) % DAY_S) / DAY_S)
        values = {}
        for index, attribute in enumerate(ATTRIBUTES):
            value = self._middles[index] + attribute.daily * daily + self._wander(index, attribute, elapsed_s)
            value += self._random.gauss(0, attribute.noise)
            margin = (attribute.high - attribute.low) * _MARGIN
            value = min(attribute.high - margin, max(attribute.low + margin, value))
            if self.excursion is not None and self.excursion.attribute == attribute.name:
                weight = self.excursion.weight(at_s)
                value += weight * (self.excursion.target - value)
            values[attribute.name] = round(value, attribute.decimals)
        return values

    def _wander(self, index: int, attribute: Attribute, elapsed_s: float) -> float:
        # An Ornstein-Uhlenbeck step in its exact form: its spread does not depend on how often it is asked.
        kept = math.exp(-elapsed_s / attribute.wander_s)
        fresh = attribute.wander * math.sqrt(1 - kept * kept)
        self._wanders[index] = self._wanders[index] * kept + self._random.gauss(0, fresh)
        return self._wanders[index]

    def _plan_excursion(self, after_s: float) -> None:
        if self._mean_pause_s < math.inf:
            self._next_excursion_s = after_s + self._random.expovariate(1 / self._mean_pause_s)

    def _move_excursion(self, at_s: float, elapsed_s: float) -> None:
        if self.excursion is not None and at_s >= self.excursion.ends_at_s:
            self.excursion = None
            self._plan_excursion(at_s)
        elif self.excursion is None and at_s >= self._next_excursion_s:
            attribute = self._random.choice(ATTRIBUTES)
            beyond = self._random.uniform(*attribute.beyond)
            # Amperes below zero would be a broken meter, not a load.
            upwards = attribute.name == "current" or self._random.random() < 0.6
            target = attribute.high + beyond if upwards else attribute.low - beyond
            # A slow sensor must meet the plateau at least once.
            duration_s = max(self._random.uniform(*_EXCURSION_S), 4 * elapsed_s)
            self.excursion = Excursion(attribute.name, at_s, at_s + duration_s, target)
