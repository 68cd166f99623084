"""The bounded queue between the broker's connection and the writer."""

import threading
from collections import deque

import msgspec

from fleet.ingest.routes import InboundMessage

# Beside its payload, what one waiting message costs in memory: the structs, the topic, the packet's rest.
OVERHEAD_BYTES = 600


class Delivery(msgspec.Struct, frozen=True):
    """One message with what is needed to acknowledge it; `epoch` numbers the connection that it came on."""

    message: InboundMessage
    packet_id: int
    qos: int
    epoch: int


class Inbox:
    """Holds deliveries until the writer takes them; bounded in messages and bytes.

    `put` blocks while it is full. That is the back-pressure: the connection's thread stops reading, TCP fills up,
    and the broker keeps the rest on its side.
    """

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, delivery: Delivery) -> bool:
        """Wait for room and append; False if the inbox was closed meanwhile (the broker will deliver again)."""
        size = len(delivery.message.payload) + OVERHEAD_BYTES
        with self._changed:
            # One message always fits, however large it is.
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or not self._waiting
                    or (len(self._waiting) < self._max_messages and self._bytes + size <= self._max_bytes)
                )
            )
            if self._closed:
                return False
            self._waiting.append(delivery)
            self._bytes += size
            self._changed.notify_all()
            return True

    def take(self, limit: int, *, timeout_s: float) -> list[Delivery]:
        """Return what waits, at most `limit`, oldest first; wait up to `timeout_s` for the first one."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
            self._bytes -= sum(len(delivery.message.payload) + OVERHEAD_BYTES for delivery in taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Refuse further messages and let whoever waits go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._waiting)
