"""What the two brokers have in common, and which one is taken."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from fleet.mqtt.probe import BrokerUnfitError, probe_broker

from .errors import StackError
from .server import PROBE_TIMEOUT_S, Server

if TYPE_CHECKING:
    from .tls import Tls

# The product's own login; its clients' ids begin with these names.
BRIDGE_USER: Final = "fleet-bridge"
# The login that all sensors share where logins are asked for. Logins of their own: docker/compose.yml.
SENSOR_USER: Final = "sensor"

# Several times the largest payload that the product takes: what is too large must reach the bridge to be seen
# and kept as rejected, while one client still cannot fill the memory with a single message.
MESSAGE_BYTES: Final = 1024 * 1024
# Unacknowledged messages on their way to one client: several of the bridge's batches.
INFLIGHT_MESSAGES: Final = 1_000

# What sensors may write and read, in MQTT's filter syntax. Without logins a broker cannot tell them apart: each
# may read every sensor's configuration, but nothing that another one reports.
SENSOR_WRITES: Final = ("heartbeats/#", "log-messages/#", "measurements/#")
SENSOR_READS: Final = ("configurations/#", "$SYS/broker/#")
SENSOR_NEVER_READS: Final = "$SYS/broker/log/#"

# Package managers put daemons where an ordinary user's PATH does not look.
_DAEMON_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/mosquitto/sbin")


class BrokerServer(Server):
    """An MQTT broker with the bridge's login.

    host, port: where it listens without TLS. tls: where with it, if at all. anonymous: whether sensors may come without
    a login; else they use SENSOR_USER and `sensor_password`.
    """

    # Whether a message that it has acknowledged outlives its own restart.
    keeps_messages: ClassVar[bool]
    # How sensors' accounts come to it: MQTT_ACCOUNTS of the service's settings.
    accounts: ClassVar[str] = "dynamic-security"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        log_path: Path,
        bridge_password: str,
        sensor_password: str,
        anonymous: bool,
        tls: "Tls | None" = None,
    ) -> None:
        super().__init__(host=host, port=port, log_path=log_path)
        self._bridge_password = bridge_password
        self._sensor_password = sensor_password
        self.anonymous = anonymous
        self.tls = tls

    @property
    def ports(self) -> list[int]:
        """All ports that it listens on."""
        return [self.port] if self.tls is None else [self.port, self.tls.port, self.tls.websocket_port]

    @property
    def url(self) -> str:
        return f"mqtt://{BRIDGE_USER}:{self._bridge_password}@{self._reachable_host()}:{self.port}"

    @property
    def sensor_url(self) -> str:
        """The address for sensors of this machine, with their login if they need one."""
        login = "" if self.anonymous else f"{SENSOR_USER}:{self._sensor_password}@"
        return f"mqtt://{login}{self._reachable_host()}:{self.port}"

    def _reachable_host(self) -> str:
        # One that listens on all addresses is reached over the loopback.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared only
        return f"[{host}]" if ":" in host else host

    def probe(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        try:
            probe_broker(self.url, timeout_s)
        except BrokerUnfitError as error:
            raise StackError(str(error)) from error


def find_mosquitto(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of mosquitto's program, None if it is not installed."""
    path = os.pathsep.join([environ.get("PATH", os.defpath), *_DAEMON_FOLDERS])
    found = shutil.which("mosquitto", path=path)
    return Path(found) if found else None
