"""Whatever is killed at whatever statement, and then simply done again: the transitions of an undisturbed run."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import connection

from alerts.models import AlertState, Resolution
from alerts.services import lanes, logs, notify
from tests.alerts.scenarios import RULES, SENSORS, UNEDITED, Action, Step, Work, perform
from tests.crashes import crash_at

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("events", "often_flapping")]

# Each kind of rule fires, and episodes end for every reason that there is. The first alert in the order of
# their rules' names is acknowledged, the fourth resolved by hand.
STORY: list[Step] = [
    (
        1, False,
        [
            *[("heartbeat", number) for number in range(SENSORS)],
            ("revise", 1, None),
            ("samples", 0, [(200, 60.0), (100, 60.0), (0, 60.0)]),
            ("samples", 3, [(60, 1.0), (0, 90.0)]),
            ("logs", 2, [(10, "error"), (0, "warning")]),
        ],
    ),
    (
        1, False,
        [
            ("samples", 0, [(90, 40.0), (30, 40.0)]), ("samples", 0, [(0, 40.0)]),
            ("samples", 3, [(290, 90.0), (0, 90.0)]), ("heartbeat", 1), ("heartbeat", 2),
        ],
    ),
    (2, False, [("heartbeat", 3)]),
    # Everybody behind the gateway is silent; then one of them still is.
    (2, False, [("heartbeat", 3)]),
    (1, False, [("heartbeat", 0), ("answer", 1, True)]),
    (3, True, [("revise", 2, 1_000)]),
    (1, False, [("samples", 0, [(900, 70.0), (600, 70.0), (300, 70.0)]), ("heartbeat", 2), ("heartbeat", 3)]),
    (
        1, False,
        [
            ("edit", "warm"), ("revise", 0, None), ("answer", 0, False), ("acknowledge", 0),
            ("logs", 1, [(1, "error"), (0, "error")]), ("samples", 0, [(0, 70.0)]),
        ],
    ),
    (
        1, False,
        [("revise", 0, None), ("relabel", 0), ("switch", "errors"), ("samples", 0, [(90, 10.0), (0, 10.0)])],
    ),
    (1, False, [("samples", 1, [(280 - 10 * number, 90.0 if number % 2 else 1.0) for number in range(12)])]),
    (1, False, [("resolve", 3), ("samples", 1, [(0, 90.0)]), ("heartbeat", 3), ("answer", 2, True)]),
    (4, False, [("samples", 1, [(100, 90.0)])]),
    (4, False, [("heartbeat", 0), ("delete", 1), ("heartbeat", 2)]),
    (12, False, [("heartbeat", 3)]),
    (1, False, [("dismount",), ("drop", "unconfigured")]),
]  # fmt: skip

# In seconds before they come, in one message.
AGES_S = (0, 0, 1, 30, 100, 290, 299, 400, 1_000)
VALUES = (1.0, 20.0, 48.0, 49.0, 50.0, 51.0, 55.0, 61.0, 90.0, float("nan"), "51", True, None)
EDITED = [name for name in RULES if name not in UNEDITED]


def any_steps(dice: random.Random) -> list[Step]:
    """Return steps in which anything happens, after everybody was heard once."""

    def message(values: Sequence[Any]) -> list[tuple[float, Any]]:
        return [(dice.choice(AGES_S), dice.choice(values)) for _ in range(dice.randint(1, 4))]

    def action() -> Action:
        sensor, number = dice.randrange(SENSORS), dice.randrange(8)
        # How often, in proportion, and with what.
        made: dict[str, tuple[float, Callable[[], Action]]] = {
            "samples": (8, lambda: (sensor, message(VALUES))),
            "logs": (5, lambda: (sensor, message(["info", "warning", "error"]))),
            "heartbeat": (3, lambda: (sensor,)),
            "revise": (2, lambda: (sensor, dice.choice([None, 10, 200, 1_000]))),
            "answer": (2, lambda: (sensor, dice.random() < 0.5)),
            "edit": (1, lambda: (dice.choice(EDITED),)),
            "switch": (1, lambda: (dice.choice(EDITED),)),
            "relabel": (1, lambda: (sensor,)),
            "resolve": (1, lambda: (number,)),
            "acknowledge": (1, lambda: (number,)),
            "delete": (0.3, lambda: (sensor,)),
            "drop": (0.3, lambda: (dice.choice(EDITED),)),
            "dismount": (0.2, lambda: ()),
        }
        (name,) = dice.choices(list(made), [weight for weight, _ in made.values()])
        return (name, *made[name][1]())

    first: Step = (1, False, [("heartbeat", number) for number in range(SENSORS)])
    others: list[Step] = [
        (dice.randint(1, 4), dice.random() < 0.2, [action() for _ in range(dice.randint(1, 6))])
        for _ in range(dice.randint(6, 10))
    ]
    return [first, *others]


@pytest.fixture
def often_flapping(settings: Any) -> None:
    """Let three transitions within half an hour be too many, and let who is told be on this machine."""
    settings.FLAPPING_TRANSITIONS, settings.FLAPPING_WINDOW_S = 2, 1_800
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]


@pytest.fixture(params=["story", 1, 2])
def steps(request: pytest.FixtureRequest, dice: random.Random) -> list[Step]:
    return STORY if request.param == "story" else any_steps(dice)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the messages that are sent from here on, as (address, text), instead of sending them."""
    messages: list[tuple[str, str]] = []
    monkeypatch.setattr(notify, "send", lambda url, message: messages.append((url, message.body)))
    return messages


