"""The broker's address, from MQTT_URL."""

import ssl
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

# Shorter finds a vanished broker sooner; longer tolerates a longer wait on the full queue without a reconnect.
KEEPALIVE_S = 60


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to log in; `mqtts` means TLS with the given or the system's authorities."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str | None = None

    @classmethod
    def from_url(cls, url: str) -> "BrokerAddress":
        """Return the address in `mqtt[s]://[user:password@]host[:port][?ca=FILE]`; ValueError says what is wrong."""
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError("MQTT_URL must look like mqtt://user:password@host:1883 or mqtts://…:8883")
        tls = parts.scheme == "mqtts"
        return cls(
            host=parts.hostname,
            port=parts.port or (8883 if tls else 1883),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=tls,
            ca_file=parse_qs(parts.query).get("ca", [None])[0],
        )

    def __str__(self) -> str:
        """Return the address without its password, for logs."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


AnyClient = TypeVar("AnyClient", bound=mqtt.Client)


def make_client(
    address: BrokerAddress, client_id: str, *, persistent: bool, manual_ack: bool = False, window: int = 20
) -> mqtt.Client:
    """Return a client (MQTT 3.1.1) that connects to `address` once its loop is started.

    persistent: the broker keeps its session, and queues for it, while it is away. window: how many of its own
    messages may wait for the broker's acknowledgement at once.
    """
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=not persistent,
        protocol=mqtt.MQTTv311,
        manual_ack=manual_ack,
    )
    client.max_inflight_messages_set(window)
    return with_address(client, address)


def with_address(client: AnyClient, address: BrokerAddress) -> AnyClient:
    """Return the client, which now connects to `address` once its loop is started."""
    if address.username:
        client.username_pw_set(address.username, address.password)
    if address.tls:
        client.tls_set(ca_certs=address.ca_file, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    # A restarted broker is back within seconds, and ten thousand sensors want it more than one bridge does.
    client.reconnect_delay_set(min_delay=1, max_delay=5)
    client.connect_async(address.host, address.port, KEEPALIVE_S)
    return client
