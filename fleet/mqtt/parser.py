"""Parses what waits in the inbox while the writer waits for the database: each takes about half of a batch's time."""

import threading
from typing import Final

import msgspec

from fleet.ingest.routes import Part, parse_message
from fleet.mqtt.inbox import Delivery, Inbox

# A batch is whatever is parsed when the writer is free, up to this: enough that the commit no longer counts (measured:
# 500 drain at 9/10 of the rate of 5,000), little enough that a kill costs few redeliveries.
BATCH_MESSAGES: Final = 500
# Entries take about five times the memory of their payload. One batch is being stored while the next one is parsed.
BATCH_BYTES: Final = 2 * 1024 * 1024
# What is parsed before the writer may have it: a few milliseconds of work.
PIECE_MESSAGES: Final = 50
PIECE_BYTES: Final = 128 * 1024


class Parsed(msgspec.Struct, frozen=True):
    """A delivery and what it brings; a marker brings nothing."""

    delivery: Delivery
    part: Part | None


class Parser:
    """Takes from the inbox, in a thread of its own; holds at most about one batch."""

    def __init__(self, inbox: Inbox, *, marker_topic: str) -> None:
        self._inbox = inbox
        self._marker_topic = marker_topic
        self._ready: list[Parsed] = []
        self._bytes = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="parser", daemon=True)

    def start(self) -> None:
        """Begin to parse."""
        self._thread.start()

    def is_running(self) -> bool:
        """Return whether the thread lives."""
        return self._thread.is_alive()

    def take(self, *, timeout_s: float) -> list[Parsed]:
        """Return everything that is parsed, in order of arrival; waits up to `timeout_s` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready, timeout_s)
            taken, self._ready = self._ready, []
            self._bytes = 0
            self._changed.notify()
        return taken

    def stop(self) -> None:
        """End the thread; what is parsed stays unacknowledged, and comes again."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def __len__(self) -> int:
        return len(self._ready)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or (len(self._ready) < BATCH_MESSAGES and self._bytes < BATCH_BYTES)
                )
                if self._stopping:
                    return
            deliveries = self._inbox.take(PIECE_MESSAGES, PIECE_BYTES, timeout_s=0.5)
            parsed = [Parsed(each, self._parse(each)) for each in deliveries]
            with self._changed:
                self._ready += parsed
                self._bytes += sum([len(each.message.payload) for each in deliveries])
                self._changed.notify()

    def _parse(self, delivery: Delivery) -> Part | None:
        message = delivery.message
        return None if message.topic == self._marker_topic else parse_message(message)
