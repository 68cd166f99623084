"""The files of accounts of a mosquitto broker: passwords, access list, and those of its dynamic-security plugin.

Works on text and files alone: no MQTT client, no database, no settings. The bridge's account is in the password file.
Sensors' accounts belong to the plugin, which keeps them in a file of its own and takes changes while it runs (see
`fleet.mqtt.account_keeper`); it is written here before the broker's first start, or to make a lost one anew.

The access list rests on usernames: a sensor's username is its identifier, which is also the last level of its
topics, so that one set of patterns serves every sensor and a new account needs no new rule.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.mqtt.broker_files import locked, replace_file
from fleet.mqtt.dynamic_security import ANSWER_TOPIC, COMMAND_TOPIC, OWN_ACCOUNT
from sensors.secrets import HashedSecret, hash_secret

PASSWORDS_NAME: Final = "passwords"
ACL_NAME: Final = "acl"
PLUGIN_NAME: Final = "dynamic-security.json"

# The plugin's own default for messages to a client is to allow all, and what either it or the access list allows is
# allowed: another sensor's configuration would reach whoever subscribes to it. So it allows nothing.
_NO_ACCESS: Final = {
    "publishClientSend": False,
    "publishClientReceive": False,
    "subscribe": False,
    "unsubscribe": True,
}

# Wider than a sensor's identifier, narrower than mosquitto's: no separator of the file, no topic wildcard.
_USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")

_ACL: Final = """\
# Written by `manage.py mosquitto_accounts`; a change made here is lost when it runs again.

# The service's bridge. The three families with # so that a malformed topic is seen too; fleet/watermark/ is
# its own marker that runs through the broker's queue; $SYS tells it what the broker dropped; $CONTROL is where
# it makes and ends the accounts of sensors.
user {bridge}
topic read heartbeats/#
topic read log-messages/#
topic read measurements/#
topic write configurations/#
topic readwrite fleet/watermark/#
topic read $SYS/#
topic write {commands}
topic read {answers}

# Every account, sensors above all: %u is the username, and a sensor's is its identifier.
"""
# What a sensor may do with an account of its own.
OWN_TOPICS: Final = (
    "pattern write heartbeats/%u",
    "pattern write log-messages/%u",
    "pattern write measurements/%u",
    "pattern read configurations/%u",
)


class AccountError(ValueError):
    """An account that cannot be made as asked; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Login:
    """A username and its password in clear."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call of `write_accounts` did.

    reload: whether the broker must read passwords and access list again; restart: whether the plugin's file was
    made, with so many sensors' accounts, which a running broker does not notice.
    """

    reload: bool
    restart: bool
    accounts: int


def acl_text(*, bridge: str) -> str:
    """Return the access list for mosquitto's `acl_file`; `bridge` is the username of the service's bridge."""
    _check_username(bridge)
    text = _ACL.format(bridge=bridge, commands=COMMAND_TOPIC, answers=ANSWER_TOPIC)
    return text + "\n".join(OWN_TOPICS) + "\n"


def read_passwords(directory: Path) -> dict[str, str]:
    """Return username → stored hash of `directory`'s password file, in its order; empty if there is none.

    Raises AccountError for a line that is no entry, because rewriting the file would lose it.
    """
    try:
        text = (directory / PASSWORDS_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    entries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        username, separator, stored = line.partition(":")
        if not line.strip():
            continue
        if not separator or not username:
            raise AccountError(f"{directory / PASSWORDS_NAME}, line {number} is no username:hash")
        entries[username] = stored
    return entries


def plugin_text(accounts: Mapping[str, HashedSecret], *, before: str = "") -> str:
    """Return the plugin's file with these sensors' accounts (username → hash).

    before: an older one, of which everything stays that is not a sensor's account: people's own accounts, groups
    and roles. Raises AccountError if it is none.
    """
    document: dict[str, Any] = {"clients": [], "groups": [], "roles": []}
    if before:
        try:
            document = json.loads(before)
            kept = [client for client in document["clients"] if client.get("textname") != OWN_ACCOUNT]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AccountError("the file of the dynamic-security plugin cannot be read") from error
        document["clients"] = [client for client in kept if client.get("username") not in accounts]
    document["defaultACLAccess"] = _NO_ACCESS
    document["clients"] += [_plugin_account(username, secret) for username, secret in sorted(accounts.items())]
    return json.dumps(document, indent=1)


def _plugin_account(username: str, secret: HashedSecret) -> dict[str, Any]:
    return {
        "username": username,
        "clientid": username,
        "textname": OWN_ACCOUNT,
        "roles": [],
        "password": b64encode(secret.digest).decode(),
        "salt": b64encode(secret.salt).decode(),
        "iterations": secret.iterations,
    }


def write_accounts(directory: Path, *, bridge: Login, accounts: Mapping[str, HashedSecret] | None = None) -> Outcome:
    """Bring the three files in `directory` (made if missing, mode 700) to what is asked and say what changed.

    The bridge gets the password it logs in with; all other entries of the password file stay as they are, those made
    by mosquitto_passwd too. accounts: the sensors' accounts for the plugin's file, which is then made anew; None
    leaves it as it is, and makes one without accounts only where there is none. Each file is replaced as a whole,
    mode 600, and belongs to the directory's owner when root writes it, since the broker must be able to read it. Two
    calls at once take turns. Raises AccountError, before anything is written, for a bridge's name that the files
    cannot hold, or that is a sensor's.
    """
    _check_username(bridge.username)
    if accounts is not None and bridge.username in accounts:
        raise AccountError(f"{bridge.username!r} is the bridge's own account and cannot be a sensor's")
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True)
    with locked(directory):
        entries = read_passwords(directory)
        plugin = directory / PLUGIN_NAME
        is_made = accounts is not None or not plugin.exists()
        if is_made:
            before = plugin.read_text(encoding="utf-8") if plugin.exists() else ""
            is_made = replace_file(plugin, plugin_text(accounts or {}, before=before).encode())
        is_changed = replace_file(directory / ACL_NAME, acl_text(bridge=bridge.username).encode())
        if not _has_password(entries, bridge):
            entries[bridge.username] = str(hash_secret(bridge.password))
            lines = "".join(f"{username}:{stored}\n" for username, stored in entries.items())
            is_changed = replace_file(directory / PASSWORDS_NAME, lines.encode()) or is_changed
    return Outcome(is_changed, is_made, len(accounts or {}))


def _has_password(entries: Mapping[str, str], login: Login) -> bool:
    """Return whether the login's password is there: hashing it again would ask for a reload at every start."""
    try:
        return HashedSecret.parse(entries.get(login.username, "")).matches(login.password)
    except ValueError:
        return False


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise AccountError(
            f"{username!r} cannot be a username: 1 to 64 of A-Z a-z 0-9 _ . @ -, first a letter or digit"
        )
