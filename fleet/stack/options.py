"""What the person asked for: the environment and the command line of `manage.py up`."""

import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .environment import data_directory, environment_path, read_environment
from .errors import StackError

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_HTTP_PORT: Final = 8000
DEFAULT_MQTT_PORT: Final = 1883
DEFAULT_MQTT_TLS_PORT: Final = 8883
DEFAULT_MQTT_WEBSOCKET_PORT: Final = 9001
BROKERS: Final = ("mosquitto", "amqtt")
# In the environment file: which of the addresses in it are the local stack's own servers.
LOCAL_PARTS: Final = "FLEET_LOCAL_PARTS"


@dataclass(frozen=True, slots=True)
class Port:
    """A port to listen on; `chosen`: by a person, so no other may be taken instead."""

    number: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Options:
    """All that decides how the local stack is started.

    database_url, redis_url, mqtt_url: a server of the person's own, used instead of starting one; else None.
    tls: whether the broker also listens with TLS, on `host`; without TLS it listens on this machine's own address only.
    broker: "mosquitto" or "amqtt" to insist on one, None for the better one that is there.
    admin_password: None to generate one.
    """

    host: str
    http_port: Port
    mqtt_port: Port
    data_dir: Path
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    mqtt_url: str | None = field(default=None, repr=False)
    broker: str | None = None
    admin_password: str | None = field(default=None, repr=False)
    simulated_sensors: int = 0
    tls: bool = False
    mqtt_tls_port: Port = Port(DEFAULT_MQTT_TLS_PORT, chosen=False)
    mqtt_websocket_port: Port = Port(DEFAULT_MQTT_WEBSOCKET_PORT, chosen=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the stack."""
        return is_loopback(self.host)

    @property
    def all_addresses(self) -> bool:
        """Whether it listens on every address of this machine."""
        return ipaddress.ip_address(self.host).is_unspecified

    @property
    def reachable_host(self) -> str:
        """The host for addresses on this machine, with brackets if it is IPv6."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared only
        return f"[{host}]" if ":" in host else host

    @property
    def plain_host(self) -> str:
        """The address on which the broker listens without TLS: never one that other machines can reach."""
        if self.loopback:
            return self.host
        return "::1" if ":" in self.host else DEFAULT_HOST

    def port(self, name: str) -> Port:
        """Return the port that the environment variable `name` chooses."""
        return {
            "FLEET_HTTP_PORT": self.http_port,
            "FLEET_MQTT_PORT": self.mqtt_port,
            "FLEET_MQTT_TLS_PORT": self.mqtt_tls_port,
            "FLEET_MQTT_WEBSOCKET_PORT": self.mqtt_websocket_port,
        }[name]

    def broker_names(self) -> list[str]:
        """Return the names and addresses by which sensors may reach the broker, for its certificate."""
        return [socket.gethostname(), *self.allowed_hosts()]

    def allowed_hosts(self) -> list[str]:
        """Return the names under which browsers may ask for the pages (ALLOWED_HOSTS)."""
        names = ["127.0.0.1", "localhost", "[::1]", self.reachable_host]
        if self.all_addresses:
            name = socket.gethostname()
            names += [name, socket.getfqdn(), f"{name.partition('.')[0]}.local", *outward_addresses()]
        return list(dict.fromkeys(name.lower() for name in names if name))


def outward_addresses() -> list[str]:
    """Return this machine's addresses, as other machines see them."""
    addresses = []
    # Documentation addresses (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, but chooses the
    # address from which it would.
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            address = probe.getsockname()[0]
            addresses.append(f"[{address}]" if ":" in address else address)
    return addresses


def is_loopback(host: str) -> bool:
    """Return whether `host`, an IP address, is this machine's own."""
    return ipaddress.ip_address(host).is_loopback


def read_options(environ: Mapping[str, str], *, simulated_sensors: int = 0, tls: bool = False) -> Options:
    """Return the options in `environ`; raises StackError that names a wrong one and its value.

    tls: asked for on the command line. A broker that other machines can reach has it in any case.
    """
    data_dir = data_directory(environ)
    own = _own_servers(environ, data_dir)
    host = _host(environ)
    if tls and "MQTT_URL" in own:
        raise StackError(
            "--tls is about the broker that this starts, and MQTT_URL names one of your own. Give that one TLS and an "
            "address with mqtts://, or unset MQTT_URL."
        )
    return Options(
        host=host,
        http_port=_port(environ, "FLEET_HTTP_PORT", DEFAULT_HTTP_PORT),
        mqtt_port=_port(environ, "FLEET_MQTT_PORT", DEFAULT_MQTT_PORT),
        data_dir=data_dir,
        database_url=own.get("DATABASE_URL"),
        redis_url=own.get("REDIS_URL"),
        mqtt_url=own.get("MQTT_URL"),
        broker=_broker(environ),
        admin_password=environ.get("FLEET_ADMIN_PASSWORD") or None,
        simulated_sensors=simulated_sensors,
        tls=tls or ("MQTT_URL" not in own and not is_loopback(host)),
        mqtt_tls_port=_port(environ, "FLEET_MQTT_TLS_PORT", DEFAULT_MQTT_TLS_PORT),
        mqtt_websocket_port=_port(environ, "FLEET_MQTT_WEBSOCKET_PORT", DEFAULT_MQTT_WEBSOCKET_PORT),
    )


def _own_servers(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """Return the addresses in `environ` that are not the local stack's own.

    Those get there when a shell has read the environment file, and must not keep the stack from starting its own
    servers.
    """
    written = read_environment(environment_path(data_dir))
    local = written.get(LOCAL_PARTS, "").split()
    return {
        name: environ[name]
        for name in ("DATABASE_URL", "REDIS_URL", "MQTT_URL")
        if environ.get(name) and not (name in local and environ[name] == written.get(name))
    }


def _host(environ: Mapping[str, str]) -> str:
    host = environ.get("FLEET_HOST", "") or DEFAULT_HOST
    if host == "localhost":
        return DEFAULT_HOST
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError as error:
        raise StackError(
            f"FLEET_HOST={host!r} is not an IP address. Use 127.0.0.1 (the default), an address of this machine, "
            "or 0.0.0.0 for all of them."
        ) from error


def _port(environ: Mapping[str, str], name: str, default: int) -> Port:
    value = environ.get(name, "")
    if not value:
        return Port(default, chosen=False)
    if not value.isdecimal() or not 1 <= int(value) <= 65_535:
        raise StackError(f"{name}={value!r} is not a port: a number from 1 to 65535.")
    return Port(int(value), chosen=True)


def _broker(environ: Mapping[str, str]) -> str | None:
    value = environ.get("FLEET_BROKER", "")
    if value and value not in BROKERS:
        raise StackError(f"FLEET_BROKER={value!r} is none of {', '.join(BROKERS)}.")
    return value or None
