"""Child processes that end with this one."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .accounts import Account

LAUNCHER = Path(__file__).with_name("launch.py")
HAS_PARENT_DEATH_SIGNAL = sys.platform == "linux"

# Linux sends the death signal when the *thread* that forked ends. This one lives as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
_life_pipe: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how.

    death_signal: sent when the supervisor ends without having stopped it (kill -9).
    account: the unprivileged user to run as; None: whoever runs this.
    environment: all of it; None: this process's own.
    log_path: gets both standard output and standard error, appended.
    """

    arguments: Sequence[str]
    cwd: Path
    log_path: Path
    death_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None
    environment: Mapping[str, str] | None = None


class ChildProcess:
    """A running program. `ended` is set as soon as it is gone."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self.pid = popen.pid
        self.ended = threading.Event()
        threading.Thread(target=self._reap, name=f"reaper-{popen.pid}", daemon=True).start()

    def _reap(self) -> None:
        self._popen.wait()
        self.ended.set()

    @property
    def running(self) -> bool:
        return not self.ended.is_set()

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._popen.returncode if self.ended.is_set() else None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing when it has ended."""
        if not self.ended.is_set():
            # Popen checks under its lock that the pid has not been given away.
            self._popen.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return whether it ended within `timeout_s` seconds."""
        return self.ended.wait(timeout_s)

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
        """End it: send each signal of `steps` and wait its seconds, then SIGKILL.

        Returns whether it ended without SIGKILL.
        """
        for number, wait_s in steps:
            self.send(number)
            if self.wait(wait_s):
                return True
        self.send(signal.SIGKILL)
        self.wait()
        return False


def describe_end(returncode: int | None) -> str:
    """Return a return code in words, such as "exit code 70" or "SIGKILL"."""
    if returncode is None:
        return "still running"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def spawn(program: Program) -> ChildProcess:
    """Start `program` in a session of its own, so that a terminal's Ctrl-C does not reach it.

    When this process ends in whatever way, the program gets its death signal. May be called from any thread.
    """
    return _spawner.submit(_spawn, program).result()


def _spawn(program: Program) -> ChildProcess:
    account = f"{program.account.uid}:{program.account.gid}" if program.account else "-"
    life_pipe = -1 if HAS_PARENT_DEATH_SIGNAL else _life_pipe_end()
    launch = [
        *(sys.executable, "-I", "-S", str(LAUNCHER)),
        *(str(os.getpid()), str(int(program.death_signal)), account, str(life_pipe)),
    ]
    with program.log_path.open("ab") as log:
        return ChildProcess(
            subprocess.Popen(
                [*launch, *program.arguments],
                cwd=program.cwd,
                env=None if program.environment is None else dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=() if life_pipe < 0 else (life_pipe,),
            )
        )


def _life_pipe_end() -> int:
    """Return the reading end of a pipe whose writing end only this process holds."""
    global _life_pipe  # noqa: PLW0603 - one per process, like the process
    if _life_pipe is None:
        _life_pipe = os.pipe()
    return _life_pipe[0]


def last_lines(path: Path, *, count: int = 15) -> str:
    """Return the last `count` lines of the text file at `path`, "" if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # Enough for the lines that are shown, without reading a large log.
            file.seek(max(0, size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])
