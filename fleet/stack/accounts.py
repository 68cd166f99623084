"""Unprivileged users for servers that must not run as root."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import StackError


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def account_for(names: Sequence[str]) -> Account | None:
    """Return whom a server shall run as: the first of `names` that exists; None when this is not root anyway.

    Only existing users are taken: a tool for trying something out should not add users to a machine.
    """
    if os.geteuid() != 0:
        return None
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        f"PostgreSQL refuses to run as root, and none of the users {', '.join(names)} exists here. "
        "Run this as an ordinary user, or name a PostgreSQL of your own in DATABASE_URL."
    )


def can_enter(path: Path, account: Account | None, *, and_read: bool = False) -> bool:
    """Return whether `account` may pass through the folder `path`, and also list it if `and_read`.

    Asked of the system as that user rather than computed from modes: access lists count as well.
    """
    if account is None:
        return os.access(path, os.X_OK | (os.R_OK if and_read else 0))
    condition = 'test -x "$1"' + (' && test -r "$1"' if and_read else "")
    answer = subprocess.run(
        ["/bin/sh", "-c", condition, "sh", str(path)],
        cwd="/",
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return answer.returncode == 0


def give_to(path: Path, account: Account | None) -> None:
    """Make `account` the owner of `path` and all in it, if it is not yet; does nothing for None."""
    if account is None or path.stat().st_uid == account.uid:
        return
    # The folder itself last: its owner is the sign that all of it was done.
    for inner in path.rglob("*"):
        os.chown(inner, account.uid, account.gid, follow_symlinks=False)
    os.chown(path, account.uid, account.gid)
