"""Signals that end the supervisor, as something that its main thread can wait for."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Final, Self

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked to end; not an Exception, so that nothing on the way takes it for an error."""


class EndSignals:
    """From `with` on, SIGINT, SIGTERM and SIGHUP are counted instead of ending the process.

    Handlers only count, and a socket wakes the main thread: a lock taken in a handler could be one that the main
    thread holds.
    """

    def __init__(self) -> None:
        self.count = 0
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._previous: dict[signal.Signals, object] = {}
        self._previous_fd = -1

    def __enter__(self) -> Self:
        self._previous_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in _ENDING:
            # nohup asks to outlive the terminal. SIGINT is taken even if ignored, as shells start background jobs.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._count)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._previous_fd)
        self._reader.close()
        self._writer.close()

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def wait(self, timeout_s: float) -> None:
        """Return after `timeout_s` seconds, or as soon as a signal comes."""
        readable, _, _ = select.select([self._reader], [], [], timeout_s)
        if readable:
            self._reader.recv(4096)

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.count:
            raise Interrupted
