"""Scenarios: what happens, step by step, to a few sensors that a rule of every kind watches, and what is stored of it.

Everything stands still between two steps, and a step is a multiple of five minutes. In each step things happen (samples
and messages come, revisions are answered, people edit and resolve), the bridge's watermark moves on unless it is away,
and then evaluators and deliverers do all that there is to do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from alerts.evaluation import Progress, evaluate, rates
from alerts.models import (
    Alert,
    ConfiguredPeriod,
    EvaluationBatch,
    EvaluationProgress,
    LogNote,
    Notification,
    Rule,
    RuleState,
    ScopeChange,
)
from alerts.queries import expected_intervals_us
from alerts.services import (
    acknowledge_alert,
    create_rule,
    delete_rule,
    deliver_notifications,
    evaluate_logs,
    evaluate_waiting,
    resolve_alert,
    sweep,
    update_rule,
)
from alerts.services.notify import CLAIM_S
from alerts.services.queue import microseconds
from alerts.services.watches import limits_of
from config.models import Revision
from config.services import Answer, create_revision, record_acknowledgements
from sensors.models import Gateway, Sensor
from sensors.services import (
    create_gateway,
    create_network,
    create_sensor,
    delete_gateway,
    delete_sensor,
    update_sensor,
)
from tests.alerts.making import at, drained, heard, make_target, make_user, sample, store
from tests.alerts.making_logs import entry, note
from tests.alerts.replaying import Row, alerts_of
from tests.alerts.replaying import stored as stored_alerts

# Longer than any number of claims that crashes leave behind in one step.
GRID_S: Final = 300
SENSORS: Final = 4
# By name: the fields of its kind, and what an edit turns them into, and back. Nobody edits the first two.
RULES: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "hot": (
        {"kind": "threshold", "attribute": "t", "above": 50.0, "hysteresis": 2.0, "for_s": 60, "keep_firing_s": 60},
        {},
    ),
    "fast": ({"kind": "rate_of_change", "attribute": "t", "above": 5.0, "below": -20.0}, {}),
    "warm": ({"kind": "threshold", "attribute": "t", "above": 50.0, "labels": {"zone": "a"}}, {"above": 60.0}),
    "silent": ({"kind": "staleness"}, {"grace_s": 0}),
    "gateway": ({"kind": "gateway_silence", "share": 0.6}, {"share": 1.0}),
    "errors": ({"kind": "log_severity", "log_severity": "warning", "count": 2, "window_s": 400}, {"count": 1}),
    "unconfigured": ({"kind": "configuration_failure", "timeout_s": 600}, {"timeout_s": 300}),
    "bridge": ({"kind": "bridge_away", "period_s": 600}, {"period_s": 900}),
}
UNEDITED: Final = ("hot", "fast")
# Comes due at a step: whoever is delayed within one tells the same.
ESCALATE_AFTER_S: Final = 2 * GRID_S

# A method of `World`, and its arguments.
Action = tuple[Any, ...]
# How many grid lengths after the one before, whether the bridge is away, what happens.
Step = tuple[int, bool, Sequence[Action]]
# What is done; it is told how often it was begun before in this step.
Work = Callable[[int], Any]
Do = Callable[[Work], None]

# Nothing of these reaches the database while the bridge is away.
_THROUGH_THE_BRIDGE: Final = ("samples", "logs", "heartbeat", "answer")


@dataclass
class Told:
    """What became of a scenario.

    steps: all that is stored of rules, after each step. evaluated: the alerts of the rules in UNEDITED; replayed:
    those that one replay of everything that was measured gives.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    evaluated: list[Row] = field(default_factory=list)
    replayed: list[Row] = field(default_factory=list)


def perform(steps: Sequence[Step], do: Do, *, is_cut: bool = False) -> Told:
    """Return what became of `steps`; of the database nothing is left.

    do: runs each work, perhaps several times. is_cut: samples and log messages wait one by one, in the order in which
    they would be evaluated otherwise.
    """
    told = Told()
    with transaction.atomic():
        world = World(do, is_cut=is_cut)
        for pause, is_away, actions in steps:
            world.step(pause, actions, is_away=is_away)
            told.steps.append(world.stored())
        told.evaluated, told.replayed = world.evaluated(), world.replayed()
        transaction.set_rollback(True)
    return told


