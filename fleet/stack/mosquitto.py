"""Eclipse Mosquitto, where it is installed."""

import base64
import hashlib
import re
import secrets
import signal
import subprocess
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from fleet.mqtt.accounts import OWN_TOPICS, PLUGIN_NAME, plugin_text
from fleet.mqtt.dynamic_security import ANSWER_TOPIC, COMMAND_TOPIC

from .broker import (
    BRIDGE_USER,
    INFLIGHT_MESSAGES,
    MESSAGE_BYTES,
    SENSOR_NEVER_READS,
    SENSOR_READS,
    SENSOR_USER,
    SENSOR_WRITES,
    BrokerServer,
)
from .places import Home
from .ports import is_taken
from .processes import Program

if TYPE_CHECKING:
    from .tls import Tls

# Debian's, Homebrew's and the image's name for it.
_PLUGIN_FILE: Final = "mosquitto_dynamic_security.so"
# Whom it runs as when root starts it.
ACCOUNTS: Final = ("mosquitto", "nobody")

# Reason above each.
_SETTINGS: Final = f"""\
# 1,000 by default; what is beyond is dropped while its sender is told Success. 0 should mean no limit, but
# releases up to 2.0.21 drop messages or clients with it.
max_queued_messages 1000000000
# Several batches of the bridge may be on their way at once.
max_inflight_messages {INFLIGHT_MESSAGES}
# What is too large for the bridge must reach it, to be kept as rejected. What is larger still ends its sender's
# connection: message_size_limit would drop it and acknowledge it.
max_packet_size {MESSAGE_BYTES}
# Sessions, queues and retained messages on disk: at a stop, and every 30 s for the case of a crash.
persistence true
persistence_file broker.db
autosave_interval 30
# A sensor that never comes back leaves no queue for ever; the bridge may be away that long.
persistent_client_expiration 2m
# Small messages leave at once instead of waiting for more.
set_tcp_nodelay true
log_dest stderr
# For the bridge alone, which tells of refused logins.
log_dest topic
log_type error
log_type warning
log_type notice
log_timestamp_format %Y-%m-%dT%H:%M:%S
"""


class MosquittoServer(BrokerServer):
    """A mosquitto that keeps what it queued, with the bridge's login and the sensors' access list."""

    name: ClassVar[str] = "mosquitto"
    title: ClassVar[str] = "mosquitto"
    keeps_messages: ClassVar[bool] = True
    # It saves its state first.
    stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(
        self,
        home: Home,
        program: Path,
        *,
        port: int,
        log_path: Path,
        bridge_password: str,
        sensor_password: str,
        host: str = "127.0.0.1",
        anonymous: bool = True,
        tls: "Tls | None" = None,
    ) -> None:
        super().__init__(
            host=host,
            port=port,
            log_path=log_path,
            bridge_password=bridge_password,
            sensor_password=sensor_password,
            anonymous=anonymous,
            tls=tls,
        )
        self._home = home
        self._path = program

    @property
    def state(self) -> Path:
        """The file of sessions, queues and retained messages; delete it while stopped to lose them all."""
        return self._home.folder / "broker.db"

    @property
    def release(self) -> str:
        """Mosquitto's own release, "" if it does not say."""
        # It prints its help and ends with an error code.
        answer = subprocess.run([str(self._path), "-h"], capture_output=True, text=True, check=False)
        found = re.search(r"mosquitto version (\S+)", answer.stdout)
        return found[1] if found else ""

    def _program(self) -> Program:
        return Program(
            arguments=[str(self._path), "-c", str(self._home.write("conf", self._settings()))],
            cwd=self._home.folder,
            log_path=self.log_path,
            account=self._home.account,
            # It saves its state, as at a stop.
            death_signal=signal.SIGTERM,
            environment={"TZ": "UTC"},
        )

    def _settings(self) -> str:
        return "\n".join(
            [
                "# Written by `manage.py up` at every start.",
                f"listener {self.port} {self.host}",
                *self._tls_listeners(),
                f"allow_anonymous {'true' if self.anonymous else 'false'}",
                f"password_file {self._home.write('passwords', self._passwords())}",
                f"acl_file {self._home.write('acl', access_list())}",
                *self._plugin(),
                f"persistence_location {self._home.folder}/",
                _SETTINGS,
            ]
        )

    def _plugin(self) -> list[str]:
        """Return the lines of the plugin that holds sensors' accounts; none where it is not installed."""
        plugin = find_plugin(self._path)
        if plugin is None:
            return []
        accounts = self._home.folder / PLUGIN_NAME
        if not accounts.exists():
            # Into the home, because the plugin replaces it; a rename follows no link that may be there.
            self._home.write(PLUGIN_NAME, plugin_text({})).rename(accounts)
        return [f"plugin {plugin}", f"plugin_opt_config_file {accounts}"]

    def _tls_listeners(self) -> list[str]:
        """Return the lines of the listeners with TLS, if there are any; makes what they need."""
        if self.tls is None:
            return []
        pair = self.tls.take_pair(now=datetime.now(UTC))
        # Copies that its user can read; the originals are for whoever started this.
        certificate = self._home.write("crt", pair.certificate.decode())
        return self.tls.listeners(certificate=certificate, key=self._home.write("key", pair.key.decode()))

    def _port_taken(self, output: str) -> bool:
        # Of a WebSocket listener it says only that it could not be made.
        return super()._port_taken(output) or (
            self.tls is not None
            and "websockets listener" in output
            and is_taken(self.tls.host, self.tls.websocket_port)
        )

    def _passwords(self) -> str:
        lines = [f"{BRIDGE_USER}:{hash_password(self._bridge_password)}"]
        if not self.anonymous:
            lines.append(f"{SENSOR_USER}:{hash_password(self._sensor_password)}")
        return "\n".join(lines) + "\n"


def access_list() -> str:
    """Return the access list: the bridge may do everything, everybody else what a sensor does.

    A sensor with a login of its own may do it for itself alone.

    Mosquitto applies the lines before the first `user` to clients without a login, and those of a user to
    nobody else.
    """
    sensor = [
        *(f"topic write {topic}" for topic in SENSOR_WRITES),
        *(f"topic read {topic}" for topic in SENSOR_READS),
        # It names addresses and clients.
        f"topic deny {SENSOR_NEVER_READS}",
    ]
    bridge = ["topic readwrite #", "topic read $SYS/#", f"topic write {COMMAND_TOPIC}", f"topic read {ANSWER_TOPIC}"]
    return "\n".join([*sensor, f"user {SENSOR_USER}", *sensor, f"user {BRIDGE_USER}", *bridge, *OWN_TOPICS]) + "\n"


def find_plugin(program: Path) -> Path | None:
    """Return the dynamic-security plugin of the mosquitto at `program`; None if it is not installed."""
    # The folder of libraries beside that of programs: /usr/lib, on Debian one for each architecture.
    roots = dict.fromkeys((program.parent.parent, program.resolve().parent.parent))
    places = (root.glob(f"{folder}/{_PLUGIN_FILE}") for root in roots for folder in ("lib", "lib/*", "lib64"))
    return next(chain.from_iterable(places), None)


def hash_password(password: str) -> str:
    """Return `password` as mosquitto's password file wants it ("$6$", which every release since 1.0 reads).

    One round of SHA-512 is enough for generated passwords of 192 bits, and for nothing else.
    """
    salt = secrets.token_bytes(12)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
