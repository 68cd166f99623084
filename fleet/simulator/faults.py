"""Faults that simulated sensors can have: `--fault NAME[:SHARE]`.

A fault changes what one sensor sends, when, or by which clock; it never touches the sensor's signals.
"""

import random
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from fleet.simulator.messages import Message, encode
from sensors.wire import MAX_AHEAD_S, MAX_ATTRIBUTES, MAX_PAYLOAD_BYTES, FlatValue

NEVER: Final = float("inf")


class Fault:
    """One fault of one sensor; the base class has none. `source` is the sensor's own random generator."""

    name: ClassVar[str]
    # One line for --help and docs/simulator.md.
    summary: ClassVar[str]
    # Added to every timestamp that the sensor sends.
    clock_offset_s: float = 0.0
    # Why every configuration is refused; empty: it is not.
    refusal: str = ""

    def __init__(self, *, identifier: str, source: random.Random, now_s: float) -> None:
        self.identifier = identifier
        self.source = source
        self.began_at_s = now_s
        # When `extra` or `cuts` wants to be asked next, Unix seconds.
        self.due_at_s = NEVER

    def measured(self, value: FlatValue, *, now_s: float) -> FlatValue:
        """Return what is sent in place of the measured value."""
        return value

    def outgoing(self, messages: list[Message], *, now_s: float) -> list[Message]:
        """Return what is sent in place of `messages`."""
        return messages

    def extra(self, *, now_s: float) -> list[Message]:
        """Return what is sent in addition, untouched by other faults."""
        return []

    def cuts(self, *, now_s: float) -> bool:
        """Return whether the connection breaks now."""
        return False


class Silence(Fault):
    """Sends for two minutes, then nothing for three, and so on; stays connected."""

    name = "silence"
    summary = "sends for 2 minutes, then nothing for 3 although it stays connected, and so on"
    talks_s: ClassVar[float] = 120.0
    silent_s: ClassVar[float] = 180.0

    def outgoing(self, messages: list[Message], *, now_s: float) -> list[Message]:
        since_s = (now_s - self.began_at_s) % (self.talks_s + self.silent_s)
        return messages if since_s < self.talks_s else []


