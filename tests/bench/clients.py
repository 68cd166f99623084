"""MQTT clients of the bench."""

import threading
from typing import Final
from urllib.parse import urlsplit

from paho.mqtt import client as paho

# What may be on its way unacknowledged; the product's brokers allow as many to a reader.
INFLIGHT: Final = 1_000
CONNECT_S: Final = 30.0


def connect_client(
    url: str,
    name: str,
    *,
    clean: bool = True,
    manual_ack: bool = False,
    on_message: paho.CallbackOnMessage | None = None,
) -> paho.Client:
    """Return a connected client with a thread of its own; `url` with a login connects with it."""
    parts = urlsplit(url)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, manual_ack=manual_ack)
    if parts.username:
        client.username_pw_set(parts.username, parts.password)
    client.max_inflight_messages_set(INFLIGHT)
    client.on_message = on_message
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
    client.loop_start()
    assert connected.wait(CONNECT_S), f"{name} was not connected within {CONNECT_S:g} s"
    assert client.is_connected(), f"{name} was refused by the broker"
    return client


def subscribe(client: paho.Client, topic: str) -> None:
    """Subscribe with QoS 1 and wait for the broker's answer."""
    answered = threading.Event()
    client.on_subscribe = lambda *_: answered.set()
    client.subscribe(topic, qos=1)
    assert answered.wait(CONNECT_S)


def close(client: paho.Client) -> None:
    """Disconnect and end the thread."""
    client.disconnect()
    client.loop_stop()
