"""The client that publishes: configurations and accounts from the outbox, and the marker that proves the queue drained.

A client of its own, because the receiving one cannot send while it waits for room in the inbox.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog
from django.db import DatabaseError, close_old_connections
from paho.mqtt import client as mqtt

from config import services as configurations
from config.payloads import configuration_payload
from fleet.mqtt.account_keeper import AccountKeeper
from fleet.mqtt.address import BrokerAddress, make_client
from fleet.mqtt.dynamic_security import ANSWER_TOPIC, COMMAND_TOPIC
from fleet.mqtt.login_watch import LOG_TOPIC, LoginWatch
from sensors.models import SensorTombstone
from sensors.services import tombstones
from sensors.services.credentials import broker_asks, settle_credentials

log = structlog.get_logger(__name__)

DROPPED_TOPIC: Final = "$SYS/broker/publish/messages/dropped"
# How often the marker runs through the queue; silence is judged that much later at the most.
MARKER_EVERY_S: Final = 0.5
# A marker that was lost (the broker lost its memory) must not stop the watermark for ever.
MARKER_LOST_S: Final = 10.0
# The outbox is read when a notice comes; this often even if notices are lost.
POLL_S: Final = 2.0
# The broker's copy of all configurations is renewed this often, in case it lost some unnoticed.
RECONCILE_S: Final = 3600.0
# On the way to the broker at once.
WINDOW: Final = 500


class Publication(msgspec.Struct, frozen=True):
    """A retained message on its way, and whose row says so once the broker has it."""

    topic: str
    payload: bytes
    revision_id: int | None = None
    tombstone_id: int | None = None


class Publisher:
    """Publishes what the outbox holds, newest revisions only, and records what the broker confirmed."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        marker_topic: str,
        make_marker: Callable[[], bytes],
        mine: Callable[[str], bool],
        watches_logins: bool = False,
    ) -> None:
        """`mine` tells by sensor whether this shard publishes its configurations.

        watches_logins: whether it tells of logins that the broker refused; one shard is enough.
        """
        self._mine = mine
        self.logins = LoginWatch(address) if watches_logins else None
        self._asks = broker_asks()
        self._marker_topic = marker_topic
        self._make_marker = make_marker
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._everything = threading.Event()  # publish all current revisions again
        self._everything.set()
        self._on_the_way: dict[int, Publication] = {}  # by packet id
        self._confirmed: deque[int] = deque()
        self._marker_sent_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.broker_dropped: int | None = None  # the broker's own count of messages that it threw away
        self.active_at = time.monotonic()
        self._client = make_client(address, client_id, persistent=False, window=WINDOW)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self.accounts = AccountKeeper(lambda commands: self._client.publish(COMMAND_TOPIC, commands, qos=1), mine=mine)

    def start(self) -> None:
        """Connect and publish in threads of their own."""
        self._client.loop_start()
        self._thread.start()

    def is_running(self) -> bool:
        """Return whether both threads live."""
        thread = self._client._thread
        return thread is not None and thread.is_alive() and self._thread.is_alive()

    def notice(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    def publish_everything(self) -> None:
        """Publish the newest revision of every sensor again: the broker may have lost them."""
        self._everything.set()
        self._wake.set()

    def marker_arrived(self) -> None:
        """Let the next marker go."""
        self._marker_sent_at = None

    def stop(self) -> None:
        """End both threads; what was not confirmed is published again by the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    # --- paho's thread -------------------------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            topics = [(DROPPED_TOPIC, 0)]
            if not self._asks:
                topics.append((ANSWER_TOPIC, 1))
                self.accounts.on_connect()
            if self.logins is not None:
                topics.append((LOG_TOPIC, 0))
            client.subscribe(topics)
            self._wake.set()

    def _on_publish(self, _client: mqtt.Client, _data: Any, packet_id: int, _reason: Any, _properties: Any) -> None:
        self._confirmed.append(packet_id)
        self._wake.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, packet: mqtt.MQTTMessage) -> None:
        if packet.topic == ANSWER_TOPIC:
            self.accounts.on_answer(bytes(packet.payload))
            self._wake.set()
            return
        if packet.topic == LOG_TOPIC:
            if self.logins is not None:
                self.logins.take(bytes(packet.payload), now_s=time.monotonic())
            return
        try:
            dropped = int(packet.payload)
        except ValueError:
            return
        if self.broker_dropped is not None and dropped > self.broker_dropped:
            log.error("the broker dropped messages: its queue is full", dropped=dropped - self.broker_dropped)
        self.broker_dropped = dropped

    # --- the publishing thread -----------------------------------------------------------------------

    def _run(self) -> None:
        polled_at = reconciled_at = time.monotonic()
        while not self._stopping.is_set():
            noticed = self._wake.wait(MARKER_EVERY_S)
            self._wake.clear()
            now = self.active_at = time.monotonic()
            if self.logins is not None:
                self.logins.tell(now_s=now)
            try:
                self._record_confirmed()
                if not self._client.is_connected():
                    continue
                self._send_marker(now)
                if now - reconciled_at >= RECONCILE_S:
                    reconciled_at = now
                    self._everything.set()
                if self._everything.is_set():
                    self._everything.clear()
                    self._publish_all()
                is_due = noticed or now - polled_at >= POLL_S
                self._keep_accounts(now, look=is_due)
                if is_due:
                    polled_at = now
                    self._publish_due()
            except DatabaseError as error:
                log.warning("the outbox waits for the database", error=str(error).splitlines()[0])
                self._stopping.wait(1.0)
                polled_at = 0.0
            finally:
                close_old_connections()

    def _keep_accounts(self, now: float, *, look: bool) -> None:
        if not self._asks:
            self.accounts.step(now, look=look)
        elif look:
            settle_credentials(now=datetime.now(UTC))

    def _send_marker(self, now: float) -> None:
        sent_at = self._marker_sent_at
        if sent_at is None or now - sent_at > MARKER_LOST_S:
            self._marker_sent_at = now
            self._client.publish(self._marker_topic, self._make_marker(), qos=1)

    def _record_confirmed(self) -> None:
        published, cleared = [], []
        while self._confirmed:
            publication = self._on_the_way.pop(self._confirmed.popleft(), None)
            if publication is None:
                continue
            if publication.revision_id is not None:
                published.append(publication.revision_id)
            if publication.tombstone_id is not None:
                cleared.append(publication.tombstone_id)
        now = datetime.now(UTC)
        if published:
            configurations.mark_published(published, now=now)
        if cleared:
            tombstones.mark_cleared(cleared, now=now)

    def _publish_due(self) -> None:
        waiting = {publication.revision_id for publication in self._on_the_way.values()}
        for due in self._due():
            if len(self._on_the_way) >= WINDOW:
                return
            if due.revision_id not in waiting:
                self._publish(
                    Publication(
                        f"configurations/{due.sensor}",
                        configuration_payload(due.number, due.values),
                        revision_id=due.revision_id,
                    )
                )
        clearing = {publication.tombstone_id for publication in self._on_the_way.values()}
        for tombstone in self._to_clear():
            if len(self._on_the_way) >= WINDOW:
                return
            if tombstone.id not in clearing:
                # An identifier that lives again keeps its own configuration, and never inherits the dead one's.
                current = configurations.publication_of(tombstone.identifier)
                payload = configuration_payload(current.number, current.values) if current else b""
                self._publish(Publication(f"configurations/{tombstone.identifier}", payload, tombstone_id=tombstone.id))

    def _due(self) -> Iterator[configurations.Publication]:
        """Yield this shard's share of the outbox: another's may fill whole pages while its bridge is away."""
        page = configurations.due_publications(limit=WINDOW)
        while page:
            yield from (due for due in page if self._mine(due.sensor))
            after = page[-1].revision_id
            page = configurations.due_publications(limit=WINDOW, after=after) if len(page) == WINDOW else []

    def _to_clear(self) -> Iterator[SensorTombstone]:
        """Yield what deleted sensors of this shard left, in the same way."""
        page = tombstones.to_clear(limit=WINDOW)
        while page:
            yield from (tombstone for tombstone in page if self._mine(tombstone.identifier))
            after = page[-1].id
            page = tombstones.to_clear(limit=WINDOW, after=after) if len(page) == WINDOW else []

    def _publish_all(self) -> None:
        count = 0
        for current in configurations.all_current():
            if self._stopping.is_set() or not self._client.is_connected():
                # Half done is not done: the next connection begins again.
                self._everything.set()
                return
            if not self._mine(current.sensor):
                continue
            self._publish(
                Publication(
                    f"configurations/{current.sensor}",
                    configuration_payload(current.number, current.values),
                    revision_id=current.revision_id,
                )
            )
            count += 1
            self.active_at = time.monotonic()
            while len(self._on_the_way) >= WINDOW and self._client.is_connected() and not self._stopping.is_set():
                self._wake.wait(1.0)
                self._wake.clear()
                self._record_confirmed()
        if count:
            log.info("published all current configurations again", count=count)

    def _publish(self, publication: Publication) -> None:
        info = self._client.publish(publication.topic, publication.payload, qos=1, retain=True)
        self._on_the_way[info.mid] = publication
