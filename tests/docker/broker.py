"""A mosquitto with the configuration that docker/compose.yml gives it, and clients that log in to it."""

import os
import pwd
import queue
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fleet.mqtt.accounts import Login, write_accounts
from fleet.mqtt.certificate_folder import CertificateFolder
from fleet.mqtt.dynamic_security import COMMAND_TOPIC, encode, end_account, make_account
from fleet.stack.mosquitto import find_plugin
from fleet.stack.ports import random_free_port
from sensors.secrets import hash_secret, new_secret
from tests.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
# What a person might choose; what docker/make-env.sh makes is tamer.
BRIDGE = Login("fleet-bridge", "a bridge's password: with @ / and ä")
RECEIVER_ID = "fleet-bridge-0-of-1"
TIMEOUT_S = 10.0


class Broker:
    """One mosquitto in a folder of its own.

    port: for this machine; tls_port: for sensors; websocket_port: for browsers; inner_port: for the bridge;
    mutual_port: for sensors with certificates, if `mutual`. changes: lines of the shipped configuration to put others
    in place of, for tests that show what such a line is good for. environment: of the process, besides this one's.
    """

    def __init__(
        self,
        folder: Path,
        program: Path,
        *,
        changes: Mapping[str, str] | None = None,
        mutual: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.accounts = folder / "accounts"
        self.certificates = CertificateFolder(folder / "certificates")
        self.port, self.tls_port, self.websocket_port, self.inner_port, self.mutual_port = (
            random_free_port() for _ in range(5)
        )
        self.secrets: dict[str, str] = {}
        self._program = program
        self._changes = changes or {}
        self._mutual = mutual
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "-c", str(self._write_configuration())],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        try:
            wait_until(self._listens, TIMEOUT_S, "mosquitto to listen")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker by SIGTERM, as Docker does, and wait for it; safe to call when it does not run."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._process = None

    def write_accounts(self, *identifiers: str) -> None:
        """Make accounts for the bridge and these sensors, whose secrets are remembered; before the broker starts."""
        self.secrets |= {identifier: new_secret() for identifier in identifiers}
        hashes = {identifier: hash_secret(secret) for identifier, secret in self.secrets.items()}
        write_accounts(self.accounts, bridge=BRIDGE, accounts=hashes)

    def set_account(self, bridge: "Client", identifier: str) -> None:
        """Give a sensor a new secret while the broker runs."""
        self.secrets[identifier] = new_secret()
        bridge.publish(COMMAND_TOPIC, encode(make_account(identifier, self.secrets[identifier], tag="test")))

    def end_account(self, bridge: "Client", identifier: str) -> None:
        """End a sensor's account while the broker runs."""
        bridge.publish(COMMAND_TOPIC, encode(end_account(identifier, tag="test")))

    def make_certificates(self, *clients: str, days: int = 397, renew: bool = False) -> None:
        """Make the broker's certificate and those of `clients`; a running broker takes them at its next start."""
        now = datetime.now(UTC)
        self.certificates.write(names=["localhost", "127.0.0.1"], clients=clients, now=now, days=days, renew=renew)

    def context(self, client: str | None = None) -> ssl.SSLContext:
        """Return what a sensor needs for TLS, with the certificate of `client` if it shall show one."""
        context = ssl.create_default_context(cafile=str(self.certificates.authority))
        if client is not None:
            pair = self.certificates.root / "authority" / "clients" / client
            context.load_cert_chain(f"{pair}.crt", f"{pair}.key")
        return context

    def login(self, username: str) -> Login:
        return BRIDGE if username == BRIDGE.username else Login(username, self.secrets[username])

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(self.log)
        try:
            # The listener that is opened last.
            socket.create_connection(("127.0.0.1", self.inner_port), timeout=1).close()
        except ConnectionRefusedError:
            return False
        return True

    def _write_configuration(self) -> Path:
        text = (REPOSITORY / "docker/mosquitto/mosquitto.conf").read_text()
        plugin = find_plugin(self._program)
        assert plugin is not None, "mosquitto is installed without its dynamic-security plugin"
        if self._mutual:
            # As a person does who wants it: the block that is commented out.
            text = re.sub(r"^#(listener 8884\n)((?:#.+\n)+)", _uncommented, text, flags=re.MULTILINE)
        replacements = {
            "listener 1883\n": f"listener {self.port} 127.0.0.1\n",
            "listener 8883\n": f"listener {self.tls_port} 127.0.0.1\n",
            "listener 9001\n": f"listener {self.websocket_port} 127.0.0.1\nsocket_domain ipv4\n",
            "listener 8884\n": f"listener {self.mutual_port} 127.0.0.1\n",
            "listener 1884\n": f"listener {self.inner_port} 127.0.0.1\n",
            "/mosquitto/accounts/": f"{self.accounts}/",
            "plugin /usr/lib/mosquitto_dynamic_security.so\n": f"plugin {plugin}\n",
            "/mosquitto/certificates/": f"{self.certificates.root}/",
            "persistence_location /mosquitto/data/\n": f"persistence_location {self.folder}/data/\n",
            **self._changes,
        }
        for shipped, mine in replacements.items():
            assert shipped in text, shipped
            text = text.replace(shipped, mine)
        path = self.folder / "mosquitto.conf"
        # Started by root it would become the user `mosquitto`, who cannot enter the test's folder.
        path.write_text(f"{text}\nuser {pwd.getpwuid(os.geteuid()).pw_name}\n")
        (self.folder / "data").mkdir(exist_ok=True)
        return path


