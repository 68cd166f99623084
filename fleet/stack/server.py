"""What all servers of the local stack have in common."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from .errors import PortTakenError, StackError
from .processes import ChildProcess, Program, describe_end, last_lines, spawn

# A cold machine that recovers a database takes seconds; a minute without an answer is a failure.
START_TIMEOUT_S: Final = 60.0
# While it starts: another program on its port may accept a connection and never answer.
START_PROBE_TIMEOUT_S: Final = 1.0
# Two local requests per server and second at most, and no start is held up by more than this.
PROBE_EVERY_S: Final = 0.05
RETRY_START_AFTER_S: Final = 0.2
PROBE_TIMEOUT_S: Final = 5.0


class Server(ABC):
    """One server program: its address, its files, its process.

    `start` returns when the server has answered a real request. A stopped one can be started again with the same
    port and data. Not thread-safe, except that `stop` may be called while another thread is in `start`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    # Signal and seconds, in this order, before SIGKILL.
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10.0),)

    def __init__(self, *, host: str, port: int, log_path: Path) -> None:
        self.host = host
        self.port = port
        self.log_path = log_path
        self.process: ChildProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address with login, as in DATABASE_URL, REDIS_URL or MQTT_URL."""

    @property
    @abstractmethod
    def release(self) -> str:
        """The program's own release number, "" if it does not say."""

    @abstractmethod
    def probe(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> None:
        """Make the server answer a real request; raises StackError when it does not within `timeout_s`."""

    @abstractmethod
    def _program(self) -> Program:
        """Return what to run; writes the files that it reads."""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the server and wait until it answers.

        Raises PortTakenError, or StackError with the end of the server's log; then nothing is left running.
        """
        deadline = time.monotonic() + timeout_s
        while not self._start_once(deadline):
            pass

    def _start_once(self, deadline: float) -> bool:
        """Start it; False if it ended for a reason that passes by itself, and should be started again."""
        if self.running:
            return True
        offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        process = self.process = spawn(self._program())
        while not self._answers():
            if process.wait(PROBE_EVERY_S):
                output = _text_from(self.log_path, offset)
                if self._may_retry(output) and time.monotonic() < deadline:
                    # The last processes of a killed server are ending; they are nobody's children here to wait for.
                    time.sleep(RETRY_START_AFTER_S)
                    return False
                if self._port_taken(output):
                    raise PortTakenError(f"{self.title}: {self.host}:{self.port} is taken by another program.")
                raise StackError(self._trouble(f"ended while starting ({describe_end(process.returncode)})"))
            if time.monotonic() > deadline:
                self.stop()
                raise StackError(self._trouble("did not answer in time"))
        return True

    def _answers(self) -> bool:
        try:
            self.probe(timeout_s=START_PROBE_TIMEOUT_S)
        except StackError as error:
            if advice := self._hopeless(error):
                self.stop()
                raise StackError(advice) from error
            return False
        # Another program's answer on the same port proves nothing about a process that has ended.
        return self.running

    def _hopeless(self, error: StackError) -> str:
        """Return what a person must do about `error`, an answer to a probe; "" when waiting is enough."""
        return ""

    def _may_retry(self, output: str) -> bool:
        """Return whether `output`, what a start that failed wrote, says that trying again is enough."""
        return False

    def _port_taken(self, output: str) -> bool:
        """Return whether `output`, what a start that failed wrote, says that another program has its port."""
        return "address already in use" in output.lower()

    def _trouble(self, what: str) -> str:
        return f"{self.title} {what}. The end of {self.log_path}:\n{last_lines(self.log_path)}"

    def stop(self) -> None:
        """Stop the server in good order and wait for its end; does nothing when it is not running."""
        if self.process is not None:
            self.process.stop(self.stop_steps)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it with `number` and wait for its end, as tests and hung servers need."""
        if self.process is not None:
            self.process.send(number)
            self.process.wait()

    def wait(self) -> str:
        """Wait until the process has ended and return how."""
        if self.process is None:
            return "not started"
        self.process.wait()
        return describe_end(self.process.returncode)


def _text_from(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "replace")
