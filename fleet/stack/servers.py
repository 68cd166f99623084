"""Which servers a local stack needs: its own, or the person's."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fleet.mqtt.probe import BrokerUnfitError, probe_broker

from .amqtt_server import AmqttServer
from .broker import BrokerServer, find_mosquitto
from .console import Console
from .errors import PortTakenError, StackError
from .mosquitto import ACCOUNTS as MOSQUITTO_ACCOUNTS
from .mosquitto import MosquittoServer
from .options import Options
from .places import DataDir
from .ports import is_taken, next_free_port
from .postgres import ACCOUNTS as POSTGRES_ACCOUNTS
from .postgres import PostgresServer
from .probes import probe_database, probe_redis, without_password
from .secret_file import LocalSecrets
from .server import Server
from .valkey import ACCOUNTS as VALKEY_ACCOUNTS
from .valkey import ValkeyServer

if TYPE_CHECKING:
    from .tls import Tls

# Where the search for a free port begins. Not the usual ports, which belong to installed servers.
FIRST_POSTGRES_PORT: Final = 15_432
FIRST_VALKEY_PORT: Final = 16_379
OWN_SERVER_TIMEOUT_S: Final = 10.0

INSTALL_MOSQUITTO: Final = "sudo apt install mosquitto (Debian, Ubuntu), brew install mosquitto (macOS)"
AMQTT_NOTE: Final = f"""\
  The MQTT broker is amqtt, which is for trying things out: it is slow, and what it holds (waiting messages, sessions)
  is lost when it restarts. For more: {INSTALL_MOSQUITTO}, and start this again."""


@dataclass(slots=True)
class Servers:
    """The three servers' addresses, and those of them that the stack runs itself.

    own: by step title, in the order in which they stop.
    """

    database_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    mqtt_url: str = field(default="", repr=False)
    broker: BrokerServer | None = None
    own: list[Server] = field(default_factory=list)
    # Environment variables of addresses that are the stack's own.
    local_names: list[str] = field(default_factory=list)


def check_own_servers(options: Options) -> None:
    """Make sure that the servers that the person named work; StackError says which one does not, and why."""
    checks: list[tuple[str, str | None, Callable[[str], None]]] = [
        ("DATABASE_URL", options.database_url, lambda url: probe_database(url, timeout_s=OWN_SERVER_TIMEOUT_S)),
        ("REDIS_URL", options.redis_url, lambda url: probe_redis(url, timeout_s=OWN_SERVER_TIMEOUT_S)),
        ("MQTT_URL", options.mqtt_url, lambda url: probe_broker(url, OWN_SERVER_TIMEOUT_S)),
    ]
    for name, url, probe in checks:
        if url is None:
            continue
        try:
            probe(url)
        except (StackError, BrokerUnfitError) as error:
            raise StackError(
                f"{name} is set to {without_password(url)}, which does not work: {error}\n"
                f"Correct it, or unset {name} to let this start a server of its own."
            ) from error


def make_servers(options: Options, place: DataDir, keys: LocalSecrets, console: Console) -> Servers:
    """Return the servers that the person did not name, each with a free port, not started."""
    servers = Servers()
    if options.database_url is None:
        database = PostgresServer(
            place.home("postgres", accounts=POSTGRES_ACCOUNTS),
            port=next_free_port("127.0.0.1", FIRST_POSTGRES_PORT),
            log_path=place.log("postgres"),
            superuser_password=keys.postgres_superuser,
            password=keys.postgres,
        )
        servers.own.append(database)
        servers.local_names.append("DATABASE_URL")
        if database.data.parent.parent != place.root:
            console.line(
                f"  The databases are in {database.data.parent.parent}, because {place.root} is closed to the "
                "users that servers run as when root starts them."
            )
    if options.redis_url is None:
        servers.own.append(
            ValkeyServer(
                place.home("valkey", accounts=VALKEY_ACCOUNTS),
                port=next_free_port("127.0.0.1", FIRST_VALKEY_PORT),
                log_path=place.log("valkey"),
                password=keys.valkey,
            )
        )
        servers.local_names.append("REDIS_URL")
    if options.mqtt_url is None:
        servers.broker = _make_broker(options, place, keys, console)
        servers.own.append(servers.broker)
        servers.local_names.append("MQTT_URL")
    return servers


def _make_broker(options: Options, place: DataDir, keys: LocalSecrets, console: Console) -> BrokerServer:
    program = find_mosquitto() if options.broker != "amqtt" else None
    if program is None and options.broker == "mosquitto":
        raise StackError(f"FLEET_BROKER=mosquitto, but mosquitto is not installed: {INSTALL_MOSQUITTO}.")
    if program is None and not options.loopback:
        raise StackError(
            f"FLEET_HOST={options.host} lets other machines in, which needs a broker with accounts: amqtt here is "
            f"for trying things out on 127.0.0.1. Install mosquitto: {INSTALL_MOSQUITTO}."
        )
    if program is None and options.tls:
        raise StackError(f"--tls needs mosquitto: amqtt here is for trying things out without it. {INSTALL_MOSQUITTO}.")
    port = listening_port(options, "FLEET_MQTT_PORT", console, host=options.plain_host)
    if program is not None:
        return MosquittoServer(
            place.home("mosquitto", accounts=MOSQUITTO_ACCOUNTS),
            program,
            host=options.plain_host,
            port=port,
            log_path=place.log("mosquitto"),
            bridge_password=keys.mqtt_bridge,
            sensor_password=keys.mqtt_sensor,
            anonymous=options.loopback,
            tls=_make_tls(options, place, console, avoid=port) if options.tls else None,
        )
    console.warn(AMQTT_NOTE)
    return AmqttServer(
        host=options.host,
        port=port,
        log_path=place.log("amqtt"),
        bridge_password=keys.mqtt_bridge,
        environment=place.environment,
    )


def _make_tls(options: Options, place: DataDir, console: Console, *, avoid: int) -> "Tls":
    from .tls import Tls  # noqa: PLC0415 - 8 MB that only this needs

    port = listening_port(options, "FLEET_MQTT_TLS_PORT", console, avoid=[avoid])
    return Tls(
        host=options.host,
        port=port,
        websocket_port=listening_port(options, "FLEET_MQTT_WEBSOCKET_PORT", console, avoid=[avoid, port]),
        certificates=place.certificates,
        names=options.broker_names(),
    )


def listening_port(
    options: Options, name: str, console: Console, *, host: str | None = None, avoid: Collection[int] = ()
) -> int:
    """Return the port that the environment variable `name` (`Options.port`) asks for.

    A default that is taken, or in `avoid`, gives way to the next free one, and a line says so. Raises StackError
    when a person chose a port that is taken. host: FLEET_HOST, if nothing else is said.
    """
    host, port = host or options.host, options.port(name)
    if port.number not in avoid and not is_taken(host, port.number):
        return port.number
    if port.chosen:
        raise StackError(
            f"{name}={port.number}: that port on {host} is taken by another program. End that program, or "
            f"choose another {name}."
        )
    free = next_free_port(host, port.number + 1, avoid=avoid)
    console.warn(f"  Port {port.number} is taken by another program; taking {free} ({name} chooses one).")
    return free


def start_server(server: Server, options: Options) -> None:
    """Start `server`; takes another port if its own was taken since it was looked for, unless a person chose it."""
    while True:
        try:
            server.start()
        except PortTakenError:
            if isinstance(server, BrokerServer):
                _move_broker(server, options)
            else:
                server.port = next_free_port(server.host, server.port + 1)
        else:
            return


def _move_broker(broker: BrokerServer, options: Options) -> None:
    """Give `broker` free ports in place of those that are taken; PortTakenError for one that a person chose."""

    def free(host: str, port: int, name: str) -> int:
        if not is_taken(host, port):
            return port
        if options.port(name).chosen:
            raise PortTakenError(f"{broker.title}: {host}:{port} ({name}) is taken by another program.")
        return next_free_port(host, port + 1, avoid=others)

    tls = broker.tls
    others = broker.ports
    broker.port = free(broker.host, broker.port, "FLEET_MQTT_PORT")
    if tls is not None:
        tls.port = free(tls.host, tls.port, "FLEET_MQTT_TLS_PORT")
        tls.websocket_port = free(tls.host, tls.websocket_port, "FLEET_MQTT_WEBSOCKET_PORT")
