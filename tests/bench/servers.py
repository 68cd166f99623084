"""PostgreSQL, Valkey and mosquitto as `manage.py up` starts them, in a folder that goes away."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from fleet.mqtt.accounts import PLUGIN_NAME
from fleet.stack.broker import find_mosquitto
from fleet.stack.mosquitto import ACCOUNTS as MOSQUITTO_ACCOUNTS
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from fleet.stack.ports import random_free_port
from fleet.stack.postgres import ACCOUNTS as POSTGRES_ACCOUNTS
from fleet.stack.postgres import ROLE, PostgresServer
from fleet.stack.secret_file import LocalSecrets, load_secrets
from fleet.stack.valkey import ACCOUNTS as VALKEY_ACCOUNTS
from fleet.stack.valkey import ValkeyServer

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Servers:
    """The three servers, running; databases are made in the one cluster."""

    place: DataDir
    keys: LocalSecrets
    database: PostgresServer
    valkey: ValkeyServer
    broker: MosquittoServer

    def create_database(self, name: str) -> str:
        """Return the address of a new, empty database."""
        with psycopg.connect(self.database.superuser_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE))
            )
        return urlunsplit(urlsplit(self.database.url)._replace(path=f"/{name}"))

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is connected."""
        with psycopg.connect(self.database.superuser_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def begin_anew(self) -> None:
        """Let broker and Valkey forget everything, accounts too, and the database write out what it owes the disk."""
        self.broker.stop()
        self.broker.state.unlink(missing_ok=True)
        (self.broker.state.parent / PLUGIN_NAME).unlink(missing_ok=True)
        self.broker.start()
        with redis.Redis.from_url(self.valkey.url) as valkey:
            valkey.flushall()
        with psycopg.connect(self.database.superuser_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def pids(self) -> dict[str, int]:
        """Return the servers' process ids by the names of the parts."""
        parts = {"postgresql": self.database, "valkey": self.valkey, "mosquitto": self.broker}
        return {name: server.process.pid for name, server in parts.items() if server.process is not None}


@contextmanager
def running_servers(folder: Path | None) -> Iterator[Servers]:
    """Start the servers in a new folder below `folder`; stop them and remove it afterwards."""
    program = find_mosquitto()
    if program is None:
        raise SystemExit("mosquitto is not installed, and figures of the broker for trying out would mean nothing")
    root = Path(tempfile.mkdtemp(prefix="fleet-bench-", dir=folder))
    # Servers run as somebody else when root starts them.
    root.chmod(0o711)
    place = DataDir(root / "data")
    place.create()
    keys = load_secrets(place.secrets)
    servers = Servers(
        place,
        keys,
        PostgresServer(
            place.home("postgres", accounts=POSTGRES_ACCOUNTS),
            port=random_free_port(),
            log_path=place.log("postgres"),
            superuser_password=keys.postgres_superuser,
            password=keys.postgres,
        ),
        ValkeyServer(
            place.home("valkey", accounts=VALKEY_ACCOUNTS),
            port=random_free_port(),
            log_path=place.log("valkey"),
            password=keys.valkey,
        ),
        MosquittoServer(
            place.home("mosquitto", accounts=MOSQUITTO_ACCOUNTS),
            program,
            port=random_free_port(),
            log_path=place.log("mosquitto"),
            bridge_password=keys.mqtt_bridge,
            sensor_password=keys.mqtt_sensor,
        ),
    )
    stops: list[Callable[[], None]] = []
    try:
        for server in (servers.database, servers.valkey, servers.broker):
            server.start()
            stops.append(server.stop)
        yield servers
    finally:
        for stop in reversed(stops):
            stop()
        shutil.rmtree(root, ignore_errors=True)
