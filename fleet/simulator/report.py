"""What people see while a simulation runs: one line that renews itself on a terminal, plain lines elsewhere."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from typing import Final, TextIO

# Quick enough to look alive, slow enough to read.
TTY_EVERY_S: Final = 1.0
# In a log file every line stays.
PLAIN_EVERY_S: Final = 10.0


class StatusLine:
    """Writes `describe()` to `stream` every few seconds between `start` and `stop`.

    On a terminal the line is written over; elsewhere a line is added, and only if it says something new.
    """

    def __init__(self, stream: TextIO, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe
        self._is_terminal = stream.isatty()
        self._shown = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Write no more, and leave a terminal's cursor on an empty line."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._erase()

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._erase()
        self._stream.write(text + "\n")
        self._stream.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TTY_EVERY_S if self._is_terminal else PLAIN_EVERY_S)
            text = self._describe()
            if self._is_terminal:
                self._erase()
                # A line that wraps could not be erased.
                text = text[: shutil.get_terminal_size().columns - 1]
                self._shown = text
                self._stream.write(text)
            elif text != self._shown:
                self._shown = text
                self._stream.write(text + "\n")
            self._stream.flush()

    def _erase(self) -> None:
        if self._is_terminal and self._shown:
            # Carriage return, then erase to the end of the line.
            self._stream.write("\r\x1b[K")
            self._shown = ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 message` or `1,234 messages`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
