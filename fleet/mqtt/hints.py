"""Hints to the workers that samples wait; best effort, from a thread of its own because Redis may hang."""

import threading
from collections.abc import Iterable
from typing import Final

import structlog

from fleet.celery import app

log = structlog.get_logger(__name__)

# The first hint leaves at once. Under load the next ones wait this long, because what a worker does costs as much for
# each sensor and rule as some twenty samples, however many samples of that sensor have come together.
EVERY_S: Final = 0.4


class Hints:
    """Sends the lanes that have something new to Celery, as few messages as go through.

    The queue itself is in the database, and a tick looks into it every second: a lost hint costs that second.
    """

    def __init__(self) -> None:
        self._lanes: set[int] = set()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self.lost = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def give(self, lanes: Iterable[int]) -> None:
        """Note that these lanes have work; returns at once."""
        with self._changed:
            self._lanes.update(lanes)
            self._changed.notify()

    def stop(self) -> None:
        """End, without waiting for a Redis that hangs."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lanes or self._stopping)
                if self._stopping:
                    return
                lanes, self._lanes = sorted(self._lanes), set()
            try:
                # A hint that waited longer than the tick is of no use.
                app.send_task("alerts.tasks.evaluate_lanes", args=[lanes], retry=False, expires=5)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with Redis, ingest goes on
                self.lost += 1
                if self.lost % 100 == 1:
                    log.warning("a hint to the workers was lost; their tick finds the work", error=str(error)[:200])
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, EVERY_S)
