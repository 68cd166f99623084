"""The client that receives: a persistent session whose messages are acknowledged only after their commit."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from paho.mqtt import client as mqtt

from fleet.ingest.meters import Meters
from fleet.ingest.routes import SUBSCRIPTIONS, InboundMessage
from fleet.mqtt.address import BrokerAddress, with_address
from fleet.mqtt.client import BulkClient, Publish
from fleet.mqtt.inbox import Delivery, Inbox

log = structlog.get_logger(__name__)

# MQTT 3.1.1, table 3.1: the broker knows this client id no better than its password.
REFUSED_FOR_GOOD: Final = frozenset({"Bad user name or password", "Not authorized"})


class Receiver:
    """Feeds the inbox; knows which connection a message came on.

    A packet id means something only on the connection that delivered it: after the broker lost its session, ids
    begin at 1 again and an old acknowledgement would take a new message from the queue. So every connection has
    an epoch, and one lock guards "is it still this epoch, then acknowledge" against connect and disconnect.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        inbox: Inbox,
        mine: Callable[[str], bool],
        marker_topic: str,
        on_session_lost: Callable[[], None],
        meters: Meters | None = None,
    ) -> None:
        """`mine` tells by topic whether this shard stores a message; what is not its own is acknowledged at once."""
        self._meters = meters or Meters(started_at=datetime.now(UTC))
        self._inbox = inbox
        self._mine = mine
        self._marker_topic = marker_topic
        self._on_session_lost = on_session_lost
        self._address = address
        self._lock = threading.Lock()
        self._epoch = 0
        self._connected = False
        self.failures = 0  # exceptions in callbacks; each is a bug, and none may end the connection's thread
        self._client = with_address(BulkClient(client_id), address)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publishes = self._on_publishes

    @property
    def connected(self) -> bool:
        """Return whether there is a live connection."""
        return self._connected

    def start(self) -> None:
        """Connect in a thread of its own, and again whenever the connection is lost."""
        self._client.loop_start()

    def is_running(self) -> bool:
        """Return whether the connection's thread lives."""
        thread = self._client._thread
        return thread is not None and thread.is_alive()

    def acknowledge(self, deliveries: Iterable[Delivery]) -> int:
        """Acknowledge in this order what came on the current connection; return how many that were."""
        with self._lock:
            if not self._connected:
                return 0
            epoch = self._epoch
            packet_ids = [each.packet_id for each in deliveries if each.epoch == epoch and each.qos > 0]
            self._client.acknowledge(packet_ids)
        return len(packet_ids)

    def stop(self) -> None:
        """Send what is still to be sent, disconnect, and end the thread; the session stays at the broker."""
        self._inbox.close()
        self._client.disconnect()
        self._client.loop_stop()

    # --- paho's thread -------------------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.error("the broker refuses the bridge", broker=str(self._address), reason=str(reason))
            return
        with self._lock:
            self._epoch += 1
            self._connected = True
        log.info("connected", broker=str(self._address), session_present=flags.session_present, epoch=self._epoch)
        # Every time: a broker that lost the session lost the subscriptions with it.
        client.subscribe([(topic, 1) for topic in (*SUBSCRIPTIONS, self._marker_topic)])
        if not flags.session_present:
            self._on_session_lost()

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        with self._lock:
            self._connected = False
        log.warning("disconnected", broker=str(self._address), reason=str(reason))

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        for topic, reason in zip((*SUBSCRIPTIONS, self._marker_topic), reasons, strict=False):
            if reason.is_failure:
                log.error("the broker refuses a subscription", topic=topic, reason=str(reason))

    def _on_publishes(self, publishes: list[Publish]) -> bool:
        """Take in what came; False has the connection made anew."""
        # An exception here would end paho's thread while it still says that it is connected.
        try:
            received_at = datetime.now(UTC)
            mine: list[Delivery] = []
            others: list[Delivery] = []
            for publish in publishes:
                topic = publish.topic.decode("utf-8", "replace")
                message = InboundMessage(topic, publish.payload, received_at, publish.retain, publish.dup)
                delivery = Delivery(message, publish.packet_id, publish.qos, self._epoch)
                (mine if topic == self._marker_topic or self._mine(topic) else others).append(delivery)
            if others:
                self.acknowledge(others)
            # Its own markers are no messages of sensors.
            sizes = [len(each.message.payload) for each in mine if each.message.topic != self._marker_topic]
            self._meters.received += len(sizes)
            self._meters.received_bytes += sum(sizes)
            self._meters.passed_over += len(others)
            if mine:
                self._inbox.put(mine)
        except Exception:
            self.failures += 1
            log.exception("messages could not be taken in; connecting anew to get them again", count=len(publishes))
            return False
        return True