class Flapping(Fault):
    """Swings closely around the upper limit of temperature."""

    name = "flapping"
    summary = "its temperature swings between 49.8 and 50.4 °C every 10 s: an alert without hysteresis flaps"
    half_period_s: ClassVar[float] = 10.0

    def measured(self, value: FlatValue, *, now_s: float) -> FlatValue:
        if "temperature" not in value:
            return value
        beyond = int((now_s - self.began_at_s) // self.half_period_s) % 2 == 0
        return value | {"temperature": 50.4 if beyond else 49.8}


class Garbage(Fault):
    """Sends what the service must refuse, in between its good messages."""

    name = "garbage"
    summary = "every 10 s also sends something that must be refused: no JSON, NaN, deep nesting, too large, …"
    pause_s: ClassVar[float] = 10.0

    def __init__(self, *, identifier: str, source: random.Random, now_s: float) -> None:
        super().__init__(identifier=identifier, source=source, now_s=now_s)
        self._next = source.randrange(len(GARBAGE))
        self.due_at_s = now_s + source.uniform(0, self.pause_s)

    def extra(self, *, now_s: float) -> list[Message]:
        if now_s < self.due_at_s:
            return []
        self.due_at_s = now_s + self.pause_s
        # In turn, so that a short run meets every kind.
        make = GARBAGE[self._next % len(GARBAGE)]
        self._next += 1
        return [make(self.identifier, now_s)]


class ClockAhead(Fault):
    """Its clock is ten minutes fast, which is more than the service accepts."""

    name = "clock-ahead"
    summary = "its clock is 10 minutes fast, so that everything it sends is refused"
    clock_offset_s = 2 * MAX_AHEAD_S


class ClockBehind(Fault):
    """Its clock is an hour slow: accepted, but never the latest."""

    name = "clock-behind"
    summary = "its clock is an hour slow: accepted, with old times"
    clock_offset_s = -3600.0


class Backlog(Fault):
    """Holds everything back for two minutes, then sends it at once with the old times."""

    name = "backlog"
    summary = "keeps everything for 2 minutes, then sends it at once with the times of then"
    hold_s: ClassVar[float] = 120.0

    def __init__(self, *, identifier: str, source: random.Random, now_s: float) -> None:
        super().__init__(identifier=identifier, source=source, now_s=now_s)
        self._held: list[Message] = []
        self._release_at_s = now_s + self.hold_s

    def outgoing(self, messages: list[Message], *, now_s: float) -> list[Message]:
        self._held += messages
        if now_s < self._release_at_s:
            return []
        released, self._held = self._held, []
        self._release_at_s = now_s + self.hold_s
        return released


class Duplicates(Fault):
    """Sends every message twice, as a redelivering broker does."""

    name = "duplicates"
    summary = "sends every message twice: nothing may be stored twice"

    def outgoing(self, messages: list[Message], *, now_s: float) -> list[Message]:
        return [message for message in messages for _ in range(2)]


class Disconnects(Fault):
    """Loses its connection without a word, again and again."""

    name = "disconnects"
    summary = "loses its connection every 10 to 30 s without saying goodbye, and connects again"

    def __init__(self, *, identifier: str, source: random.Random, now_s: float) -> None:
        super().__init__(identifier=identifier, source=source, now_s=now_s)
        self.due_at_s = now_s + source.uniform(10, 30)

    def cuts(self, *, now_s: float) -> bool:
        if now_s < self.due_at_s:
            return False
        self.due_at_s = now_s + self.source.uniform(10, 30)
        return True


class RefuseConfigurations(Fault):
    """Answers every configuration with success false; the old one goes on."""

    name = "refuse-configurations"
    summary = "answers every configuration with success false and goes on with the old one"
    refusal = "this simulated sensor refuses every configuration (fault refuse-configurations)"


FAULTS: Final[dict[str, type[Fault]]] = {
    kind.name: kind
    for kind in (
        Silence, Flapping, Garbage, ClockAhead, ClockBehind, Backlog, Duplicates, Disconnects, RefuseConfigurations,
    )
}  # fmt: skip


class FaultError(ValueError):
    """A `--fault` that cannot be used; the text says why and which there are."""


def parse_fault(text: str) -> tuple[type[Fault], float]:
    """Return the fault and the share of sensors that `NAME[:SHARE]` asks for; the share is 1 if left out."""
    name, colon, share_text = text.partition(":")
    if name not in FAULTS:
        raise FaultError(f"there is no fault {name!r}; there are {', '.join(FAULTS)}")
    try:
        share = float(share_text) if colon else 1.0
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise FaultError(f"{text!r}: the share of sensors is a number above 0 and at most 1, as in {name}:0.2")
    return FAULTS[name], share


def assign_faults(
    identifiers: Sequence[str], wanted: Sequence[tuple[type[Fault], float]], *, seed: int
) -> dict[str, list[type[Fault]]]:
    """Return the faults of each sensor that has any; at least one sensor has each, the same for a seed."""
    assigned: dict[str, list[type[Fault]]] = {}
    for kind, share in wanted:
        source = random.Random(f"{seed}:{kind.name}")  # noqa: S311 - chooses sensors, keeps no secret
        for identifier in source.sample(list(identifiers), max(1, round(share * len(identifiers)))):
            assigned.setdefault(identifier, []).append(kind)
    return assigned


# --- What `garbage` sends ------------------------------------------------------------------------


def _entry(now_s: float, value: object = None, **changed: object) -> dict[str, object]:
    return {"revision": 0, "timestamp": round(now_s, 3), "value": value or {"temperature": 20.5}} | changed


def _among_good(sensor: str, now_s: float, bad: bytes) -> Message:
    # The good neighbour must be stored.
    good = encode(_entry(now_s))
    return Message(f"measurements/{sensor}", b'{"measurements":[' + good + b"," + bad + b"]}")


def _literal(sensor: str, now_s: float, literal: bytes) -> Message:
    bad = encode(_entry(now_s, {"temperature": "?"})).replace(b'"?"', literal)
    return _among_good(sensor, now_s, bad)


def _oversized(sensor: str, now_s: float) -> Message:
    value = {"temperature": 20.5, "padding": "x" * (MAX_PAYLOAD_BYTES + 1)}
    # A broker with a limit of its own may close the connection over it.
    return Message(f"measurements/{sensor}", encode({"measurements": [_entry(now_s, value)]}), once=True)


GARBAGE: Final[tuple[Callable[[str, float], Message], ...]] = (
    lambda sensor, _now_s: Message(f"measurements/{sensor}", b'{"measurements": [{"revision": 0, "timest'),
    lambda sensor, _now_s: Message(f"log-messages/{sensor}", b'\xff\xfe{"log_messages": []}'),
    lambda sensor, _now_s: Message(f"heartbeats/{sensor}", b'{"heartbeats": "all is well"}'),
    lambda sensor, now_s: _literal(sensor, now_s, b"NaN"),
    lambda sensor, now_s: _literal(sensor, now_s, b"1e400"),
    lambda sensor, now_s: _literal(sensor, now_s, b'"a NUL: \\u0000"'),
    lambda sensor, now_s: _literal(sensor, now_s, b'"half a pair: \\ud800"'),
    lambda sensor, now_s: _among_good(sensor, now_s, encode(_entry(now_s, {"inside": {"temperature": 20.5}}))),
    lambda sensor, now_s: _among_good(sensor, now_s, encode(_entry(now_s, timestamp=round(now_s * 1000)))),
    lambda sensor, now_s: _among_good(sensor, now_s, encode(_entry(now_s, timestamp=0))),
    lambda sensor, now_s: _among_good(sensor, now_s, encode(_entry(now_s, revision="zero"))),
    lambda sensor, now_s: _among_good(
        sensor, now_s, encode(_entry(now_s, {f"attribute_{number}": number for number in range(MAX_ATTRIBUTES + 1)}))
    ),
    lambda sensor, _now_s: Message(f"measurements/{sensor}", b'{"measurements":' + b"[" * 100_000),
    _oversized,
    lambda sensor, now_s: Message(f"measurements/{sensor}/inside", encode({"measurements": [_entry(now_s)]})),
)
