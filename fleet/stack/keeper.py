"""Keeps one part of the stack running."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from .errors import StackError
from .processes import last_lines

# At once the first time, because most ends are single ones; then ever slower, so that a part that cannot live
# neither fills the log nor takes the processor.
BACKOFF_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Who lived this long was well: the next end counts as the first.
WELL_AFTER_S: Final = 60.0
# Shown with the end of the log at this many ends in a row, and again at every so many.
SHOW_LOG_AT: Final = 3
SHOW_LOG_EVERY: Final = 10


class Part(Protocol):
    """A server or a service."""

    log_path: Path

    @property
    def title(self) -> str: ...

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def wait(self) -> str: ...


class Keeper:
    """Starts `part` and starts it again whenever it ends, until `stop`.

    report: gets a line for the person at each end; called from the keeper's thread.
    """

    def __init__(self, part: Part, *, report: Callable[[str], None]) -> None:
        self.part = part
        # Ends in a row, the short-lived ones.
        self.failures = 0
        self.started_at_s = time.monotonic()
        self._report = report
        self._stopping = threading.Event()
        self._asked = False
        self._thread = threading.Thread(target=self._run, name=f"keeper-{part.title}", daemon=True)

    def start(self) -> None:
        """Begin; a part that is running already is taken over."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the part in good order and wait for its end."""
        self._stopping.set()
        self.part.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def restart(self, reason: str) -> None:
        """Stop the part because of `reason`; it is started again at once."""
        self._report(f"{self.part.title} {reason}: starting it again")
        self._asked = True
        self.part.stop()

    def uptime_s(self) -> float:
        """Return for how many seconds the part has been running since its last start."""
        return time.monotonic() - self.started_at_s

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.started_at_s = time.monotonic()
            try:
                if not self.part.running:
                    self.part.start()
                how = None
            except (StackError, OSError) as error:
                how = str(error).split("\n", 1)[0]
            if self._stopping.is_set():
                # Somebody stopped it between the look above and its start.
                self.part.stop()
                return
            self._after_end(how or f"ended ({self.part.wait()})")

    def _after_end(self, how: str) -> None:
        if self._stopping.is_set():
            return
        if self._asked:
            self._asked = False
            return
        self.failures = 1 if self.uptime_s() >= WELL_AFTER_S else self.failures + 1
        delay_s = BACKOFF_S[min(self.failures - 1, len(BACKOFF_S) - 1)]
        self._report(f"{self.part.title} {how}: starting it again" + (f" in {delay_s:g} s" if delay_s else ""))
        if self.failures == SHOW_LOG_AT or self.failures % SHOW_LOG_EVERY == 0:
            log = self.part.log_path
            self._report(f"{self.part.title} keeps ending. From {log}:\n{last_lines(log)}")
        self._stopping.wait(delay_s)
