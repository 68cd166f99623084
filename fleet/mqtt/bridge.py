"""The bridge: receives, stores, then acknowledges; publishes configurations; says how far it is."""

import os
import threading
import time
from datetime import UTC, datetime
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from fleet.ingest import live
from fleet.ingest.batch import Drained, store_batch
from fleet.ingest.meters import Meters
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import Part
from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.guard import REMIND_S, ShardGuard
from fleet.mqtt.hints import Hints
from fleet.mqtt.inbox import Delivery, Inbox
from fleet.mqtt.markers import Marker, Origin, decode_marker, drained_by
from fleet.mqtt.parser import Parsed, Parser
from fleet.mqtt.publisher import Publisher
from fleet.mqtt.receiver import Receiver
from fleet.mqtt.shards import Shard
from sensors.activity import record_tick

log = structlog.get_logger(__name__)

TICK_EVERY_S: Final = 2.0
# Nothing the writer does takes longer: the database's own timeouts are shorter, and end a stuck statement.
STUCK_AFTER_S: Final = 60.0
RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)

EXIT_STUCK: Final = 70  # EX_SOFTWARE of sysexits.h
EXIT_TAKEN: Final = 75  # EX_TEMPFAIL


class Bridge:
    """One shard's bridge; `run` returns the process's exit code."""

    def __init__(self, address: BrokerAddress, shard: Shard) -> None:
        self._shard = shard
        self._stopping = threading.Event()
        self._exit_code = 0
        self._active_at = time.monotonic()
        self._ticked_at = 0.0
        self._stored = 0
        self._started_at = datetime.now(UTC)
        self._rival_noted_at = -REMIND_S
        self._meters = Meters(started_at=self._started_at)
        self._marker_topic = shard.marker_topic
        self._inbox = Inbox(max_messages=settings.BRIDGE_QUEUE_MESSAGES, max_bytes=settings.BRIDGE_QUEUE_BYTES)
        self._parser = Parser(self._inbox, marker_topic=self._marker_topic)
        self._publisher = Publisher(
            address,
            client_id=shard.publisher_id,
            marker_topic=self._marker_topic,
            make_marker=lambda: self._origin().marker(now=datetime.now(UTC)).encoded(),
            mine=shard.owns,
            watches_logins=shard.index == 0,
        )
        self._receiver = Receiver(
            address,
            client_id=shard.receiver_id,
            inbox=self._inbox,
            mine=shard.owns,
            marker_topic=self._marker_topic,
            on_session_lost=self._publisher.publish_everything,
            meters=self._meters,
        )
        self._guard = ShardGuard(shard, on_notice=self._publisher.notice, on_lost=self._shard_taken)
        self._hints = Hints()

    def stop(self) -> None:
        """End after the current batch."""
        self._stopping.set()
        self._guard.stop_waiting()

    def run(self) -> int:
        """Work until `stop`; return 0, or 75 when another bridge took the shard."""
        if not self._guard.acquire():
            return self._exit_code
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        self._hints.start()
        self._publisher.start()
        self._parser.start()
        self._receiver.start()
        log.info("bridge started", shard=str(self._shard))
        try:
            while not self._stopping.is_set():
                self._active_at = time.monotonic()
                self._tick()
                batch = self._parser.take(timeout_s=0.5)
                if batch:
                    self._meters.took(waiting=len(batch) + self._queue(), now_s=time.monotonic())
                    self._store(batch)
        finally:
            self._parser.stop()
            # Acknowledgements of the last batch go out before the connection is closed.
            self._receiver.stop()
            self._publisher.stop()
            self._hints.stop()
            self._guard.release()
            connection.close()
        log.info("bridge stopped", shard=str(self._shard), stored=self._stored)
        return self._exit_code

    def _queue(self) -> int:
        """Return how many messages wait here for the writer."""
        return len(self._parser) + len(self._inbox)

    def _store(self, batch: list[Parsed]) -> None:
        parts = []
        drained = None
        for each in batch:
            if each.part is None:
                drained = self._drained(each.delivery)
            else:
                parts.append(each.part)
        result = self._try_until_stored(parts, drained)
        if result is None:
            return  # Stopping: what is not acknowledged comes again.
        self._receiver.acknowledge([each.delivery for each in batch])
        self._stored += result.stored
        self._meters.answered(result.answered)
        if result.lanes:
            self._hints.give(result.lanes)
        live.announce(result)
        if result.rejected:
            log.warning("rejected", **result.rejected)

    def _try_until_stored(self, parts: list[Part], drained: Drained | None) -> BatchResult | None:
        attempt = 0
        while not self._stopping.is_set():
            self._active_at = began_s = time.monotonic()
            try:
                result = store_batch(parts, now=datetime.now(UTC), drained=drained)
                took_s = time.monotonic() - began_s
                messages = [part.message for part in parts]
                self._meters.stored(result, messages, took_s=took_s, committed_at=datetime.now(UTC))
                return result
            except DatabaseError as error:
                self._meters.failed(now=datetime.now(UTC))
                if attempt % 15 == 0:
                    log.error("storing waits for the database", error=str(error).splitlines()[0], attempt=attempt)
                # The connection may be the reason; the next attempt takes a fresh one.
                connection.close()
                self._stopping.wait(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                # Where the tick can still be written, it says that batches cannot.
                self._tick()
                attempt += 1
        return None

    def _drained(self, delivery: Delivery) -> Drained | None:
        self._publisher.marker_arrived()
        marker = decode_marker(delivery.message.payload)
        if marker is None:
            return None
        if self._origin().has_rival(marker):
            self._meet_rival(marker)
        return drained_by(marker, delivery, self._shard)

    def _origin(self) -> Origin:
        return Origin(self._guard.database, self._started_at.timestamp())

    def _meet_rival(self, marker: Marker) -> None:
        """Two bridges take the session from each other, without end unless one gives way: the younger one."""
        gives_way = self._origin().gives_way_to(marker)
        if gives_way or time.monotonic() - self._rival_noted_at > REMIND_S:
            self._rival_noted_at = time.monotonic()
            log.error(
                "another bridge, with another database, uses this session",
                shard=str(self._shard),
                its_start=datetime.fromtimestamp(marker.started_s, UTC).isoformat(timespec="seconds"),
                this_one="ends" if gives_way else "stays",
            )
        if gives_way:
            self._shard_taken()

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked_at < TICK_EVERY_S:
            return
        self._ticked_at = now
        try:
            record_tick(
                f"bridge {self._shard}",
                now=datetime.now(UTC),
                detail=self._meters.detail(now=datetime.now(UTC), now_s=now)
                | {
                    "connected": self._receiver.connected,
                    "queue": self._queue(),
                    "queue_limit": settings.BRIDGE_QUEUE_MESSAGES,
                    "broker_dropped": self._publisher.broker_dropped,
                    "broker_accounts": self._publisher.accounts.has_accounts,
                    "lost_accounts": self._publisher.accounts.lost,
                    "refused_logins": self._publisher.logins and self._publisher.logins.total,
                    "callback_failures": self._receiver.failures,
                    "lost_hints": self._hints.lost,
                    "pid": os.getpid(),
                },
            )
        except DatabaseError as error:
            log.warning("the tick waits for the database", error=str(error).splitlines()[0])
            connection.close()
        close_old_connections()

    def _shard_taken(self) -> None:
        self._exit_code = EXIT_TAKEN
        self.stop()

    def _watch(self) -> None:
        """End the process when a part of it stands still: its supervisor starts it anew, and nothing is lost."""
        while not self._stopping.wait(1.0):
            now = time.monotonic()
            why = None
            if not self._receiver.is_running() and self._ticked_at:
                why = "the receiving thread ended"
            elif not self._publisher.is_running() and self._ticked_at:
                why = "the publishing thread ended"
            elif not self._parser.is_running() and self._ticked_at:
                why = "the parsing thread ended"
            elif now - self._active_at > STUCK_AFTER_S:
                why = "the writer is stuck"
            elif now - self._publisher.active_at > STUCK_AFTER_S:
                why = "the publisher is stuck"
            if why is not None and not self._stopping.is_set():
                log.critical("the bridge ends itself", why=why)
                os._exit(EXIT_STUCK)
