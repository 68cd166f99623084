"""An MQTT client for tests of brokers: it acknowledges when it is told to."""

import threading
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from fleet.mqtt.address import BrokerAddress
from tests.waiting import wait_until


class MqttClient:
    """A connected client; `received` holds (topic, payload, retained, duplicate) in order of arrival."""

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        clean: bool = True,
        acknowledges: bool = True,
        websocket: bool = False,
        timeout_s: float = 10,
    ) -> None:
        address = BrokerAddress.from_url(url)
        self.received: list[tuple[str, bytes, bool, bool]] = []
        self.session_present = False
        self._acknowledges = acknowledges
        self._unacknowledged: list[paho.MQTTMessage] = []
        self._acknowledged_by_broker: set[int] = set()
        self._subscribed = threading.Event()
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean,
            manual_ack=True,
            reconnect_on_failure=False,
            transport="websockets" if websocket else "tcp",
        )
        client.max_inflight_messages_set(1_000)
        if address.username:
            client.username_pw_set(address.username, address.password)
        context = address.tls_context()
        if context is not None:
            client.tls_set_context(context)
        client.on_connect = self._connected
        client.on_message = self._message
        client.on_publish = lambda _client, _data, packet, _reason, _properties: self._acknowledged_by_broker.add(
            packet
        )
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.connect(address.host, address.port)
        client.loop_start()
        wait_until(client.is_connected, timeout_s, what=f"{client_id} to be connected")

    def _connected(self, _client: object, _data: object, flags: paho.ConnectFlags, *_: object) -> None:
        self.session_present = flags.session_present

    def _message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.received.append((message.topic, message.payload, message.retain, message.dup))
        if self._acknowledges:
            client.ack(message.mid, message.qos)
        else:
            self._unacknowledged.append(message)

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _, _ in self.received]

    def subscribe(self, *topics: str, qos: int = 1) -> None:
        self._subscribed.clear()
        self._client.subscribe([(topic, qos) for topic in topics])
        assert self._subscribed.wait(10)

    def publish(self, topic: str, payload: bytes | str, *, qos: int = 1, retain: bool = False) -> None:
        """Publish and wait for the broker's acknowledgement."""
        packet = self._client.publish(topic, payload, qos=qos, retain=retain).mid
        if qos:
            wait_until(lambda: packet in self._acknowledged_by_broker, what="the broker's acknowledgement")

    def publish_all(self, topic: str, payloads: list[bytes], *, qos: int = 1) -> None:
        """Publish all without waiting for each, then wait for all acknowledgements."""
        packets = {self._client.publish(topic, payload, qos=qos).mid for payload in payloads}
        if qos:
            wait_until(lambda: packets <= self._acknowledged_by_broker, 30, what="the broker's acknowledgements")

    def acknowledge_all(self) -> None:
        while self._unacknowledged:
            message = self._unacknowledged.pop(0)
            self._client.ack(message.mid, message.qos)

    def cut(self) -> None:
        """Lose the connection as a killed process does."""
        socket = self._client.socket()
        assert socket is not None
        self._client.loop_stop()
        socket.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