def _uncommented(block: re.Match[str]) -> str:
    return block[0].replace("\n#", "\n").removeprefix("#")


class Client:
    """A paho client whose callbacks end in queues, so that a test can wait for one thing at a time."""

    def __init__(
        self,
        client_id: str,
        login: Login | None,
        *,
        clean: bool = True,
        websocket: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.disconnected = threading.Event()
        self._connacks: queue.Queue[str] = queue.Queue()
        self._subacks: queue.Queue[list[int]] = queue.Queue()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean,
            transport="websockets" if websocket else "tcp",
            reconnect_on_failure=False,
        )
        if tls is not None:
            self.paho.tls_set_context(tls)
        if login is not None:
            self.paho.username_pw_set(login.username, login.password)
        self.paho.on_connect = lambda _c, _u, _flags, reason, _p: self._connacks.put(str(reason))
        self.paho.on_subscribe = lambda _c, _u, _mid, codes, _p: self._subacks.put([c.value for c in codes])
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_disconnect = lambda *_: self.disconnected.set()

    def connect(self, port: int) -> str:
        """Return what the broker answers to CONNECT: `Success` or `Not authorized`."""
        self.paho.connect("127.0.0.1", port, keepalive=30)
        self.paho.loop_start()
        return self._connacks.get(timeout=TIMEOUT_S)

    def subscribe(self, *filters: str) -> list[int]:
        """Subscribe with QoS 1 and return the codes of SUBACK."""
        self.paho.subscribe([(topic, 1) for topic in filters])
        return self._subacks.get(timeout=TIMEOUT_S)

    def publish(self, topic: str, payload: str | bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait for PUBACK, which mosquitto also sends for what its access list drops."""
        self.paho.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(TIMEOUT_S)

    def take(self, count: int = 1, *, timeout_s: float = TIMEOUT_S) -> list[tuple[str, bytes]]:
        """Return the next `count` messages as (topic, payload); fails when they do not come."""
        deadline = time.monotonic() + timeout_s
        taken: list[tuple[str, bytes]] = []
        while len(taken) < count:
            try:
                message = self.messages.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{len(taken)} of {count} messages came within {timeout_s:g} s")
            taken.append((message.topic, bytes(message.payload)))
        return taken

    def take_until(self, topic: str) -> list[tuple[str, bytes]]:
        """Return all messages up to and with the first on `topic`."""
        taken = self.take()
        while taken[-1][0] != topic:
            taken += self.take()
        return taken

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self) -> None:
        """Cut the connection without DISCONNECT, as a crash does."""
        connection: Any = self.paho.socket()
        connection.shutdown(socket.SHUT_RDWR)
        assert self.disconnected.wait(TIMEOUT_S)
        self.paho.loop_stop()
