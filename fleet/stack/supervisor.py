"""Starts the local stack, keeps it running, and stops it in order."""

import contextlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from .announcement import announcement, exposure
from .broker import BrokerServer
from .console import Console
from .environment import CHECKOUT, write_environment
from .errors import StackError
from .health import PATIENCE_S, Patience, at_fault, fetch_readiness, is_alive
from .keeper import Keeper
from .lock import DataLock
from .options import LOCAL_PARTS, Options
from .places import DataDir, trim_log
from .processes import Program, describe_end, last_lines, spawn
from .secret_file import LocalSecrets, load_secrets
from .servers import Servers, check_own_servers, listening_port, make_servers, start_server
from .services import Service, product_services, simulator
from .signals import EndSignals, Interrupted

# A first start on a slow machine; the second takes seconds.
READY_TIMEOUT_S: Final = 180.0
PREPARE_TIMEOUT_S: Final = 600.0
# Ends in a row before the stack was ever ready: a fault that starting again does not cure.
GIVE_UP_AFTER: Final = 3
# How often a running stack is looked at.
LOOK_EVERY_S: Final = 5.0
# A server's probe is a login, which some log; a fault is acted on after a minute anyway.
PROBE_EVERY_S: Final = 20.0
# A running log is cut at this size, looked at as often.
RUNNING_LOG_BYTES: Final = 64 * 1024 * 1024

# What commands in other terminals need.
WRITTEN: Final = (
    *("DATABASE_URL", "REDIS_URL", "MQTT_URL", "MQTT_SENSOR_URL"),
    *("MQTT_ACCOUNTS", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "FLEET_LOCAL"),
)
ADMIN_CREATED: Final = "created operator admin"


