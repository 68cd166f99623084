"""Accounts of a mosquitto broker: its password file and its access list.

Works on text and files alone: no MQTT client, no database, no settings. mosquitto reads both files when it
starts and again on SIGHUP; nothing here tells it to.

The access list rests on usernames: a sensor's username is its identifier, which is also the last level of its
topics, so that one set of patterns serves every sensor and a new account needs no new rule.
"""

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PASSWORDS_NAME: Final = "passwords"
ACL_NAME: Final = "acl"

# The number that mosquitto 2.0 writes itself. More would not help a random secret of 192 bits, and the
# broker, which has one thread, computes it for every client that comes back after an outage.
ITERATIONS: Final = 101
SALT_BYTES: Final = 12
HASH_BYTES: Final = 64
SECRET_BYTES: Final = 24

# Wider than a sensor's identifier, narrower than mosquitto's: no separator of the file, no topic wildcard.
_USERNAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")

_ACL: Final = """\
# Written by `manage.py mosquitto_accounts`; a change made here is lost when it runs again.

# The service's bridge. The three families with # so that a malformed topic is seen too; fleet/watermark/ is
# its own marker that runs through the broker's queue; $SYS tells it what the broker dropped.
user {bridge}
topic read heartbeats/#
topic read log-messages/#
topic read measurements/#
topic write configurations/#
topic readwrite fleet/watermark/#
topic read $SYS/#

# Every account, sensors above all: %u is the username, and a sensor's is its identifier.
pattern write heartbeats/%u
pattern write log-messages/%u
pattern write measurements/%u
pattern read configurations/%u
"""


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

    issued: new secrets, which exist nowhere else; kept: wanted accounts that existed and stayed as they were;
    removed: accounts that are gone; changed: whether a file differs from before and the broker must reload.
    """

    issued: tuple[Login, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    changed: bool


def new_secret() -> str:
    """Return 32 random characters of [A-Za-z0-9_-] (192 bits): safe in URLs, shells and JSON."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_password(password: str, *, salt: bytes | None = None) -> str:
    """Return `password` as mosquitto 2.0 stores it: `$7$iterations$salt$hash`, PBKDF2 with SHA-512.

    salt: SALT_BYTES random bytes unless given (a fixed one is for tests).
    """
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, dklen=HASH_BYTES)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def password_matches(password: str, *, stored: str) -> bool:
    """Return whether `stored` is a hash of `password`; False for every format other than `$7$`."""
    try:
        empty, kind, iterations, salt, digest = stored.split("$")
        wanted = base64.b64decode(digest, validate=True)
        count = int(iterations)
        if empty or kind != "7" or count < 1 or not wanted:
            return False
        computed = hashlib.pbkdf2_hmac(
            "sha512", password.encode(), base64.b64decode(salt, validate=True), count, dklen=len(wanted)
        )
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(computed, wanted)


def acl_text(*, bridge: str) -> str:
    """Return the access list for mosquitto's `acl_file`; `bridge` is the username of the service's bridge."""
    _check_username(bridge)
    return _ACL.format(bridge=bridge)


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


def write_accounts(
    directory: Path,
    *,
    bridge: Login,
    wanted: Collection[str] = (),
    unwanted: Collection[str] = (),
    rotate: bool = False,
) -> Outcome:
    """Bring the two files in `directory` (made if missing, mode 700) to what is asked and say what changed.

    The bridge gets the password it logs in with; every username in `wanted` that has none, or every one with
    `rotate`, gets a new secret; those in `unwanted` are removed; all other entries stay as they are, those
    made by mosquitto_passwd too. Each file is replaced as a whole, mode 600, and belongs to the directory's
    owner when root writes it, since the broker must be able to read it. Two calls at once take turns.
    Raises AccountError, before anything is written, for a username that the files cannot hold, or that is
    the bridge's.
    """
    for username in (bridge.username, *wanted):
        _check_username(username)
    if bridge.username in (*wanted, *unwanted):
        raise AccountError(f"{bridge.username!r} is the bridge's own account and cannot be a sensor's")
    if not directory.exists():
        directory.mkdir(mode=0o700, parents=True)
    with _locked(directory):
        entries = read_passwords(directory)
        before = dict(entries)
        # Hashing again would change the file, and ask for a reload, at every start.
        if not password_matches(bridge.password, stored=entries.get(bridge.username, "")):
            entries[bridge.username] = hash_password(bridge.password)
        removed = tuple(username for username in dict.fromkeys(unwanted) if entries.pop(username, None))
        issued, kept = [], []
        for username in dict.fromkeys(wanted):
            if username in entries and not rotate:
                kept.append(username)
                continue
            login = Login(username, new_secret())
            entries[username] = hash_password(login.password)
            issued.append(login)
        acl_changed = _replace(directory / ACL_NAME, acl_text(bridge=bridge.username))
        if entries != before:
            lines = "".join(f"{username}:{stored}\n" for username, stored in entries.items())
            _replace(directory / PASSWORDS_NAME, lines)
    return Outcome(tuple(issued), tuple(kept), removed, changed=acl_changed or entries != before)


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise AccountError(
            f"{username!r} cannot be a username: 1 to 64 of A-Z a-z 0-9 _ . @ -, first a letter or digit"
        )


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    # The directory itself is the lock: it leaves no file behind and cannot be replaced under its holder.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> bool:
    """Replace the file at `path` as a whole; False if it already said `text`."""
    try:
        if path.read_text(encoding="utf-8") == text:
            return False
    except FileNotFoundError:
        pass
    # mkstemp makes it 0600 from the first byte on.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        # The broker reads either the old file or the new one, never half of one.
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    return True
