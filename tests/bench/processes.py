"""What processes used: CPU seconds by part, and memory with its peak."""

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

# Reading it costs the watched process about 0.2 ms.
_EVERY_S: Final = 0.1
MIB: Final = 2**20


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds so far of each named process and all of its descendants, ended ones included."""
    used = {}
    for name, pid in pids.items():
        seconds = 0.0
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = each.cpu_times()
                    seconds += times.user + times.system + times.children_user + times.children_system
        used[name] = seconds
    return used


def cpu_between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the difference as details of a run: {"cpu_s bridge": …}."""
    return {f"cpu_s {name}": max(0.0, after[name] - before.get(name, 0.0)) for name in after}


class MemoryWatch:
    """Follows a process' memory while the `with` block runs; figures in MiB.

    rss: what it holds, with all it shares; the kernel keeps its peak. pss: shared pages by their number of sharers,
    which is what the process costs; looked at ten times a second.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.first_rss = 0.0
        self.peak_rss = 0.0
        self.peak_pss = 0.0

    def __enter__(self) -> "MemoryWatch":
        with suppress(OSError):
            # Linux: begin a new peak.
            Path(f"/proc/{self._pid}/clear_refs").write_text("5", encoding="ascii")
        self.first_rss = resident(self._pid)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._look()
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.peak_rss = max(self.peak_rss, _status(self._pid, "VmHWM") or resident(self._pid))
        self.peak_pss = max(self.peak_pss, proportional(self._pid))


def resident(pid: int) -> float:
    """Return the MiB that the process holds now, 0 when it has ended."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / MIB
    except psutil.NoSuchProcess:
        return 0.0


def proportional(pid: int) -> float:
    """Return its proportional set size in MiB; 0 where the system does not tell."""
    with suppress(OSError):
        return _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines(), "Pss") / 1024
    return 0.0


def _status(pid: int, name: str) -> float:
    with suppress(OSError):
        return _kib(Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines(), name) / 1024
    return 0.0


def _kib(lines: Iterable[str], name: str) -> float:
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0.0)
