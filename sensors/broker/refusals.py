"""Refused logins in the log: seen, and never so many lines that they hide the rest."""

import threading
import time
from typing import Final

import structlog

log = structlog.get_logger(__name__)

# One line in so long, whoever guesses however fast.
LINE_EVERY_S: Final = 10.0
# Of those who were refused meanwhile so many are named.
_NAMED: Final = 5
# What strangers may write into the log: texts of theirs are cut to this.
_CHARACTERS: Final = 64


class RefusalLog:
    """Counts refused logins and warns of them, at once of the first, then in one line every LINE_EVERY_S."""

    def __init__(self, *, reminds_itself: bool = False) -> None:
        """reminds_itself: nobody calls `tell`; a timer does, for as long as something waits."""
        self._reminds_itself = reminds_itself
        self._timer: threading.Timer | None = None
        self.total = 0
        self._waiting = 0
        self._named: list[dict[str, str]] = []
        self._said_at = float("-inf")
        self._lock = threading.Lock()

    def note(self, *, now_s: float, **who: str) -> None:
        """Take in one refused login; now_s: monotonic. who: what is known of it, in texts of a stranger's."""
        named = {key: value[:_CHARACTERS] for key, value in who.items() if value}
        with self._lock:
            self.total += 1
            self._waiting += 1
            if len(self._named) < _NAMED and named not in self._named:
                self._named.append(named)
        self.tell(now_s=now_s)
        if self._reminds_itself:
            self._remind()

    def tell(self, *, now_s: float) -> None:
        """Write the line that is due, if there is one."""
        with self._lock:
            if not self._waiting or now_s - self._said_at < LINE_EVERY_S:
                return
            count, named = self._waiting, self._named
            self._waiting, self._named, self._said_at = 0, [], now_s
        log.warning("logins were refused at the broker", count=count, some=named)

    def _remind(self) -> None:
        with self._lock:
            if not self._waiting or (self._timer is not None and self._timer.is_alive()):
                return
            self._timer = threading.Timer(LINE_EVERY_S, self._tell_later)
            self._timer.daemon = True
            self._timer.start()

    def _tell_later(self) -> None:
        with self._lock:
            self._timer = None
        self.tell(now_s=time.monotonic())
        # What has just come in while the line was not due yet by a hair.
        self._remind()
