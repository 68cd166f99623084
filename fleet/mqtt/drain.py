"""Empties one shard's session through the bridge's own path: stored, committed, acknowledged, in order."""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from fleet.ingest import live
from fleet.ingest.batch import Drained, ingest_batch
from fleet.ingest.meters import Meters
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from fleet.mqtt.address import BrokerAddress, make_client
from fleet.mqtt.bridge import RETRY_S
from fleet.mqtt.inbox import Delivery, Inbox
from fleet.mqtt.markers import Marker, decode_marker, drained_by
from fleet.mqtt.parser import BATCH_BYTES, BATCH_MESSAGES
from fleet.mqtt.receiver import Receiver
from fleet.mqtt.sessions import BROKER_WAIT_S, BrokerUnavailableError
from fleet.mqtt.shards import Shard

log = structlog.get_logger(__name__)

# One is enough; the others are for a broker that lost it with its memory.
MARKER_EVERY_S: Final = 1.0
# The marker comes at the latest when nothing else does.
SILENT_S: Final = 60.0


@dataclass(slots=True)
class Drainage:
    """What one shard's session held. messages: this shard's own; stored: entries that were new.

    had_session: whether the broker still knew the session; if not, whatever waited in it was lost by the broker.
    """

    shard: Shard
    messages: int = 0
    stored: int = 0
    had_session: bool = True


class Drain:
    """Works through the session of a shard whose bridge does not run, up to a marker sent after `run` began.

    The caller holds the lock that keeps the bridge from starting.
    """

    def __init__(
        self,
        address: BrokerAddress,
        shard: Shard,
        *,
        check: Callable[[], None],
        report: Callable[[Drainage], None],
    ) -> None:
        """`check` is called between batches and may raise to give up; `report` gets how far it is, as often."""
        self._address = address
        self._shard = shard
        self._check = check
        self._report = report
        self._drainage = Drainage(shard)
        self._sent: set[bytes] = set()
        self._sent_at = 0.0
        self._connected_at = self._heard_at = time.monotonic()
        self._heard = 0
        self._meters = Meters(started_at=datetime.now(UTC))
        self._is_done = False
        self._inbox = Inbox(max_messages=settings.BRIDGE_QUEUE_MESSAGES, max_bytes=settings.BRIDGE_QUEUE_BYTES)
        self._receiver = Receiver(
            address,
            client_id=shard.receiver_id,
            inbox=self._inbox,
            mine=shard.owns,
            marker_topic=shard.marker_topic,
            on_session_lost=self._session_lost,
            meters=self._meters,
        )
        # A client of its own, like the bridge's: the receiving one cannot send while it waits for room.
        self._markers = make_client(address, f"fleet-reshard-{os.getpid()}-{secrets.token_hex(4)}", persistent=False)

    def run(self) -> Drainage:
        """Return what was there once all of it is stored.

        Safe to kill and repeat: what was not committed was not acknowledged. Raises BrokerUnavailableError when
        the broker stays away; a database that is away is waited for, as long as `check` allows it.
        """
        self._receiver.start()
        self._markers.loop_start()
        try:
            while not self._is_done:
                self._check()
                self._await_broker()
                self._send_marker()
                deliveries = self._inbox.take(BATCH_MESSAGES, BATCH_BYTES, timeout_s=0.2)
                if deliveries:
                    self._store(deliveries)
                self._report(self._drainage)
        finally:
            self._receiver.stop()
            self._markers.disconnect()
            self._markers.loop_stop()
        return self._drainage

    def _store(self, deliveries: list[Delivery]) -> None:
        messages: list[InboundMessage] = []
        drained, is_last = None, False
        for delivery in deliveries:
            if delivery.message.topic == self._shard.marker_topic:
                marker = decode_marker(delivery.message.payload)
                drained = (marker and drained_by(marker, delivery, self._shard)) or drained
                is_last = is_last or bytes(delivery.message.payload) in self._sent
            else:
                messages.append(delivery.message)
        result = self._ingest(messages, drained)
        self._receiver.acknowledge(deliveries)
        live.announce(result)
        self._drainage.messages += len(messages)
        self._drainage.stored += result.stored
        self._is_done = is_last

    def _ingest(self, messages: list[InboundMessage], drained: Drained | None) -> BatchResult:
        attempt = 0
        while True:
            try:
                return ingest_batch(messages, now=datetime.now(UTC), drained=drained)
            except DatabaseError as error:
                if attempt % 15 == 0:
                    log.error("storing waits for the database", error=str(error).splitlines()[0], attempt=attempt)
                connection.close()
                # Nothing tells that a database is back; it is asked, less and less often.
                time.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1
                self._check()

    def _send_marker(self) -> None:
        """Send the marker, once the session is there to queue it."""
        now = time.monotonic()
        if now - self._sent_at >= MARKER_EVERY_S and self._receiver.connected and self._markers.is_connected():
            self._sent_at = now
            payload = Marker(datetime.now(UTC).timestamp()).encoded()
            self._sent.add(payload)
            self._markers.publish(self._shard.marker_topic, payload, qos=1)

    def _await_broker(self) -> None:
        now = time.monotonic()
        if self._receiver.connected and self._markers.is_connected():
            self._connected_at = now
        elif now - self._connected_at > BROKER_WAIT_S:
            raise BrokerUnavailableError(f"the broker {self._address} could not be reached for {BROKER_WAIT_S:g} s")
        elif not self._receiver.is_running():
            raise BrokerUnavailableError("the receiving thread ended; the log says why")
        # What is other shards' never reaches the inbox.
        heard = self._meters.received + self._meters.passed_over
        if heard != self._heard or len(self._inbox):
            self._heard, self._heard_at = heard, now
        elif now - self._heard_at > SILENT_S:
            raise BrokerUnavailableError(
                f"the broker {self._address} does not pass on the marker; the login must be allowed to write and read"
                f" {self._shard.marker_topic}"
            )

    def _session_lost(self) -> None:
        self._drainage.had_session = False