class World:
    """Sensors, three of them behind a gateway, rules of every kind, two who are told, and the bridge."""

    def __init__(self, do: Do, *, is_cut: bool) -> None:
        self._do = do
        self._is_cut = is_cut
        self.now_s = 0.0
        self._was_away = False
        self._steady_s = 0.0
        network = create_network(slug="scenario", owner=None)
        self._user = make_user()
        gateway = create_gateway(network, identifier="gateway")
        self._sensors: dict[int, Sensor] = {}
        for number in range(SENSORS):
            self._sensors[number] = create_sensor(
                network,
                identifier=f"s-{number}",
                gateway=gateway if number < SENSORS - 1 else None,
                labels={"zone": "a"},
                period_s=600,
                grace_s=300,
            )
        self._rules: dict[str, Rule] = {}
        for name, (fields, _) in RULES.items():
            self._rules[name] = create_rule(network, name=name, author=None, severity="critical", **fields)
        make_target(network, "json://127.0.0.1/first", name="first", group_wait_s=0)
        make_target(
            network, "json://127.0.0.1/second", name="second", group_wait_s=0, escalate_after_s=ESCALATE_AFTER_S
        )
        drained(0, steady_s=0)
        # By sensor, with its interval then: what was evaluated together.
        self._measured: dict[int, list[tuple[int | None, list[tuple[int, int, Any]]]]] = {}
        self._waiting: dict[int, list[list[tuple[int, int, Any]]]] = {}

    def step(self, pause: int, actions: Sequence[Action], *, is_away: bool) -> None:
        """Let time pass and things happen; then evaluate, sweep and tell until there is nothing left to do."""
        self.now_s += pause * GRID_S
        for name, *arguments in actions:
            if not (is_away and name in _THROUGH_THE_BRIDGE):
                getattr(self, name)(*arguments)
        if not is_away:
            if self._was_away:
                self._steady_s = self.now_s
            drained(self.now_s, steady_s=self._steady_s)
        self._was_away = is_away
        self._note_intervals()
        self._do(self._evaluate)
        self._do(self._deliver)

    # --- What happens; a sensor that was deleted does nothing ---------------------------------------

    def samples(self, number: int, values: Sequence[tuple[float, Any]]) -> None:
        """Take (age in seconds, value) in one message."""
        if sensor := self._sensors.get(number):
            made = [sample(sensor, self.now_s - age_s, value, late_s=age_s, attribute="t") for age_s, value in values]
            # As it is queued: in the order of the sensor's clock, equal times as they came.
            made.sort(key=lambda each: each.measured_at)
            self._hear(sensor, lambda: [store(piece) for piece in self._pieces(made)])
            points = [
                (microseconds(each.measured_at), microseconds(each.received_at), each.values["t"]) for each in made
            ]
            self._waiting.setdefault(sensor.pk, []).append(points)

    def logs(self, number: int, messages: Sequence[tuple[float, str]]) -> None:
        """Take (age in seconds, severity) in one message."""
        if sensor := self._sensors.get(number):
            made = [entry(sensor, self.now_s - age_s, severity=severity, late_s=age_s) for age_s, severity in messages]
            self._hear(sensor, lambda: [note(piece) for piece in self._pieces(sorted(made))])

    def heartbeat(self, number: int) -> None:
        if sensor := self._sensors.get(number):
            self._hear(sensor, lambda: None)

    def revise(self, number: int, interval_s: int | None) -> None:
        if sensor := self._sensors.get(number):
            values = {} if interval_s is None else {"interval_s": interval_s}
            self._do(lambda _: create_revision(sensor, values=values, author=None, now=at(self.now_s)))

    def answer(self, number: int, success: bool) -> None:
        """Let the sensor answer its newest revision."""
        sensor = self._sensors.get(number)
        newest = Revision.objects.filter(sensor=sensor).order_by("-number").first() if sensor else None
        if sensor and newest:
            answers = [Answer(sensor.pk, newest.number, success)]
            self._hear(sensor, lambda: record_acknowledgements(answers, now=at(self.now_s)))

    def edit(self, name: str) -> None:
        """Give the rule its other form."""
        fields, other = RULES[name]
        rule = Rule.objects.filter(name=name).first()
        if rule is None:
            return
        is_other = all(getattr(rule, key) == value for key, value in other.items())
        changes = {key: fields.get(key) if is_other else value for key, value in other.items()}
        self._do(lambda _: update_rule(rule, now=at(self.now_s), **changes))

    def switch(self, name: str) -> None:
        """Disable the rule, or enable it again."""
        if rule := Rule.objects.filter(name=name).first():
            self._do(lambda _: update_rule(rule, now=at(self.now_s), enabled=not rule.enabled))

    def drop(self, name: str) -> None:
        """Delete the rule."""
        if Rule.objects.filter(name=name).exists():
            # Read each time: an instance that was deleted has lost its key, whatever became of the transaction.
            self._do(lambda _: delete_rule(Rule.objects.get(name=name), now=at(self.now_s)))

    def relabel(self, number: int) -> None:
        """Take the sensor out of its zone, or put it back."""
        if sensor := self._sensors.get(number):
            labels = {} if sensor.labels else {"zone": "a"}
            self._do(lambda _: update_sensor(sensor, labels=labels, now=at(self.now_s)))

    def delete(self, number: int) -> None:
        if sensor := self._sensors.pop(number, None):
            pk = sensor.pk
            self._do(lambda _: delete_sensor(Sensor.objects.get(pk=pk)))

    def dismount(self) -> None:
        """Delete the gateway; its sensors stay."""
        if Gateway.objects.exists():
            self._do(lambda _: delete_gateway(Gateway.objects.get()))

    def resolve(self, number: int) -> None:
        """Let an operator resolve one of the open alerts."""
        if alert := self._open(Alert.objects.all(), number):
            self._do(lambda _: resolve_alert(alert, user=self._user, now=at(self.now_s)))

    def acknowledge(self, number: int) -> None:
        """Let an operator acknowledge one of the open alerts."""
        if alert := self._open(Alert.objects.filter(acknowledged_at=None), number):
            self._do(lambda _: acknowledge_alert(alert, user=self._user, now=at(self.now_s)))

    @staticmethod
    def _open(alerts: QuerySet[Alert], number: int) -> Alert | None:
        is_open = list(alerts.filter(resolved_at=None).order_by("rule_name", "sensor_identifier"))
        return is_open[number % len(is_open)] if is_open else None

    def _hear(self, sensor: Sensor, take: Callable[[], Any]) -> None:
        """Take what a sensor sent in the transaction that remembers when it was heard."""

        def ingest(_: int) -> None:
            with transaction.atomic():
                take()
                heard(sensor, self.now_s)

        self._do(ingest)

    def _pieces(self, made: list[Any]) -> list[list[Any]]:
        return [[each] for each in made] if self._is_cut else [made]

    # --- What is done about it ----------------------------------------------------------------------

    def _evaluate(self, _: int) -> None:
        evaluate_waiting(clock=lambda: at(self.now_s))
        evaluate_logs(clock=lambda: at(self.now_s))
        sweep(now=at(self.now_s))

    def _deliver(self, number: int) -> None:
        # When the claims of those who were killed in this step are over.
        deliver_notifications(clock=lambda: at(self.now_s + number * (CLAIM_S + 1)))

    # --- What is stored -----------------------------------------------------------------------------

    def stored(self) -> dict[str, Any]:
        """Return all that is stored of rules, comparable with another performance of the same scenario."""
        ids = ("id", "network", "rule", "sensor", "gateway", "acknowledged_by", "resolved_by")
        return {
            "alerts": _rows(Alert.objects.all(), leave_out=(*ids, "rule_snapshot")),
            "notifications": _rows(
                Notification.objects.all(),
                *("target__name", "alert__rule_name", "alert__sensor_identifier", "alert__started_at"),
                # Attempts and their time are those of deliverers, who may be killed and are late then.
                leave_out=("id", "alert", "target", "attempts", "sent_at"),
            ),
            "states": _rows(
                RuleState.objects.all(), "rule__name", "sensor__identifier", leave_out=("id", "rule", "sensor")
            ),
            "progress": _rows(EvaluationProgress.objects.all(), "sensor__identifier", leave_out=("sensor",)),
            "periods": _rows(ConfiguredPeriod.objects.all(), "sensor__identifier", leave_out=("sensor",)),
            "waiting": [
                model.objects.count()  # type: ignore[attr-defined]
                for model in (EvaluationBatch, LogNote, ScopeChange)
            ],
        }

    def evaluated(self) -> list[Row]:
        """Return the alerts of the unedited rules, without pairs that a person or a deletion interfered with."""
        watched = self._compared()
        return [row for row in stored_alerts(rule__name__in=UNEDITED, sensor__isnull=False) if row[:2] in watched]

    def replayed(self) -> list[Row]:
        """Return what one replay of the stored history says of the same pairs, from the pure evaluation alone."""
        names = {rule.pk: name for name, rule in self._rules.items()}
        found: list[Row] = []
        for rule_id, sensor_id in self._compared():
            rule = self._rules[names[rule_id]]
            progress, transitions = Progress(), []
            until: int | None = None
            value: float | None = None
            for interval_us, block in self._measured.get(sensor_id, ()):
                points = [point for point in block if _is_number(point[2])]
                if rule.kind == "rate_of_change":
                    changes = rates(points, until=until, value=value)
                    for measured, _, number in points:
                        if until is None or measured > until:
                            until, value = measured, number
                    points = changes
                progress, made = evaluate(limits_of(rule), progress, points, interval_us=interval_us)
                transitions += made
            found += alerts_of(rule, sensor_id, transitions)
        return sorted(found)

    def _compared(self) -> set[tuple[int, int]]:
        by_hand = set(Alert.objects.filter(resolution="by_hand").values_list("rule_id", "sensor_id"))
        pairs = {(self._rules[name].pk, sensor.pk) for name in UNEDITED for sensor in self._sensors.values()}
        return pairs - by_hand

    def _note_intervals(self) -> None:
        """Keep what will now be evaluated, with the intervals that hold."""
        intervals = expected_intervals_us(self._waiting)
        for sensor_id, blocks in self._waiting.items():
            kept = self._measured.setdefault(sensor_id, [])
            kept += [(intervals.get(sensor_id), block) for block in blocks]
        self._waiting = {}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _rows(rows: QuerySet[Any], *named: str, leave_out: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows without the columns whose values are another performance's own, in an order of their values."""
    columns = [each.name for each in rows.model._meta.concrete_fields if each.name not in leave_out]
    return sorted(rows.values(*named, *columns), key=repr)
