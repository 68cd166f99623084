"""amqtt, a broker written in Python, for machines without mosquitto."""

import json
import os
import signal
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from .broker import BrokerServer
from .environment import CHECKOUT
from .errors import StackError
from .processes import Program


class AmqttServer(BrokerServer):
    """The broker for trying the product out: loopback only, and nothing of it outlives its restart."""

    name: ClassVar[str] = "amqtt"
    title: ClassVar[str] = "amqtt"
    keeps_messages: ClassVar[bool] = False
    stop_steps = ((signal.SIGTERM, 5.0),)

    accounts: ClassVar[str] = "database"

    def __init__(
        self,
        *,
        port: int,
        log_path: Path,
        bridge_password: str,
        host: str = "127.0.0.1",
        environment: Path | None = None,
    ) -> None:
        """environment: the file that names the database, whose credentials let sensors log in."""
        super().__init__(
            host=host,
            port=port,
            log_path=log_path,
            bridge_password=bridge_password,
            sensor_password="",
            anonymous=True,
        )
        self._environment = environment

    @property
    def release(self) -> str:
        return version("amqtt")

    def _program(self) -> Program:
        if find_spec("amqtt") is None:
            raise StackError(
                "There is no MQTT broker: neither mosquitto nor the package amqtt is installed. Install mosquitto, "
                "or run ./scripts/up, which installs amqtt, or name a broker of your own in MQTT_URL."
            )
        settings = {
            "host": self.host,
            "port": self.port,
            "bridge_password": self._bridge_password,
            "environment": str(self._environment or ""),
        }
        return Program(
            arguments=[sys.executable, "-m", "fleet.stack.amqtt_broker"],
            cwd=CHECKOUT,
            log_path=self.log_path,
            death_signal=signal.SIGKILL,
            environment={**os.environ, "FLEET_AMQTT": json.dumps(settings)},
        )
