"""The words of mosquitto's dynamic-security plugin, as far as accounts of sensors need them; pure.

Commands go to one topic as JSON, and answers come on another, to whoever may read it: those to other askers too. Every
command carries a word of the asker's (correlationData) that comes back with its answer.
https://mosquitto.org/documentation/dynamic-security/
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

COMMAND_TOPIC: Final = "$CONTROL/dynamic-security/v1"
ANSWER_TOPIC: Final = "$CONTROL/dynamic-security/v1/response"

# By this the service knows its own accounts among those that people made.
OWN_ACCOUNT: Final = "sensor of Fleet"

_NO_SUCH_CLIENT: Final = "Client not found"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one command. error: in the plugin's words, or ""."""

    command: str
    tag: str
    error: str
    data: dict[str, Any]

    @property
    def is_done(self) -> bool:
        """Whether things are now as the command wanted them: an account that is not there need not be deleted."""
        return not self.error or (self.command == "deleteClient" and self.error == _NO_SUCH_CLIENT)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of the broker's accounts. total: of all pages; own: the usernames of the service's own ones."""

    total: int
    own: list[str]
    size: int


def encode(commands: Sequence[dict[str, Any]]) -> bytes:
    """Return the message that carries the commands, in their order."""
    return json.dumps({"commands": list(commands)}).encode()


def make_account(username: str, password: str, *, tag: str) -> list[dict[str, Any]]:
    """Return the commands that give `username` this password; whoever is connected by an older one is thrown out.

    The account may connect with its username as its client id only: with another one it could take over that
    client's session, and with it the messages that wait there.
    """
    return [
        *end_account(username, tag=tag),
        {
            "command": "createClient",
            "username": username,
            "password": password,
            "clientid": username,
            "textname": OWN_ACCOUNT,
            "correlationData": tag,
        },
    ]


def end_account(username: str, *, tag: str) -> list[dict[str, Any]]:
    """Return the command that deletes the account, whose connection is closed."""
    return [{"command": "deleteClient", "username": username, "correlationData": tag}]


def list_accounts(*, offset: int, count: int, tag: str) -> list[dict[str, Any]]:
    """Return the command that asks for a page of the accounts; `listed` reads its answer."""
    return [{"command": "listClients", "verbose": True, "offset": offset, "count": count, "correlationData": tag}]


def listed(answer: Answer) -> Listed:
    """Return the page in an answer to `list_accounts`; ValueError if it is none."""
    clients = answer.data.get("clients")
    total = answer.data.get("totalCount")
    if answer.error or not isinstance(clients, list) or not isinstance(total, int):
        raise ValueError(f"the broker does not list its accounts: {answer.error or 'an answer without a list'}")
    own = [client["username"] for client in clients if client.get("textname") == OWN_ACCOUNT]
    return Listed(total, own, len(clients))


def decode(payload: bytes) -> list[Answer]:
    """Return the answers in a message of the plugin; none for anything else."""
    try:
        responses = json.loads(payload)["responses"]
        return [
            Answer(
                command=str(response.get("command", "")),
                tag=str(response.get("correlationData", "")),
                error=str(response.get("error", "")),
                data=response.get("data") or {},
            )
            for response in responses
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