def lines(sent: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what was told to whom, each line once: what happens at one moment is told in any order."""
    return sorted({(address, line) for address, body in sent for line in body.splitlines()})


class Undisturbed:
    """Does each work once, and keeps its statements and their numbers, without those that commit."""

    def __init__(self) -> None:
        self.statements: list[list[tuple[int, str]]] = []

    def __call__(self, work: Work) -> None:
        statements: list[tuple[int, str]] = []
        self.statements.append(statements)
        passed = itertools.count(1)

        def keep(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
            number = next(passed)
            if not sql.startswith("RELEASE SAVEPOINT"):
                statements.append((number, sql))
            return execute(sql, *arguments)

        with connection.execute_wrapper(keep):
            work(0)


class Killed:
    """Ends each work at any of its statements, up to three times, and does it again.

    Statements that are rare in the scenario, of which transitions are made, are as likely as those of every look.
    """

    def __init__(self, statements: list[list[tuple[int, str]]], dice: random.Random) -> None:
        self._statements: Iterator[list[tuple[int, str]]] = iter(statements)
        self._times = Counter(sql for work in statements for _, sql in work)
        self._dice = dice
        self.times = 0

    def __call__(self, work: Work) -> None:
        statements = next(self._statements)
        ends: list[tuple[int, str]] = []
        if statements:
            weights = [1 / self._times[sql] for _, sql in statements]
            ends = self._dice.choices(statements, weights, k=self._dice.randint(0, 3))
        for attempt, (number, _) in enumerate(ends):
            if not crash_at(number, lambda attempt=attempt: work(attempt)):
                return
            self.times += 1
        work(len(ends))


def test_everything_killed_at_any_statement_and_repeated_makes_the_same_transitions(steps, dice, sent):
    undisturbed = Undisturbed()
    expected = perform(steps, undisturbed)
    told = sent.copy()
    sent.clear()
    killed = Killed(undisturbed.statements, dice)
    found = perform(steps, killed)
    assert killed.times > len(steps)
    for number, (stored, other) in enumerate(zip(found.steps, expected.steps, strict=True)):
        for what, rows in other.items():
            assert stored[what] == rows, f"{what} after step {number} of {steps}"
    assert lines(sent) == lines(told)
    # A message that was being sent may be repeated, nothing else.
    assert len(told) <= len(sent) <= len(told) + killed.times


@pytest.mark.usefixtures("sent")
def test_transitions_are_the_same_however_messages_are_cut_and_as_one_replay_says(steps, monkeypatch):
    def transitions(stored: dict[str, Any]) -> list[dict[str, Any]]:
        # While an alert is open its value follows in steps; the last one is exact where a value ends it.
        return [
            row | {"updated_at": None} | ({} if row["resolution"] == "cleared" else {"value": None})
            for row in stored["alerts"]
        ]

    def told(stored: dict[str, Any]) -> list[dict[str, Any]]:
        # What came to nothing before anybody was told of it may have left a row.
        return [row for row in stored["notifications"] if row["state"] != "dropped"]

    expected = perform(steps, Undisturbed())
    for name in ("SAMPLES_PER_TRANSACTION", "SAMPLES_WORTH_A_TRANSACTION"):
        monkeypatch.setattr(lanes, name, 1)
    for name in ("MESSAGES_PER_TRANSACTION", "DUE_PER_TRANSACTION"):
        monkeypatch.setattr(logs, name, 1)
    found = perform(steps, Undisturbed(), is_cut=True)
    for number, (stored, other) in enumerate(zip(found.steps, expected.steps, strict=True)):
        assert transitions(stored) == transitions(other), f"after step {number} of {steps}"
        assert told(stored) == told(other), f"after step {number} of {steps}"
        assert stored["waiting"] == other["waiting"] == [0, 0, 0]
    assert expected.evaluated == expected.replayed
    assert found.evaluated == found.replayed


@pytest.mark.usefixtures("sent")
def test_in_the_story_everything_happens():
    stored = perform(STORY, Undisturbed()).steps
    rows = [row for step in stored for row in step["alerts"]]
    assert {row["rule_name"] for row in rows} == set(RULES)
    assert {row["resolution"] for row in rows} == {"", *Resolution.values}
    assert {row["state"] for row in rows} == set(AlertState.values)
    assert {(row["backfilled"], row["flapping"]) for row in rows} == set(itertools.product([False, True], repeat=2))
    assert {row["acknowledged_at"] is None for row in rows} == {False, True}
    told = {(row["event"], row["state"]) for row in stored[-1]["notifications"]}
    assert told >= {(event, "sent") for event in ("firing", "resolved", "escalation")}
    assert told >= {(event, "dropped") for event in ("firing", "escalation")}
