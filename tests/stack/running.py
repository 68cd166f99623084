"""A whole local stack as a child process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from fleet.stack.environment import CHECKOUT, environment_path, read_environment
from fleet.stack.health import Readiness, fetch_readiness
from fleet.stack.ports import random_free_port
from tests.waiting import wait_until

# Part of the command line by which each process is known.
PROCESSES: Final = {
    "web": "-m daphne",
    "bridge": "manage.py bridge",
    "worker": "celery -A fleet worker",
    "beat": "celery -A fleet beat",
    "postgres": "bin/postgres -D",
    "valkey": "valkey-server",
    "mosquitto": "mosquitto -c",
}
# With the machine busy elsewhere.
READY_TIMEOUT_S: Final = 120.0


class Up:
    """`manage.py up` with a data folder and ports of its own.

    program: what to run in its place, for other time limits.
    """

    def __init__(
        self, data_dir: Path, *arguments: str, program: Sequence[str] = ("manage.py", "up"), **environment: str
    ) -> None:
        self.data_dir = data_dir
        self.http_port, self.mqtt_port = random_free_port(), random_free_port()
        self.environment = own_environment(
            {
                "FLEET_DATA_DIR": str(data_dir),
                "FLEET_HTTP_PORT": str(self.http_port),
                "FLEET_MQTT_PORT": str(self.mqtt_port),
                **environment,
            }
        )
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, pattern: str, *, timeout_s: float = READY_TIMEOUT_S) -> re.Match[str]:
        """Return the first line that matches `pattern` as soon as it is printed."""

        def look() -> re.Match[str] | None:
            found = next(filter(None, (re.search(pattern, line) for line in list(self.lines))), None)
            assert found or self.process.poll() is None, f"ended without {pattern!r}:\n{self.text}"
            return found

        found = wait_until(look, timeout_s, f"{pattern!r} in:\n{self.text}")
        assert found is not None
        return found

    def wait_ready(self) -> None:
        self.wait_line(r"^Fleet is ready: ")

    def readiness(self) -> Readiness | None:
        return fetch_readiness("127.0.0.1", self.http_port)

    def wait_fit(self, *, timeout_s: float = 60.0) -> None:
        """Wait until all parts are fit for work."""

        def fit() -> bool:
            readiness = self.readiness()
            assert readiness is not None, "no answer"
            assert readiness.ready, f"unfit: {readiness.unfit()}"
            return True

        wait_until(fit, timeout_s, "all parts to be fit")

    def family(self) -> list[psutil.Process]:
        """Return all processes that it started, and those that these started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, name: str) -> psutil.Process:
        """Return the process of part `name`."""
        for process in still_alive(psutil.Process(self.process.pid).children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                if PROCESSES[name] in " ".join(process.cmdline()):
                    return process
        raise AssertionError(f"{name} does not run")

    def end(self, number: int = signal.SIGTERM, *, timeout_s: float = 60.0) -> int:
        """Send it `number`, and to nobody else; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        return code

    def addresses(self) -> dict[str, str]:
        """Return what it wrote for commands in other terminals."""
        return read_environment(environment_path(self.data_dir))

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command as a person does in another terminal: without any address."""
        environment = own_environment({"FLEET_DATA_DIR": str(self.data_dir)})
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def own_environment(additions: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without the tests' servers, and with `additions`."""
    hidden = {"DATABASE_URL", "REDIS_URL", "MQTT_URL", "SECRET_KEY", "FLEET_LOCAL", "ALLOWED_HOSTS"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith(("DJANGO_", "FLEET_TEST_", "PYTEST_"))
    }
    return {**kept, **additions}


def still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those of `processes` that run; one that nobody has reaped does not."""
    alive = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    return alive
