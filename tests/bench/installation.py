"""One database with sensors, rules and the product's processes, as a real installation has them."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

import psycopg

from fleet.stack.ports import random_free_port
from fleet.stack.processes import last_lines
from fleet.stack.services import Service, product_services
from tests.bench.servers import ROOT, Servers

# The slug of the one network.
NETWORK: Final = "bench"
READY_S: Final = 60.0
# Only while nothing is measured.
_LOOK_EVERY_S: Final = 0.05


class Installation:
    """A database on the servers with `sensors` sensors in one network; its processes run only when asked for.

    Two of them take turns: their processes never run at the same time, unless only their web processes do.
    """

    def __init__(self, servers: Servers, name: str, *, sensors: int) -> None:
        self.servers = servers
        self.name = name
        self.sensors = sensors
        self.environment = {
            **os.environ,
            "DATABASE_URL": servers.create_database(name),
            "REDIS_URL": servers.valkey.url,
            "MQTT_URL": servers.broker.url,
            "MQTT_SENSOR_URL": servers.broker.sensor_url,
            "SECRET_KEY": servers.keys.secret_key,
            "DEBUG": "0",
            "FLEET_LOCAL": "1",
            "FLEET_DATA_DIR": str(servers.place.root),
            "DJANGO_SETTINGS_MODULE": "fleet.settings",
            "PYTHONUNBUFFERED": "1",
            # One caller asks as often as it can; its requests are still counted, which is what a throttle costs.
            "API_THROTTLE": "100000000/min",
        }
        self.token = self.run("tests.bench.setup", "fleet", str(sensors)).strip().rpartition("\n")[2]
        self.sensor_ids = self.fetch_sensor_ids()

    def run(self, module: str, *arguments: str, seconds: float = 3_600) -> str:
        """Return what `python -m MODULE …` prints; raise RuntimeError with its errors when it fails."""
        answer = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        if answer.returncode:
            raise RuntimeError(f"{module} failed:\n{answer.stderr[-2_000:]}")
        return answer.stdout

    def follow(self, module: str, *arguments: str) -> Iterator[str]:
        """Yield the lines that `python -m MODULE …` prints, as they come; RuntimeError when it fails."""
        command = [sys.executable, "-m", module, *arguments]
        with subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield line.rstrip()
        if process.returncode:
            raise RuntimeError(f"{module} failed; see above")

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection that commits by itself."""
        return psycopg.connect(self.environment["DATABASE_URL"], autocommit=True)

    def fetch_sensor_ids(self) -> dict[str, int]:
        """Return the sensors' ids by identifier."""
        with self.connect() as connection:
            return dict(connection.execute("SELECT identifier, id FROM sensors_sensor").fetchall())

    def drop(self) -> None:
        """Drop the database."""
        self.servers.drop_database(self.name)

    @contextmanager
    def running(self, *names: str) -> Iterator["Running"]:
        """Run these of web, worker and beat until the block ends; they are fit for work when it begins."""
        port = random_free_port()
        with ExitStack() as stack:
            services = {each.name: each for each in self._services(port) if each.name in names}
            since = self.now()
            for service in services.values():
                service.start()
                stack.callback(service.stop)
            running = Running(self, services, port)
            if "web" in names:
                self.wait(running.answers, "web", services["web"])
            for name in {"worker", "beat"} & set(names):
                self.wait(partial(self._ticked, name, since), name, services[name])
            yield running

    @contextmanager
    def bridges(self, count: int = 1) -> Iterator[list[Service]]:
        """Run the bridge, or `count` shards of it; they are starting when the block begins."""
        services = []
        for index in range(count):
            service = next(each for each in self._services(0) if each.name == "bridge")
            service.name = f"bridge {index}/{count}"
            service.arguments = (*service.arguments, "--shard", f"{index}/{count}")
            services.append(service)
        with ExitStack() as stack:
            for service in services:
                service.start()
                stack.callback(service.stop)
            yield services

    def await_connected(self, bridges: list[Service]) -> None:
        """Wait until every one of these very processes has said that it is connected."""
        for service in bridges:
            self.wait(partial(self._connected, service), service.name, service)

    def wait(
        self, predicate: Callable[[], object], what: str, service: Service | None = None, *, seconds: float = READY_S
    ) -> None:
        """Wait until `predicate()` is true; RuntimeError when that takes too long, or the process ends meanwhile."""
        deadline = time.monotonic() + seconds
        while not predicate():
            if service is not None and not service.running:
                raise RuntimeError(f"{what} has ended. From {service.log_path}:\n{last_lines(service.log_path)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} was not ready within {seconds:g} s")
            # Whatever it is, in whichever process: there is no event that all of them have.
            time.sleep(_LOOK_EVERY_S)

    def now(self) -> datetime:
        """Return the database's time."""
        with self.connect() as connection:
            return self._one(connection, "SELECT clock_timestamp()")

    def _services(self, port: int) -> list[Service]:
        place = self.servers.place
        return product_services(
            host="127.0.0.1",
            http_port=port,
            beat_schedule=place.root / f"beat-{self.name}.db",
            environment=self.environment,
            logs=place.logs,
        )

    def _ticked(self, name: str, since: datetime) -> bool:
        with self.connect() as connection:
            return bool(
                self._one(
                    connection, "SELECT count(*) FROM sensors_servicetick WHERE name = %s AND at > %s", name, since
                )
            )

    def _connected(self, service: Service) -> bool:
        with self.connect() as connection:
            detail = self._one(
                connection, "SELECT max(detail::text) FROM sensors_servicetick WHERE name = %s", service.name
            )
        if detail is None or service.process is None:
            return False
        ticked = json.loads(detail)
        return ticked["pid"] == service.process.pid and bool(ticked["connected"])

    @staticmethod
    def _one(connection: psycopg.Connection[Any], statement: str, *values: object) -> Any:
        row = connection.execute(statement.encode(), values).fetchone()
        return row[0] if row else None


class Running:
    """Processes of an installation while they run."""

    def __init__(self, installation: Installation, services: dict[str, Service], port: int) -> None:
        self.installation = installation
        self.services = services
        self.port = port

    def pid(self, name: str) -> int:
        """Return the process id of web, worker or beat."""
        process = self.services[name].process
        assert process is not None
        return process.pid

    def pids(self) -> dict[str, int]:
        """Return all process ids by name, those of the servers among them."""
        return {name: self.pid(name) for name in self.services} | self.installation.servers.pids()

    def answers(self) -> bool:
        """Return whether the web process answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False
