"""A sensor's own side of MQTT: one device of many in a process, all driven by one asyncio loop.

The bridge has its own clients. This module is for programs that *are* sensors: the simulator, and tests.
"""

import asyncio
import logging
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

# A broker that vanished without a word is noticed after one and a half of it.
KEEPALIVE_S: Final = 30
RECONNECT_FIRST_S: Final = 0.5
# Low, because people watch the simulator come back; spread by jitter so that devices do not come as one.
RECONNECT_MOST_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 4.0
# What one device keeps while its broker is away: about an hour of a message every few seconds.
MAX_WAITING: Final = 1_000
# Sent and not yet acknowledged. paho numbers them with 16 bits; far below that no number is ever in use twice.
MAX_UNACKNOWLEDGED: Final = 100


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one device logs in with."""

    username: str
    password: str = field(repr=False)


@dataclass(slots=True)
class DeviceCounts:
    """What one device did so far. `dropped`: messages that were given up unacknowledged, never in silence."""

    sent: int = 0
    acknowledged: int = 0
    dropped: int = 0
    connections: int = 0
    refusals: int = 0


@dataclass(slots=True)
class _Outgoing:
    topic: str
    payload: bytes
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the devices of a group share. executor: opens their sockets; jitter: spreads their reconnections."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    loop: asyncio.AbstractEventLoop
    executor: Executor
    jitter: random.Random


class Device:
    """One sensor's connection: takes its configurations, publishes, knows what the broker acknowledged.

    Made by `DeviceGroup.add`; lives on that group's loop and is not thread-safe. It connects by itself, again
    and again, subscribes `configurations/<identifier>` with QoS 1 on every connection, and sends again
    what the broker had not acknowledged when a connection was lost (so a receiver may see it twice).

    on_configuration(payload): called with the raw bytes of each configuration, a retained one included.
    on_connected(): called after each successful connection. Neither may block; what they raise is logged.
    """

    def __init__(
        self,
        shared: Surroundings,
        identifier: str,
        *,
        client_id: str,
        credentials: Credentials | None,
        on_configuration: Callable[[bytes], None] | None,
        on_connected: Callable[[], None] | None,
    ) -> None:
        self.identifier = identifier
        self.counts = DeviceCounts()
        self.connected = False
        # The reason of the last failure in words, for status lines; empty while all is well.
        self.trouble = ""
        self._shared = shared
        self._loop = shared.loop
        self._on_configuration = on_configuration
        self._on_connected = on_connected
        self._waiting: deque[_Outgoing] = deque()
        self._unacknowledged: dict[int, _Outgoing] = {}
        self._fd = -1
        self._writing = False
        self._closing = False
        self._failures = 0
        self._retry: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=True,
            protocol=paho.MQTTv311,
            # Without this, paho answers a refusal by connecting anew from inside its own reader.
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = MAX_UNACKNOWLEDGED
        if credentials is not None:
            client.username_pw_set(credentials.username, credentials.password)
        if shared.tls is not None:
            client.tls_set_context(shared.tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._message
        client.on_publish = self._acknowledged
        client.on_socket_close = self._socket_closing
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._want_no_write
        client.connect_async(shared.host, shared.port, keepalive=KEEPALIVE_S)
        self._client = client

    # --- For its owner -------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Send with QoS 1; the future is done when the broker acknowledged, cancelled if it was given up.

        While there is no connection up to MAX_WAITING messages wait; beyond that the oldest is dropped and
        counted. Raises ValueError for a topic that MQTT forbids.
        """
        if not topic or "+" in topic or "#" in topic:
            raise ValueError(f"{topic!r} cannot be published to: a topic is not empty and has no wildcards")
        outgoing = _Outgoing(topic, payload, self._loop.create_future())
        if self._closing:
            outgoing.done.cancel()
            self.counts.dropped += 1
            return outgoing.done
        self._waiting.append(outgoing)
        self._idle.clear()
        if self.connected:
            self._send_waiting()
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft().done.cancel()
            self.counts.dropped += 1
        return outgoing.done

    def publish_once(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 0 if there is a connection; whether it was handed to the socket is all that is known.

        For messages that a broker may answer by closing the connection: with QoS 1 they would be sent again
        on every new one.
        """
        if not self.connected:
            return False
        self._client.publish(topic, payload, qos=0)
        return True

    def outstanding(self) -> int:
        """Return how many messages the broker has not acknowledged yet, unsent ones included."""
        return len(self._waiting) + len(self._unacknowledged)

    async def drained(self) -> None:
        """Wait until nothing is outstanding."""
        await self._idle.wait()

    def cut(self) -> None:
        """Lose the connection as a device does whose power fails: no DISCONNECT. It connects again by itself."""
        sock = self._client.socket()
        if self.connected and isinstance(sock, socket.socket):
            # Wakes the reader with an end of file, which is the path of every real loss.
            sock.shutdown(socket.SHUT_RDWR)

    # --- Connecting ----------------------------------------------------------------------------

    def start(self, *, delay_s: float = 0.0) -> None:
        """Begin to connect after `delay_s` seconds."""
        self._retry = self._loop.call_later(delay_s, self._begin_connecting)

    def _begin_connecting(self) -> None:
        self._retry = None
        if not self._closing and self._connecting is None:
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        problem = "the connection was closed at once"
        try:
            await self._loop.run_in_executor(self._shared.executor, self._client.reconnect)
        except OSError as error:
            problem = str(error) or type(error).__name__
        finally:
            self._connecting = None
        sock = self._client.socket()
        if sock is None:
            self._failed(problem)
            return
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._readable)
        # CONNECT was queued on a connecting thread, where the loop must not be touched.
        if self._client.want_write():
            self._start_writing()

    def _failed(self, trouble: str) -> None:
        self.trouble = trouble
        if self._closing or self._retry is not None or self._connecting is not None:
            return
        delay_s = min(RECONNECT_MOST_S, RECONNECT_FIRST_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self.start(delay_s=delay_s * self._shared.jitter.uniform(0.5, 1.0))

    def _connected(
        self, client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            # The broker closes the connection next; that path connects again.
            self.counts.refusals += 1
            self.trouble = f"the broker refused the connection: {reason}"
            return
        self._failures = 0
        self.trouble = ""
        self.connected = True
        self.counts.connections += 1
        client.subscribe(f"configurations/{self.identifier}", qos=1)
        # After paho has sent again what it still holds, hence not from inside this callback.
        self._loop.call_soon(self._after_connecting)

    def _after_connecting(self) -> None:
        if not self.connected:
            return
        self._send_waiting()
        if self._on_connected is not None:
            try:
                self._on_connected()
            except Exception:
                logger.exception("device %s: on_connected failed", self.identifier)

    def _disconnected(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        was_connected, self.connected = self.connected, False
        self._failed(f"connection lost: {reason}" if was_connected or not self.trouble else self.trouble)

    # --- Messages ------------------------------------------------------------------------------

    def _send_waiting(self) -> None:
        while self._waiting and len(self._unacknowledged) < MAX_UNACKNOWLEDGED and self.connected:
            outgoing = self._waiting.popleft()
            information = self._client.publish(outgoing.topic, outgoing.payload, qos=1)
            if information.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                self._waiting.appendleft(outgoing)
                return
            # With no connection after all, paho keeps it and sends it on the next one.
            self._unacknowledged[information.mid] = outgoing
            self.counts.sent += 1

    def _acknowledged(self, _client: paho.Client, _userdata: Any, mid: int, _reason: Any, _properties: Any) -> None:
        outgoing = self._unacknowledged.pop(mid, None)
        if outgoing is None:  # QoS 0
            return
        self.counts.acknowledged += 1
        if not outgoing.done.done():
            outgoing.done.set_result(None)
        if self._waiting:
            self._loop.call_soon(self._send_waiting)
        elif not self._unacknowledged:
            self._idle.set()

    def _message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        if self._on_configuration is None:
            return
        try:
            self._on_configuration(bytes(message.payload))
        except Exception:
            # Raised further it would end this device's reader while it still counts as connected.
            logger.exception("device %s: on_configuration failed", self.identifier)

    # --- Sockets -------------------------------------------------------------------------------

    def _readable(self) -> None:
        self._client.loop_read()
        # TLS decrypts a whole record at once; what it holds already makes no socket readable.
        while isinstance(sock := self._client.socket(), ssl.SSLSocket) and sock.pending():
            self._client.loop_read()

    def _writable(self) -> None:
        self._client.loop_write()

    def _start_writing(self) -> None:
        if self._fd >= 0 and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _want_write(self, _client: paho.Client, _userdata: Any, _sock: Any) -> None:
        self._start_writing()

    def _want_no_write(self, _client: paho.Client, _userdata: Any, _sock: Any) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)

    def _socket_closing(self, _client: paho.Client, _userdata: Any, _sock: Any) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._fd)
            self._fd = -1

    def keep_alive(self) -> None:
        """Send the keep-alive ping if it is due, and give up a connection that does not answer."""
        if self._connecting is None:
            self._client.loop_misc()

    async def close(self) -> None:
        """Disconnect with a DISCONNECT; what the broker had not acknowledged is dropped and counted."""
        self._closing = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        if self._client.socket() is not None:
            self._client.disconnect()
            # Writes at once: the loop is about to end.
            self._client.loop_write()
        self.connected = False
        for outgoing in (*self._waiting, *self._unacknowledged.values()):
            outgoing.done.cancel()
            self.counts.dropped += 1
        self._waiting.clear()
        self._unacknowledged.clear()