class Supervisor:
    """The local stack of one data folder. `run` is all that there is to call."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._place = DataDir(options.data_dir)
        self._signals = EndSignals()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="starting")
        self._servers = Servers()
        self._keepers: dict[str, Keeper] = {}
        self._http_port = 0
        self._new_password: str | None = None
        self._ended = threading.Event()

    def run(self) -> int:
        """Start everything, stay until a signal asks to end, stop everything; returns the exit code."""
        lock = DataLock(self._place.lock)
        with self._signals:
            try:
                self._take_data_folder(lock)
                self._start()
                self._stay()
            except Interrupted:
                return 0
            except StackError as error:
                self._console.clear()
                self._console.warn(str(error))
                return 1
            finally:
                self._stop()
                lock.release()
        raise AssertionError("unreachable: staying ends with Interrupted")

    def _take_data_folder(self, lock: DataLock) -> None:
        try:
            self._place.create()
            lock.acquire()
        except OSError as error:
            raise StackError(
                f"The data folder {self._place.root} cannot be used: {error.strerror}. Run this as the user whom it "
                "belongs to, or choose another folder with FLEET_DATA_DIR."
            ) from error

    # --- Starting --------------------------------------------------------------------------------

    def _start(self) -> None:
        options, console = self._options, self._console
        started_s = time.monotonic()
        console.line(f"Fleet on this machine; data in {self._place.root}, logs in {self._place.logs}")
        if not options.loopback:
            console.warn(exposure(options))
        check_own_servers(options)
        keys = load_secrets(self._place.secrets)
        self._servers = servers = make_servers(options, self._place, keys, console)
        mqtt_ports = servers.broker.ports if servers.broker else ()
        self._http_port = listening_port(options, "FLEET_HTTP_PORT", console, avoid=mqtt_ports)
        self._start_servers()
        environment = self._environment(keys)
        write_environment(self._place.environment, self._environment_to_write(environment))
        self._prepare_database(environment)
        self._start_services(environment)
        self._await_ready(started_s)
        for line in announcement(
            options, self._servers.broker, http_port=self._http_port, admin_password=self._new_password
        ):
            console.line(line)
        if servers.broker and servers.broker.tls:
            for line in servers.broker.tls.warnings(now=datetime.now(UTC)):
                console.warn(line)
        if options.simulated_sensors:
            self._keep(
                simulator(
                    sensors=options.simulated_sensors,
                    environment=environment,
                    logs=self._place.logs,
                )
            )

    def _start_servers(self) -> None:
        jobs = {}
        for server in self._servers.own:
            self._console.begin(server.title)
            jobs[self._pool.submit(start_server, server, self._options)] = server
        for job in self._each_done(list(jobs)):
            server = jobs[job]
            job.result()
            self._console.finish(server.title, f"{server.title} {server.release} on {server.host}:{server.port}")
            keeper = self._keepers[server.name] = Keeper(server, report=self._console.warn)
            keeper.start()
        options = self._options
        addresses = {server.name: server.url for server in self._servers.own}
        broker = self._servers.broker
        self._servers.database_url = options.database_url or addresses["postgres"]
        self._servers.redis_url = options.redis_url or addresses["valkey"]
        self._servers.mqtt_url = options.mqtt_url or (broker.url if broker else "")

    def _each_done(self, jobs: list[Future[None]]) -> Iterator[Future[None]]:
        """Yield each job when it is done; raises Interrupted when a signal comes first."""
        waiting = list(jobs)
        while waiting:
            self._signals.check()
            done = [job for job in waiting if job.done()]
            waiting = [job for job in waiting if job not in done]
            yield from done
            if not done:
                self._signals.wait(0.02)

    def _environment(self, keys: LocalSecrets) -> dict[str, str]:
        """Return the environment of the product's processes: the person's own, and what this adds."""
        options, servers = self._options, self._servers
        inherited = {name: value for name, value in os.environ.items() if name != "FLEET_ADMIN_PASSWORD"}
        return inherited | {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "MQTT_URL": servers.mqtt_url,
            # What simulated sensors use; empty where they need no login.
            "MQTT_SENSOR_URL": _sensor_url(servers.broker),
            "MQTT_ACCOUNTS": _accounts(servers.broker),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or keys.secret_key,
            "DEBUG": os.environ.get("DEBUG") or "0",
            "ALLOWED_HOSTS": os.environ.get("ALLOWED_HOSTS") or ",".join(options.allowed_hosts()),
            # Plain HTTP: cookies are sent without TLS.
            "FLEET_LOCAL": "1",
            "FLEET_DATA_DIR": str(self._place.root),
            "DJANGO_SETTINGS_MODULE": "fleet.settings",
            # Logs are written line by line, so that the last words of a process that dies are in them.
            "PYTHONUNBUFFERED": "1",
        }

    def _environment_to_write(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {name: environment[name] for name in WRITTEN} | {LOCAL_PARTS: " ".join(self._servers.local_names)}

    def _prepare_database(self, environment: Mapping[str, str]) -> None:
        """Bring the tables up to date and make the first operator, in one process."""
        console = self._console
        console.begin("tables and first operator")
        password = self._options.admin_password or secrets.token_urlsafe(12)
        log = self._place.log("prepare")
        offset = log.stat().st_size if log.exists() else 0
        process = spawn(
            Program(
                arguments=[sys.executable, "manage.py", "ensure_admin", "--migrate"],
                cwd=CHECKOUT,
                log_path=log,
                environment={**environment, "FLEET_ADMIN_PASSWORD": password},
            )
        )
        deadline = time.monotonic() + PREPARE_TIMEOUT_S
        try:
            while process.running and time.monotonic() < deadline:
                self._signals.check()
                self._signals.wait(0.02)
        finally:
            process.stop([])
        if process.returncode != 0:
            raise StackError(
                f"The database could not be prepared ({describe_end(process.returncode)}). From {log}:\n"
                + last_lines(log)
            )
        if ADMIN_CREATED in log.read_bytes()[offset:].decode("utf-8", "replace"):
            self._new_password = password
        console.finish("tables and first operator")

    def _start_services(self, environment: Mapping[str, str]) -> None:
        for name in ("web", "bridge", "worker", "beat", "simulator"):
            self._place.log(name)
        services = product_services(
            host=self._options.host,
            http_port=self._http_port,
            beat_schedule=self._place.beat_schedule,
            environment=environment,
            logs=self._place.logs,
        )
        for service in services:
            self._keep(service)

    def _keep(self, service: Service) -> None:
        keeper = self._keepers[service.name] = Keeper(service, report=self._console.warn)
        keeper.start()

    def _await_ready(self, started_s: float) -> None:
        """Wait until /readyz is 200; raises StackError when that takes too long, or a service cannot live."""
        step = "web, bridge, worker, beat"
        self._console.begin(step)
        services_started_s = time.monotonic()
        deadline = time.monotonic() + READY_TIMEOUT_S
        unfit: list[str] = ["web"]
        while True:
            self._signals.check()
            readiness = fetch_readiness(self._options.reachable_host, self._http_port, timeout_s=3.0)
            if readiness is not None:
                if readiness.ready_since(time.monotonic() - services_started_s):
                    break
                unfit = readiness.unfit()
            for keeper in self._keepers.values():
                if keeper.failures >= GIVE_UP_AFTER:
                    raise StackError(f"{keeper.part.title} cannot live; the end of its log is above.")
            if time.monotonic() > deadline:
                raise StackError(
                    f"Not ready after {READY_TIMEOUT_S:.0f} s: {', '.join(unfit)} not fit. The logs in "
                    f"{self._place.logs} say why."
                )
            self._signals.wait(0.1)
        self._console.finish(step)
        self._console.line(f"  started in {time.monotonic() - started_s:.1f} s")

    # --- Running ---------------------------------------------------------------------------------

    def _stay(self) -> None:
        """Watch over the parts until a signal comes."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        while True:
            self._signals.check()
            self._signals.wait(60.0)

    def _watch(self) -> None:
        patience = Patience(PATIENCE_S)
        last_probe_s = time.monotonic()
        while not self._ended.wait(LOOK_EVERY_S):
            self._look_at_services(patience)
            if time.monotonic() - last_probe_s >= PROBE_EVERY_S:
                last_probe_s = time.monotonic()
                self._look_at_servers(patience)
                for keeper in list(self._keepers.values()):
                    with contextlib.suppress(OSError):
                        trim_log(keeper.part.log_path, limit_bytes=RUNNING_LOG_BYTES)

    def _look_at_services(self, patience: Patience) -> None:
        host = self._options.reachable_host
        alive = is_alive(host, self._http_port)
        readiness = fetch_readiness(host, self._http_port) if alive else None
        faulty = at_fault(readiness)
        self._judge(patience, "web", at_fault=not alive, why="does not answer")
        for name in ("bridge", "worker", "beat"):
            self._judge(patience, name, at_fault=name in faulty, why="has not worked for a minute")

    def _look_at_servers(self, patience: Patience) -> None:
        for server in self._servers.own:
            self._judge(patience, server.name, at_fault=not _answers(server.probe), why="does not answer")
        broker = self._servers.broker
        if broker and broker.tls and broker.tls.is_due(now=datetime.now(UTC)) and not self._ended.is_set():
            self._keepers[broker.name].restart("has another certificate to take")

    def _judge(self, patience: Patience, name: str, *, at_fault: bool, why: str) -> None:
        keeper = self._keepers[name]
        # Who is being started anyway gets the same time again to come to work.
        at_fault = at_fault and keeper.part.running and keeper.uptime_s() > patience.limit_s
        if patience.ends(name, at_fault=at_fault, now_s=time.monotonic()) and not self._ended.is_set():
            keeper.restart(why)
            if name == "worker":
                # Whether nothing is taken or nothing is sent cannot be told apart from here.
                self._keepers["beat"].restart("may send the worker nothing")

    # --- Stopping --------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Stop what runs: sensors and bridge, then the other services, then the servers."""
        self._ended.set()
        self._console.clear()
        if self._keepers or self._servers.own:
            self._console.line("Stopping …")
        self._stop_keepers("simulator", "bridge")
        self._stop_keepers("worker", "beat", "web")
        # A start that was interrupted may be in any of its steps; what it leaves is stopped below.
        for server in self._servers.own:
            if server.name not in self._keepers:
                server.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for server in self._servers.own:
            if server.name not in self._keepers:
                server.stop()
        self._stop_keepers("mosquitto", "amqtt", "valkey", "postgres")
        if self._keepers or self._servers.own:
            self._console.line("Stopped.")

    def _stop_keepers(self, *names: str) -> None:
        stopping = [threading.Thread(target=self._keepers[name].stop) for name in names if name in self._keepers]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()


def _sensor_url(broker: BrokerServer | None) -> str:
    if broker is None:
        # A broker of the person's own: they know its logins.
        return os.environ.get("MQTT_SENSOR_URL", "")
    return "" if broker.anonymous else broker.sensor_url


def _accounts(broker: BrokerServer | None) -> str:
    """Return how accounts come to the stack's own broker; of one of the person's own they say it themselves."""
    return broker.accounts if broker else os.environ.get("MQTT_ACCOUNTS") or BrokerServer.accounts


def _answers(probe: Callable[[], None]) -> bool:
    try:
        probe()
    except StackError:
        return False
    return True
