"""A small disk for PostgreSQL's files, which a test fills up."""

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

# The tables and partitions take about 60 MB, the write-ahead log up to five segments of 16 MB in these tests.
SIZE = "300m"


class SmallDisk:
    """A filesystem in memory, mounted at a folder that exists."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def mount(self) -> None:
        """Mount it, or skip the test where that is not allowed."""
        if os.geteuid() != 0:
            pytest.skip("only root may mount the small disk that this test fills")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "fleet-test", str(self._folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Leave no byte, and take at once whatever becomes free (the log's segments come and go) until `free`."""
        self._ending.clear()
        self._take_all()
        self._thread = threading.Thread(target=self._keep_full, daemon=True)
        self._thread.start()

    def free(self) -> None:
        """Give the room back."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._ballast.unlink(missing_ok=True)

    def _keep_full(self) -> None:
        while not self._ending.wait(0.05):
            self._take_all()

    def _take_all(self) -> None:
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))

    def unmount(self) -> None:
        """Take it away with everything on it, also when something still runs there."""
        self.free()
        subprocess.run(["umount", "--lazy", str(self._folder)], check=False)
