"""One supervisor per data folder."""

import fcntl
import os
from pathlib import Path

from .errors import StackError


class DataLock:
    """A lock that the system releases when this process ends, in whatever way."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock; raises StackError that names the process which has it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StackError(
                f"Fleet is already running on the data in {self._path.parent} (pid {holder}). End it with Ctrl-C "
                f"in its terminal or with `kill {holder}`, or start a second one with a FLEET_DATA_DIR of its own."
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
