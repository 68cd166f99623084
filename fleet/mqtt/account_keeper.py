"""Keeps the broker's accounts of sensors as the database has them, over the broker's control topic.

Lives in the publisher's thread. One message of commands is on its way at a time, and its answer says what was done.
After every connection the broker's accounts are listed and compared first: it may have lost some, or kept some that
were revoked meanwhile.
"""

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from fleet.mqtt.dynamic_security import Answer, decode, encode, end_account, list_accounts, listed, make_account
from sensors.services.credentials import DueCredential, compare_credentials, due_credentials, mark_applied

log = structlog.get_logger(__name__)

# A broker without the plugin gives no answer at all.
ANSWER_WITHIN_S: Final = 10.0
# How often one that gave none is asked again.
ASK_AGAIN_S: Final = 60.0
LISTED_AT_ONCE: Final = 1_000
# mosquitto 2.0 serves nobody while it carries out a message of commands, and writes the file of all accounts with
# each: 2 ms with a hundred of them, 35 ms with ten thousand. So the messages are cut to what takes this long.
WANTED_S: Final = 0.1
MOST_ACCOUNTS: Final = 100


@dataclass(slots=True)
class _Request:
    """A message of commands that has no answer yet. due: the credentials that it brings, by tag."""

    tag: str
    sent_at: float
    due: dict[str, DueCredential] = field(default_factory=dict)
    removed: int = 0


@dataclass(slots=True)
class _Listing:
    """The broker's accounts as far as they were listed."""

    began_at: datetime
    own: set[str] = field(default_factory=set)
    offset: int = 0


