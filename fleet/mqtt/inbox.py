"""The bounded queue between the broker's connection and the writer."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from fleet.ingest.routes import InboundMessage

# Beside its payload, what one waiting message costs in memory: the structs, the topic, the packet's rest.
OVERHEAD_BYTES: Final = 600


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

    def put(self, deliveries: Sequence[Delivery]) -> bool:
        """Wait for room and append; False if the inbox was closed meanwhile (the broker will deliver again).

        There is room while the limits are not reached: what came in one read goes in together, whatever its size.
        """
        size = sum([len(delivery.message.payload) for delivery in deliveries]) + OVERHEAD_BYTES * len(deliveries)
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (len(self._waiting) < self._max_messages and self._bytes < self._max_bytes)
            )
            if self._closed:
                return False
            self._waiting += deliveries
            self._bytes += size
            self._changed.notify_all()
            return True

    def take(self, limit: int, limit_bytes: int, *, timeout_s: float) -> list[Delivery]:
        """Return what waits, oldest first: at most `limit` messages and, past the first, `limit_bytes` of payload.

        Waits up to `timeout_s` for the first one.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            waiting, room = self._waiting, limit_bytes
            taken: list[Delivery] = []
            while waiting and len(taken) < limit:
                room -= len(waiting[0].message.payload)
                if room < 0 and taken:
                    break
                taken.append(waiting.popleft())
            self._bytes -= sum([len(delivery.message.payload) for delivery in taken]) + OVERHEAD_BYTES * len(taken)
            self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Refuse further messages and let whoever waits go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._waiting)
