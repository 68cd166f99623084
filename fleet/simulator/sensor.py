"""How a simulated sensor behaves: takes configurations, answers, measures, logs. Reads no clock, sends nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.simulator.configuration import ConfigurationError, Settings, parse_envelope
from fleet.simulator.faults import Fault
from fleet.simulator.messages import Measurement, Message, Severity, heartbeat, log_message, measurements
from fleet.simulator.signals import ATTRIBUTES, Signals
from sensors.wire import FlatValue

# A retained configuration comes within milliseconds of the subscription; one that was just created, within
# seconds. Before that a heartbeat would speak of a revision that the sensor does not have.
FIRST_CONFIGURATION_S: Final = 5.0
# One remark of each sensor every 20 minutes: a page with 20 sensors sees about one a minute.
REMARKS_PER_HOUR: Final = 3.0

_REMARKS: Final[tuple[tuple[int, Severity, str, str], ...]] = (
    (40, "info", "Self-test passed", "simulated; all inputs answer"),
    (25, "info", "Clock synchronised", "simulated; corrected by {number} ms"),
    (20, "warning", "Weak radio signal", "simulated; -{number} dBm"),
    (12, "warning", "Battery low", "simulated; {number} % left"),
    (3, "error", "Sensor did not answer", "simulated; read failed {number} times in a row"),
)


@dataclass(frozen=True, slots=True)
class Actions:
    """What a sensor does at one moment: send these, in their order, and perhaps lose its connection."""

    messages: list[Message] = field(default_factory=list)
    cut: bool = False


@dataclass(slots=True)
class ConfigurationCounts:
    """How a sensor answered so far."""

    accepted: int = 0
    refused: int = 0


class SimulatedSensor:
    """One simulated sensor. Its owner tells it the time (Unix seconds) and sends what it returns.

    Call `begin` once, `receive` for each configuration, and `act` whenever `due_at_s` has come. The same
    seed, identifier and moments give the same messages.
    """

    def __init__(
        self,
        identifier: str,
        *,
        seed: int,
        interval_s: float,
        excursions_per_hour: float = 2.0,
        faults: Sequence[type[Fault]] = (),
    ) -> None:
        self.identifier = identifier
        self.settings = Settings(interval_s=interval_s)
        # None until the first configuration was accepted.
        self.revision: int | None = None
        self.configurations = ConfigurationCounts()
        # Every configuration is complete in itself: it changes these, not the one before it.
        self._defaults = self.settings
        self._signals = Signals(seed=seed, identifier=identifier, excursions_per_hour=excursions_per_hour)
        self._random = random.Random(f"{seed}:{identifier}:behaviour")  # noqa: S311 - no secret
        self._fault_kinds = tuple(faults)
        self._faults: list[Fault] = []
        self._next_measurement_s = 0.0
        self._next_heartbeat_s = 0.0
        self._next_remark_s = 0.0
        self._first_measured = False
        self._excursion_named = ""

    @property
    def due_at_s(self) -> float:
        """Return when `act` has something to do next."""
        own = min(self._next_measurement_s, self._next_heartbeat_s, self._next_remark_s)
        return min([own, *(fault.due_at_s for fault in self._faults)])

    def begin(self, *, now_s: float) -> Actions:
        """Switch the sensor on: it says so in a log message and measures within a second."""
        self._faults = [
            kind(identifier=self.identifier, source=self._random, now_s=now_s) for kind in self._fault_kinds
        ]
        self._next_measurement_s = now_s + self._random.uniform(0.2, 1.0)
        self._next_heartbeat_s = now_s + FIRST_CONFIGURATION_S
        self._plan_remark(now_s)
        names = ", ".join(kind.name for kind in self._fault_kinds)
        details = f"simulated; measures every {self.settings.interval_s:g} s"
        started = self._log("info", "Sensor started", details + (f"; faults: {names}" if names else ""), now_s)
        return Actions(self._through_faults([started], now_s))

    def receive(self, payload: bytes, *, now_s: float) -> Actions:
        """Take the configuration in `payload` and answer it with a heartbeat for its revision.

        What cannot be run is answered with success false and a log message that says why, and the old
        configuration goes on. An empty payload, by which a broker tells that the configuration was deleted,
        takes the sensor back to its defaults.
        """
        if not payload:
            self.revision = None
            self._set(self._defaults, now_s)
            return Actions()
        try:
            envelope = parse_envelope(payload)
        except ConfigurationError as error:
            self.configurations.refused += 1
            warning = self._log("warning", "Configuration not understood", f"simulated; {error}", now_s)
            return Actions(self._through_faults([warning], now_s))
        problem = envelope.problem or next((fault.refusal for fault in self._faults if fault.refusal), "")
        settings = self._defaults
        if not problem:
            try:
                settings = self._defaults.changed_by(envelope.values)
            except ConfigurationError as error:
                problem = str(error)
        if problem:
            return self._refuse(envelope.revision, problem, now_s)
        self.configurations.accepted += 1
        is_new = self.revision != envelope.revision
        self.revision = envelope.revision
        self._set(settings, now_s)
        answers = [self._beat(envelope.revision, now_s, success=True)]
        self._next_heartbeat_s = now_s + settings.heartbeat_every_s
        # A broker repeats the retained configuration on every connection; that is no news.
        if is_new:
            details = f"simulated; revision {envelope.revision}, measures every {settings.interval_s:g} s"
            answers.append(self._log("info", "Configuration applied", details, now_s))
        return Actions(self._through_faults(answers, now_s))

    def act(self, *, now_s: float) -> Actions:
        """Do whatever is due at `now_s`."""
        messages: list[Message] = []
        if now_s >= self._next_measurement_s:
            messages += self._measure(now_s)
            self._plan_measurement(now_s)
        if now_s >= self._next_heartbeat_s:
            # Without any configuration it is a sign of life that acknowledges nothing: success would be an
            # answer to a revision 0 that may exist and was never seen here.
            messages.append(self._beat(self.revision or 0, now_s, success=self.revision is not None))
            self._next_heartbeat_s = now_s + self.settings.heartbeat_every_s
        if now_s >= self._next_remark_s:
            messages.append(self._remark(now_s))
            self._plan_remark(now_s)
        messages = self._through_faults(messages, now_s)
        cut = False
        for fault in self._faults:
            messages += fault.extra(now_s=now_s)
            cut = fault.cuts(now_s=now_s) or cut
        return Actions(messages, cut)

    # --- Parts ---------------------------------------------------------------------------------

    def _refuse(self, revision: int, problem: str, now_s: float) -> Actions:
        self.configurations.refused += 1
        return Actions(
            self._through_faults(
                [
                    self._beat(revision, now_s, success=False),
                    self._log("warning", "Configuration refused", f"simulated; revision {revision}: {problem}", now_s),
                ],
                now_s,
            )
        )

    def _set(self, settings: Settings, now_s: float) -> None:
        if settings.interval_s != self.settings.interval_s:
            self._next_measurement_s = now_s + settings.interval_s
        self.settings = settings
        self._next_heartbeat_s = min(self._next_heartbeat_s, now_s + settings.heartbeat_every_s)

    def _measure(self, now_s: float) -> list[Message]:
        sampled = self._signals.sample(now_s)
        value: FlatValue = {name: sampled[name] for name in self.settings.attributes}
        for fault in self._faults:
            value = fault.measured(value, now_s=now_s)
        entry = Measurement(self.revision or 0, self._stamp(now_s), value)
        return [measurements(self.identifier, [entry.encode()]), *self._tell_of_excursion(sampled, now_s)]

    def _tell_of_excursion(self, sampled: dict[str, float], now_s: float) -> list[Message]:
        excursion = self._signals.excursion
        name = excursion.attribute if excursion is not None else ""
        if name == self._excursion_named:
            return []
        if not name:
            subject, self._excursion_named = f"{self._excursion_named.capitalize()} back in range", ""
            return [self._log("info", subject, "simulated excursion has ended", now_s)]
        attribute = next(attribute for attribute in ATTRIBUTES if attribute.name == name)
        if attribute.low <= sampled[name] <= attribute.high:
            return []  # still on its way
        self._excursion_named = name
        details = f"simulated excursion; {sampled[name]:g}, allowed {attribute.low:g} to {attribute.high:g}"
        return [self._log("warning", f"{name.capitalize()} out of range", details, now_s)]

    def _plan_measurement(self, now_s: float) -> None:
        interval_s = self.settings.interval_s
        if not self._first_measured:
            # Everybody's first one comes at once; from then on they are spread over the interval.
            self._first_measured = True
            self._next_measurement_s = now_s + self._random.uniform(0.1, 1.0) * interval_s
            return
        self._next_measurement_s += interval_s
        # After a pause of the process, moments that were missed stay missed.
        if self._next_measurement_s <= now_s:
            self._next_measurement_s = now_s + interval_s

    def _plan_remark(self, now_s: float) -> None:
        self._next_remark_s = now_s + self._random.expovariate(REMARKS_PER_HOUR / 3_600)

    def _remark(self, now_s: float) -> Message:
        _, severity, subject, details = self._random.choices(_REMARKS, [remark[0] for remark in _REMARKS])[0]
        return self._log(severity, subject, details.format(number=self._random.randint(5, 95)), now_s)

    def _beat(self, revision: int, now_s: float, *, success: bool) -> Message:
        return heartbeat(self.identifier, revision=revision, timestamp_s=self._stamp(now_s), success=success)

    def _log(self, severity: Severity, subject: str, details: str, now_s: float) -> Message:
        return log_message(
            self.identifier,
            severity=severity,
            revision=self.revision or 0,
            timestamp_s=self._stamp(now_s),
            subject=subject,
            details=details,
        )

    def _stamp(self, now_s: float) -> float:
        return round(now_s + sum(fault.clock_offset_s for fault in self._faults), 3)

    def _through_faults(self, messages: list[Message], now_s: float) -> list[Message]:
        for fault in self._faults:
            messages = fault.outgoing(messages, now_s=now_s)
        return messages
