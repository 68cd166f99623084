"""Accounts at the broker: made and ended by commands that nobody else carries there, and tried by logging in."""

import queue
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Final

from fleet.mqtt.accounts import Login
from fleet.mqtt.dynamic_security import ANSWER_TOPIC, COMMAND_TOPIC, Answer, decode, encode, make_account
from tests.bench.clients import close, connect_client, subscribe
from tests.docker.broker import Client

# As many as the bridge sends at most (`fleet.mqtt.account_keeper`, which needs Django).
MOST_ACCOUNTS: Final = 100
ACCEPTED: Final = "Success"
REFUSED: Final = "Not authorized"
# What is awaited takes milliseconds, and some seconds on a machine that is much too busy.
WITHIN_S: Final = 60.0


class DirectAccounts:
    """Sends commands to the dynamic-security plugin as the bridge does, without a database: the floor."""

    def __init__(self, url: str) -> None:
        """`url` with the bridge's login."""
        # The answers to the bridge's commands come here too.
        self._tag = f"bench-{secrets.token_hex(4)}"
        self._sent = 0
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._client = connect_client(
            url, "bench-accounts", on_message=lambda _client, _data, packet: self._answers.put(bytes(packet.payload))
        )
        subscribe(self._client, ANSWER_TOPIC)

    def __enter__(self) -> "DirectAccounts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close(self._client)

    def send(self, commands: Sequence[Mapping[str, Any]]) -> None:
        """Send the commands in one message; `await_answer` must follow."""
        self._sent += 1
        tagged = [{**each, "correlationData": f"{self._tag}-{self._sent}"} for each in commands]
        self._client.publish(COMMAND_TOPIC, encode(tagged), qos=1)

    def await_answer(self) -> None:
        """Wait until the plugin has carried out what was sent last; RuntimeError for what it refused."""
        deadline = time.monotonic() + WITHIN_S
        answers: list[Answer] = []
        while not any(answer.tag == f"{self._tag}-{self._sent}" for answer in answers):
            try:
                answers = decode(self._answers.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                raise RuntimeError(f"the broker's plugin did not answer within {WITHIN_S:g} s") from None
        errors = sorted({answer.error for answer in answers if not answer.is_done})
        if errors:
            raise RuntimeError(f"the broker's plugin refused: {', '.join(errors)}")

    def make(self, logins: Sequence[Login]) -> None:
        """Make the accounts, as many in a message as the bridge sends at most, each after the answer to the last."""
        for start in range(0, len(logins), MOST_ACCOUNTS):
            part = logins[start : start + MOST_ACCOUNTS]
            self.send([one for login in part for one in make_account(login.username, login.password, tag="bench")])
            self.await_answer()


def connected(port: int, login: Login) -> Client:
    """Return a client that is logged in; RuntimeError if the broker refuses it."""
    client = Client(login.username, login)
    answer = client.connect(port)
    if answer != ACCEPTED:
        client.close()
        raise RuntimeError(f"{login.username} was answered with {answer!r} instead of being let in")
    return client


def connected_when_accepted(port: int, login: Login, *, again_after_s: float, within_s: float = WITHIN_S) -> Client:
    """Return a client that is logged in; asks again and again, so it is late by `again_after_s` and a CONNECT at most.

    To be let in is the only sign of its account that a sensor has. RuntimeError if it is not within `within_s`.
    """
    deadline = time.monotonic() + within_s
    while True:
        client = Client(login.username, login)
        answer = client.connect(port)
        if answer == ACCEPTED:
            return client
        client.close()
        if answer != REFUSED or time.monotonic() > deadline:
            raise RuntimeError(f"{login.username} was not let in within {within_s:g} s, but answered with {answer!r}")
        # A broker tells nobody of a new account: who was refused can only ask again.
        time.sleep(again_after_s)


def await_closed(client: Client) -> None:
    """Wait until the broker has closed the client's connection; RuntimeError if it does not."""
    if not client.disconnected.wait(WITHIN_S):
        raise RuntimeError(f"a connection was still open after {WITHIN_S:g} s")
    client.close()


def stay_out(port: int, login: Login, *, times: int = 1, pause_s: float = 0.0) -> None:
    """Try to log in `times` times, a pause before each; RuntimeError unless every one is refused."""
    for number in range(1, times + 1):
        # That nothing lets it in again has no event: it is tried now and then for a while.
        time.sleep(pause_s)
        with closing(Client(login.username, login)) as client:
            answer = client.connect(port)
        if answer != REFUSED:
            raise RuntimeError(f"{login.username} was answered with {answer!r} at CONNECT {number} after its end")
