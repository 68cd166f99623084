"""Becomes another program that cannot outlive its parent, and that runs as an unprivileged user if asked.

Run by its path (`python -I -S launch.py …`) and only by `processes.spawn`. It imports nothing but light parts of
the standard library, so that it costs about 20 ms. It is a program of its own because the steps between fork
and exec must not run in a process that has threads.

Arguments: parent's pid, death signal's number, "uid:gid" or "-", life pipe's descriptor or "-1", then the program
(an absolute path) and its arguments.
"""

import os
import resource
import select
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
# Brokers need a descriptor per sensor; many systems start with a soft limit of 1,024.
WANTED_DESCRIPTORS = 65_536
# After its parent's death a program has this long to end before it is killed.
WATCHED_GRACE_S = 10.0


def load_prctl() -> Callable[[int, int], int]:
    """Return Linux's prctl()."""
    import ctypes  # noqa: PLC0415 - only Linux needs it, and it is half of this program's start

    prctl: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


def die_with_parent(prctl: Callable[[int, int], int], parent: int, death_signal: int) -> None:
    """Let the kernel send `death_signal` to this process when its parent ends. Survives exec."""
    if prctl(PR_SET_PDEATHSIG, death_signal) != 0:
        sys.exit("launch: prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have ended before the line above.
    if os.getppid() != parent:
        sys.exit("launch: the parent is gone")


def watch_parent(life_pipe: int, death_signal: int) -> None:
    """Leave a small process behind that does what PR_SET_PDEATHSIG does, where the system has none (macOS).

    Nobody but the parent holds the pipe's other end, so its end of file is the parent's end. The watcher is a
    child of what it watches: as long as that is so, the watched process's number cannot have been given away.
    """
    watched = os.getpid()
    if os.fork() != 0:
        os.close(life_pipe)
        return
    os.setsid()
    while os.getppid() == watched:
        readable, _, _ = select.select([life_pipe], [], [], 1.0)
        if not readable:
            continue
        os.kill(watched, death_signal)
        waited_s = 0.0
        while os.getppid() == watched:
            if waited_s >= WATCHED_GRACE_S:
                os.kill(watched, signal.SIGKILL)
            select.select([], [], [], 0.2)
            waited_s += 0.2
    os._exit(0)


def main(arguments: list[str]) -> None:
    parent, death_signal, account, life_pipe = arguments[:4]
    program = arguments[4:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # Before the change of user, for whom Python's own folder may be closed.
    prctl = load_prctl() if int(life_pipe) < 0 else None
    if account != "-":
        uid, gid = (int(part) for part in account.split(":"))
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
        os.umask(0o077)
    # After the change of user, which would take the death signal away again.
    if prctl is not None:
        die_with_parent(prctl, int(parent), int(death_signal))
    else:
        watch_parent(int(life_pipe), int(death_signal))
    try:
        os.execv(program[0], program)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
