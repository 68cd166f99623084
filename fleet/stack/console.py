"""What the supervisor tells the person in front of it."""

import contextlib
import sys
import time
from typing import TextIO

from rich.console import Console as RichConsole
from rich.status import Status
from rich.text import Text


class Console:
    """Lines and, on a terminal, a moving line of what is going on. Thread-safe; never raises."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._rich = RichConsole(file=file or sys.stdout, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._started_s: dict[str, float] = {}

    def line(self, text: str, *, style: str = "") -> None:
        """Print `text` as it is."""
        # A reader that has gone (`up | head`) must not end the stack.
        with contextlib.suppress(OSError, ValueError):
            self._rich.print(Text(text, style=style))
            self._rich.file.flush()

    def warn(self, text: str) -> None:
        """Print something that needs attention."""
        self.line(text, style="yellow")

    def begin(self, step: str) -> None:
        """Say that `step` is going on; several may be at once."""
        self._started_s[step] = time.monotonic()
        self._show()

    def finish(self, step: str, outcome: str = "") -> None:
        """Print that `step` is done, with the seconds that it took."""
        seconds = time.monotonic() - self._started_s.pop(step)
        self._show()
        self.line(f"  {outcome or step:<58} {seconds:5.1f} s")

    def clear(self) -> None:
        """Forget unfinished steps."""
        self._started_s.clear()
        self._show()

    def _show(self) -> None:
        if not self._rich.is_terminal:
            return
        if not self._started_s:
            if self._status is not None:
                self._status.stop()
                self._status = None
        elif self._status is None:
            self._status = self._rich.status(", ".join(self._started_s))
            self._status.start()
        else:
            self._status.update(", ".join(self._started_s))
