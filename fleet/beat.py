"""The schedule's clock, which says in the database that it runs."""

import time
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from celery.beat import PersistentScheduler
from django.db import DatabaseError, connection

from sensors.activity import record_tick

log = structlog.get_logger(__name__)

TICK_EVERY_S: Final = 2.0


class TickingScheduler(PersistentScheduler):
    """Celery's own scheduler; `/readyz` reads its tick, and a stale one has it restarted."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ticked_at = 0.0
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> float:
        """Send what is due; return the seconds until the next look."""
        now = time.monotonic()
        if now - self._ticked_at >= TICK_EVERY_S:
            self._ticked_at = now
            try:
                record_tick("beat", now=datetime.now(UTC))
            except DatabaseError as error:
                log.warning("the tick waits for the database", error=str(error).splitlines()[0])
                connection.close()
        return min(super().tick(*args, **options), TICK_EVERY_S)
