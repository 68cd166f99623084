"""The product's own processes: web, bridge, worker, beat, and simulated sensors."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .environment import CHECKOUT
from .processes import ChildProcess, Program, describe_end, spawn


@dataclass(slots=True)
class Service:
    """One process of the product, which tells by /readyz how it is.

    stop_steps: signal and seconds before SIGKILL.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log_path: Path
    stop_steps: Sequence[tuple[signal.Signals, float]]
    process: ChildProcess | None = None

    @property
    def title(self) -> str:
        return self.name

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> None:
        """Start the process; does not wait until it is fit for work."""
        self.process = spawn(
            Program(
                arguments=[sys.executable, *self.arguments],
                cwd=CHECKOUT,
                log_path=self.log_path,
                environment=self.environment,
                # Each can be killed at any moment without a loss; none may live on without its servers.
                death_signal=signal.SIGKILL,
            )
        )

    def stop(self) -> None:
        """Stop the process in good order and wait for its end."""
        if self.process is not None:
            self.process.stop(self.stop_steps)

    def wait(self) -> str:
        """Wait until the process has ended and return how."""
        if self.process is None:
            return "not started"
        self.process.wait()
        return describe_end(self.process.returncode)


def product_services(
    *, host: str, http_port: int, beat_schedule: Path, environment: Mapping[str, str], logs: Path
) -> list[Service]:
    """Return web, bridge, worker and beat, not started; the same four that run in production."""

    def service(name: str, wait_s: float, *arguments: str) -> Service:
        return Service(name, arguments, environment, logs / f"{name}.log", [(signal.SIGTERM, wait_s)])

    celery = ("-m", "celery", "-A", "fleet")
    return [
        # Access lines would repeat the request log; a ping finds a reader that is gone within a minute.
        service(
            "web",
            5.0,
            *("-m", "daphne", "-b", host, "-p", str(http_port), "-v", "0"),
            *("--ping-interval", "20", "--ping-timeout", "30", "fleet.asgi:application"),
        ),
        # It finishes and acknowledges its batch within 10 s.
        service("bridge", 15.0, "manage.py", "bridge"),
        # Threads: tasks wait for the database most of the time. One worker has nobody to gossip or mingle with,
        # and mingling alone would delay its start by a second.
        service(
            "worker",
            15.0,
            *(*celery, "worker", "--pool", "threads", "--concurrency", "4", "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle"),
        ),
        service("beat", 5.0, *celery, "beat", "--schedule", str(beat_schedule), "--loglevel", "INFO"),
    ]


def simulator(*, sensors: int, environment: Mapping[str, str], logs: Path) -> Service:
    """Return the process of `sensors` simulated sensors, not started."""
    return Service(
        "simulator",
        ("manage.py", "simulate", "--sensors", str(sensors), "--demo"),
        environment,
        logs / "simulator.log",
        [(signal.SIGTERM, 5.0)],
    )
