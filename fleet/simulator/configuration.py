"""What a simulated sensor understands of its configuration."""

import json
import math
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.simulator.signals import ATTRIBUTE_NAMES
from sensors.wire import FlatValue, PayloadError, check_flat, check_revision

MAX_INTERVAL_S: Final = 86_400
HEARTBEAT_INTERVAL_S: Final = 30.0


class ConfigurationError(Exception):
    """A configuration that a simulated sensor does not run; the text says which key and why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a simulated sensor runs by. `heartbeat_interval_s` None: 30 s, or the interval if that is longer."""

    interval_s: float
    heartbeat_interval_s: float | None = None
    attributes: tuple[str, ...] = ATTRIBUTE_NAMES

    @property
    def heartbeat_every_s(self) -> float:
        """Return the seconds between two heartbeats."""
        return self.heartbeat_interval_s or max(HEARTBEAT_INTERVAL_S, self.interval_s)

    def changed_by(self, values: FlatValue) -> "Settings":
        """Return these settings with what `values` sets; raise ConfigurationError for what cannot be run.

        Known keys: `interval_s` and `heartbeat_interval_s` (seconds, above 0, at most 86,400) and
        `attributes` (names of signals with commas between them). Other keys are for somebody else.
        """
        settings = self
        if "interval_s" in values:
            settings = replace(settings, interval_s=_seconds(values, "interval_s"))
        if "heartbeat_interval_s" in values:
            settings = replace(settings, heartbeat_interval_s=_seconds(values, "heartbeat_interval_s"))
        if "attributes" in values:
            settings = replace(settings, attributes=_attributes(values["attributes"]))
        return settings


@dataclass(frozen=True, slots=True)
class Envelope:
    """A configuration as it came over MQTT. `problem`: why `values` cannot be used, though it has a number."""

    revision: int
    values: FlatValue
    problem: str = ""


def parse_envelope(payload: bytes) -> Envelope:
    """Return the revision and configuration in `payload`.

    Raises ConfigurationError if there is no revision that could be answered to. With a revision but an
    unusable configuration the envelope says so in `problem`.
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError("not a JSON object")
    try:
        revision = check_revision(document.get("revision"))
    except PayloadError as error:
        raise ConfigurationError(error.detail) from error
    try:
        return Envelope(revision, check_flat(document.get("configuration"), "configuration"))
    except PayloadError as error:
        return Envelope(revision, {}, error.detail)


def _seconds(values: FlatValue, key: str) -> float:
    seconds: Any = values[key]
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not math.isfinite(seconds) or not 0 < seconds <= MAX_INTERVAL_S:
        raise ConfigurationError(
            f"{key} is {json.dumps(seconds)}; it must be a number above 0 and at most {MAX_INTERVAL_S}"
        )
    return float(seconds)


def _attributes(text: Any) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")] if isinstance(text, str) else []
    unknown = [name for name in names if name not in ATTRIBUTE_NAMES]
    if not names or unknown:
        raise ConfigurationError(
            f"attributes is {json.dumps(text)}; it must name some of {', '.join(ATTRIBUTE_NAMES)}, with commas"
        )
    return tuple(name for name in ATTRIBUTE_NAMES if name in names)
