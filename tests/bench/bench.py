"""One call of the bench: its options, its servers, and what it tells while it works."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from tests.bench.backlog import Backlog
from tests.bench.installation import Installation
from tests.bench.options import Options
from tests.bench.servers import Servers

if TYPE_CHECKING:
    from tests.bench.stored import History

Figure = TypeVar("Figure")


class Bench:
    """What every work needs."""

    def __init__(self, options: Options, servers: Servers, console: Console) -> None:
        self.options = options
        self.servers = servers
        self.histories: dict[int, History] = {}
        self._console = console
        self._kept = ExitStack()
        self._began_s = self._said_s = time.monotonic()

    def __enter__(self) -> "Bench":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kept.close()

    def say(self, text: str, *, at_most_every_s: float = 0.0) -> None:
        """Tell the person who waits how far it is, unless something was said less than `at_most_every_s` ago."""
        if time.monotonic() - self._said_s < at_most_every_s:
            return
        self._said_s = time.monotonic()
        minutes, seconds = divmod(int(time.monotonic() - self._began_s), 60)
        self._console.print(f"[{minutes:3}:{seconds:02}] {text}", markup=False, highlight=False)

    def repeat(self, work: Callable[[int], Figure]) -> list[Figure]:
        """Return what `work(run)` returns for each run, from 0 on."""
        figures = []
        for run in range(self.options.runs):
            if self.options.runs > 1:
                self.say(f"  run {run + 1} of {self.options.runs}")
            figures.append(work(run))
        return figures

    @contextmanager
    def installation(self, name: str, *, sensors: int | None = None) -> Iterator[Installation]:
        """Make an installation, and drop it afterwards."""
        installation = Installation(self.servers, name, sensors=sensors or self.options.sensors)
        try:
            yield installation
        finally:
            installation.drop()

    def keep(self, name: str) -> Installation:
        """Make an installation that stays until the bench ends."""
        return self._kept.enter_context(self.installation(name))

    def backlog(self, run: int, *, messages: int, entries: int = 1, sensors: int | None = None) -> Backlog:
        """Return the backlog of run `run`, from -1 on: each is measured after the one before it, as rules expect."""
        backlog = Backlog(messages, entries, sensors or self.options.sensors, 0.0)
        later_runs = self.options.runs - run - 1
        return Backlog(messages, entries, backlog.sensors, time.time() - later_runs * (backlog.span_s + 60))