class AccountKeeper:
    """Brings credentials to a broker with the dynamic-security plugin."""

    def __init__(self, publish: Callable[[bytes], Any], *, mine: Callable[[str], bool]) -> None:
        """`publish` sends a message to the control topic; `mine` tells by sensor whether this shard sees to it."""
        self._publish = publish
        self._mine = mine
        self._answers: deque[bytes] = deque()
        self._connected = True  # paho's thread sets it; a new connection begins anew
        self._request: _Request | None = None
        self._listing: _Listing | None = None
        self._to_remove: deque[str] = deque()
        self._refused: set[UUID] = set()
        self._look = True
        self._at_once = 1
        # Every shard hears the answers to all of them.
        self._word = f"fleet-{secrets.token_hex(4)}"
        self._number = 0
        self._asleep_until = 0.0
        self.has_accounts: bool | None = None  # None: not known yet
        self.lost = 0

    # --- paho's thread -------------------------------------------------------------------------------

    def on_connect(self) -> None:
        """Begin anew: what was on its way may not have arrived, and the broker may be another one."""
        self._connected = True

    def on_answer(self, payload: bytes) -> None:
        """Take what came on the answer topic."""
        self._answers.append(payload)

    # --- the publisher's thread ------------------------------------------------------------------------

    def step(self, now_s: float, *, look: bool) -> None:
        """Read answers and send the next message, if there is anything to do; never waits.

        now_s: monotonic. look: whether there may be something new in the outbox. Raises DatabaseError; what was not
        recorded is done again.
        """
        self._look = self._look or look
        if self._connected:
            self._connected = False
            self._begin()
        while self._answers:
            self._take(decode(self._answers.popleft()), now_s=now_s)
        if self._request is not None:
            if now_s - self._request.sent_at < ANSWER_WITHIN_S:
                return
            self._sleep(now_s)
        if now_s < self._asleep_until:
            return
        if self._listing is not None:
            self._send(list_accounts(offset=self._listing.offset, count=LISTED_AT_ONCE, tag=self._new_tag()), now_s)
        elif self._to_remove:
            self._remove(now_s)
        elif self._look:
            self._apply(now_s)

    def _begin(self) -> None:
        self._answers.clear()
        self._to_remove.clear()
        self._request = None
        self._listing = _Listing(datetime.now(UTC))
        self._refused.clear()
        self._look = True
        self._at_once = 1
        self._asleep_until = 0.0

    def _sleep(self, now_s: float) -> None:
        if self.has_accounts is not False:
            log.warning(
                "the broker takes no accounts over its control topic: sensors' credentials wait",
                hint="docs/security.md says what a broker needs for them",
            )
        self.has_accounts = False
        self._begin()
        self._asleep_until = now_s + ASK_AGAIN_S

    def _new_tag(self) -> str:
        self._number += 1
        return self._tag

    @property
    def _tag(self) -> str:
        return f"{self._word}-{self._number}"

    def _send(self, commands: list[dict[str, Any]], now_s: float, **details: Any) -> None:
        # All commands of a listing or a removal have one tag; those of credentials have each their own behind it.
        self._request = _Request(self._tag, now_s, **details)
        self._publish(encode(commands))

    def _apply(self, now_s: float) -> None:
        after = 0
        due: list[DueCredential] = []
        while len(due) < self._at_once:
            page = due_credentials(limit=MOST_ACCOUNTS, after=after, now=datetime.now(UTC))
            due += [each for each in page if self._mine(each.identifier) and each.change not in self._refused]
            if len(page) < MOST_ACCOUNTS:
                break
            after = page[-1].id
        due = due[: self._at_once]
        if not due:
            self._look = False
            return
        tag = self._new_tag()
        by_tag = {f"{tag}-{number}": each for number, each in enumerate(due)}
        commands = []
        for each_tag, each in by_tag.items():
            if each.password is None:
                commands += end_account(each.identifier, tag=each_tag)
            else:
                commands += make_account(each.identifier, each.password, tag=each_tag)
        self._send(commands, now_s, due=by_tag)

    def _remove(self, now_s: float) -> None:
        tag = self._new_tag()
        names = list(self._to_remove)[: self._at_once]
        self._send([one for name in names for one in end_account(name, tag=tag)], now_s, removed=len(names))

    def _take(self, answers: list[Answer], *, now_s: float) -> None:
        request = self._request
        if request is None or not any(answer.tag.startswith(request.tag) for answer in answers):
            return  # of a message that was given up, or of another shard
        self._request = None
        self.has_accounts = True
        took_s = now_s - request.sent_at
        if self._listing is not None:
            self._take_page(answers[0], self._listing)
        elif request.removed:
            for _ in range(request.removed):
                self._to_remove.popleft()
            self._pace(took_s)
        else:
            self._record(request.due, answers)
            self._pace(took_s)

    def _take_page(self, answer: Answer, listing: _Listing) -> None:
        try:
            page = listed(answer)
        except ValueError as error:
            log.error("accounts at the broker cannot be compared", error=str(error))
            self._listing = None
            return
        listing.own.update(page.own)
        listing.offset += page.size
        if page.size and listing.offset < page.total:
            return
        unwanted, lost = compare_credentials(listing.own, listed_at=listing.began_at, now=datetime.now(UTC))
        self._listing = None
        self._to_remove.extend(sorted(name for name in unwanted if self._mine(name)))
        self.lost = len(lost)
        if lost:
            log.error(
                "the broker lost accounts of sensors: they cannot log in",
                count=len(lost),
                some=lost[:5],
                hint="`manage.py mosquitto_accounts --rebuild` makes its file anew; or rotate their credentials",
            )

    def _record(self, due: dict[str, DueCredential], answers: list[Answer]) -> None:
        errors = {answer.tag: answer.error for answer in answers if not answer.is_done}
        made = {answer.tag for answer in answers if answer.command == "createClient"}
        ended = {answer.tag for answer in answers if answer.command == "deleteClient"}
        done: list[DueCredential] = []
        refused: list[DueCredential] = []
        for tag, each in due.items():
            is_answered = tag in (ended if each.password is None else made)
            (done if is_answered and tag not in errors else refused).append(each)
        if done:
            mark_applied([each.change for each in done], now=datetime.now(UTC))
        if refused:
            # Until the next connection: asking at once would change nothing, and others wait behind them.
            self._refused.update(each.change for each in refused)
            log.error(
                "the broker refused accounts",
                sensors=[each.identifier for each in refused][:5],
                errors=sorted(set(errors.values()))[:5],
            )

    def _pace(self, took_s: float) -> None:
        if took_s < WANTED_S / 2:
            self._at_once = min(MOST_ACCOUNTS, self._at_once * 2)
        elif took_s > WANTED_S:
            self._at_once = max(1, self._at_once // 2)
