"""The broker's address, from MQTT_URL."""

import ssl
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

# Shorter finds a vanished broker sooner; longer tolerates a longer wait on the full queue without a reconnect.
KEEPALIVE_S = 60


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is and how to log in; `mqtts` means TLS, at least 1.2, and that the broker proves its name.

    ca_file: the authority to trust; None for those of the system. cert_file: a certificate to show the broker, with
    its key in key_file or, when that is None, in the same file.
    """

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    @classmethod
    def from_url(cls, url: str) -> "BrokerAddress":
        """Return the address in `mqtt[s]://[user:password@]host[:port][?ca=FILE&cert=FILE&key=FILE]`.

        Raises ValueError, which says what is wrong. Files are not looked at; see `tls_context`.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError("MQTT_URL must look like mqtt://user:password@host:1883 or mqtts://…:8883")
        tls = parts.scheme == "mqtts"
        files = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(files.keys() - {"ca", "cert", "key"}):
            raise ValueError(f"MQTT_URL has ?{unknown[0]}=, which means nothing; files of TLS are ca, cert and key")
        if files and not tls:
            raise ValueError("MQTT_URL names files of TLS but begins with mqtt://; with TLS it begins with mqtts://")
        if "key" in files and "cert" not in files:
            raise ValueError("MQTT_URL names a key but no certificate: ?cert=FILE&key=FILE")
        return cls(
            host=parts.hostname,
            port=parts.port or (8883 if tls else 1883),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=tls,
            ca_file=files.get("ca"),
            cert_file=files.get("cert"),
            key_file=files.get("key"),
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what a connection needs for TLS, None without it; ValueError names a file that cannot be used."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ValueError(f"MQTT_URL, ca={self.ca_file}: no certificates of an authority ({error})") from error
        # Python's own default; said here because a system's configuration may lower that one.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None:
            try:
                # An empty password: without one a key that needs it would be asked for on the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
            except OSError as error:
                key = f", key={self.key_file}" if self.key_file else ""
                raise ValueError(
                    f"MQTT_URL, cert={self.cert_file}{key}: no certificate with its key ({error})"
                ) from error
        return context

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
    """Return the client, which now connects to `address` once its loop is started; ValueError as `tls_context`."""
    if address.username:
        client.username_pw_set(address.username, address.password)
    context = address.tls_context()
    if context is not None:
        client.tls_set_context(context)
    # A restarted broker is back within seconds, and ten thousand sensors want it more than one bridge does.
    client.reconnect_delay_set(min_delay=1, max_delay=5)
    client.connect_async(address.host, address.port, KEEPALIVE_S)
    return client
