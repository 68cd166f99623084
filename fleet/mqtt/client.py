"""A paho client that takes in what the broker sends by the thousand.

paho reads each packet with three calls to the socket and asks the system before each whether there is more; most of
the time of a bridge that drains a backlog went there. This one reads what is there, takes the PUBLISH packets out in
one loop, and leaves all others to paho. Acknowledgements leave in one piece, too.

It reaches into paho's protected parts: `_sock_recv`, `_in_packet`, `_packet_handle`, `_packet_queue`,
`_loop_rc_handle`. requirements/ pins the release, and tests/mqtt/test_client.py fails if they go away.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

PUBLISH: Final = 3
PUBACK: Final = 0x40
# What one read takes at most: many messages, and little beside the queue that they go into.
READ_BYTES: Final = 128 * 1024
# A remaining length has at most four bytes (MQTT 3.1.1, 2.2.3).
MAX_LENGTH_BYTES: Final = 4


class Publish(msgspec.Struct, frozen=True):
    """A PUBLISH packet (MQTT 3.1.1, 3.3); packet_id is 0 for QoS 0."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int


class MalformedPacketError(ValueError):
    """What came is no MQTT; the connection cannot go on."""


class Stream:
    """Cuts a connection's bytes into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the packets that `data` completes: their first byte, and what follows the remaining length.

        Raises MalformedPacketError for a length that no packet may have.
        """
        buffer = self._buffer
        buffer += data
        packets = []
        position, end = 0, len(buffer)
        while position + 1 < end:
            length, shift, at = 0, 0, position + 1
            while at < end:
                byte = buffer[at]
                at += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift == 7 * MAX_LENGTH_BYTES:
                    raise MalformedPacketError("a remaining length of more than four bytes")
            else:
                break
            if at + length > end:
                break
            packets.append((buffer[position], bytes(buffer[at : at + length])))
            position = at + length
        del buffer[:position]
        return packets


def parse_publish(first: int, body: bytes) -> Publish:
    """Return the PUBLISH packet with this first byte and body; MalformedPacketError if it is none."""
    qos = (first >> 1) & 3
    topic_end = 2 + int.from_bytes(body[:2], "big")
    payload_at = topic_end + 2 if qos else topic_end
    # QoS 3 is reserved, and a topic has at least one character.
    if qos == 3 or len(body) < payload_at or topic_end == 2:
        raise MalformedPacketError("a PUBLISH packet that is none")
    packet_id = int.from_bytes(body[topic_end:payload_at], "big")
    return Publish(body[2:topic_end], body[payload_at:], qos, bool(first & 1), bool(first & 8), packet_id)


class BulkClient(mqtt.Client):
    """paho's client, for MQTT 3.1.1 and QoS 0 and 1, that hands over messages in lists.

    `on_publishes` is called in the connection's thread with everything that one read brought, in its order; while it
    blocks nothing more is read. It must not raise. If it returns False the connection is given up and made anew, so
    that the broker sends again what was not acknowledged. `on_message` is never called.
    """

    on_publishes: Callable[[list[Publish]], bool]

    def __init__(self, client_id: str) -> None:
        """A client with a persistent session that acknowledges only what it is told to."""
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        self._stream = Stream()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read once and handle what is complete."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = mqtt.time_func()
        try:
            result = self._handle(self._stream.feed(data))
        except (MalformedPacketError, MalformedPacket):
            result = MQTTErrorCode.MQTT_ERR_PROTOCOL
        return self._loop_rc_handle(result)

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; half a packet of the old connection is none of the new one."""
        self._stream = Stream()
        return super().reconnect()

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Send a PUBACK (MQTT 3.1.1, 3.4) for each QoS 1 message, all in one piece."""
        packets = b"".join([b"\x40\x02" + packet_id.to_bytes(2, "big") for packet_id in packet_ids])
        if packets:
            self._packet_queue(PUBACK, packets, 0, 0)

    def _handle(self, packets: list[tuple[int, bytes]]) -> MQTTErrorCode:
        publishes: list[Publish] = []
        for first, body in packets:
            if first >> 4 == PUBLISH:
                publishes.append(parse_publish(first, body))
                continue
            # Whatever it changes, a subscription or the end, comes after what was sent before it.
            result = self._hand_over(publishes)
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return result
            publishes = []
            self._in_packet["command"] = first
            self._in_packet["packet"] = bytearray(body)
            self._in_packet["remaining_length"] = len(body)
            result = self._packet_handle()
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None:
                return result
        return self._hand_over(publishes)

    def _hand_over(self, publishes: list[Publish]) -> MQTTErrorCode:
        if not publishes:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        with self._in_callback_mutex:
            taken = self.on_publishes(publishes)
        return MQTTErrorCode.MQTT_ERR_SUCCESS if taken else MQTTErrorCode.MQTT_ERR_CONN_LOST
