"""Parts that end or stop working are started again."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.stack.errors import StackError
from fleet.stack.health import Patience, Readiness, at_fault
from fleet.stack.keeper import BACKOFF_S, Keeper
from fleet.stack.processes import ChildProcess, Program, describe_end, spawn
from tests.waiting import wait_until


class Script:
    """A part that runs a shell script."""

    title = "script"

    def __init__(self, folder: Path, script: str) -> None:
        self.log_path = folder / "script.log"
        self.starts = 0
        self.process: ChildProcess | None = None
        self._program = Program(["/bin/sh", "-c", script], cwd=folder, log_path=self.log_path)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> None:
        self.starts += 1
        self.process = spawn(self._program)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop([])

    def wait(self) -> str:
        assert self.process is not None
        self.process.wait()
        return describe_end(self.process.returncode)


class Hopeless(Script):
    """A part whose start fails."""

    def start(self) -> None:
        self.starts += 1
        raise StackError("did not answer in time\nand more")


@pytest.fixture
def kept() -> Iterator[list[Keeper]]:
    keepers: list[Keeper] = []
    yield keepers
    for keeper in keepers:
        keeper.stop()


def test_a_part_that_is_killed_is_started_again_at_once(tmp_path: Path, kept: list[Keeper]) -> None:
    part, reports = Script(tmp_path, "exec sleep 300"), []
    kept.append(Keeper(part, report=reports.append))
    kept[0].start()
    wait_until(lambda: part.running, what="the part to run")
    assert part.process is not None
    first = part.process
    first.stop([])
    wait_until(lambda: part.process is not first and part.running, 2, what="another process")
    assert reports == ["script ended (SIGKILL): starting it again"]


def test_a_part_that_cannot_live_is_tried_ever_slower_and_its_log_is_shown(tmp_path: Path, kept: list[Keeper]) -> None:
    part, reports = Script(tmp_path, "echo no good reason; exit 70"), []
    kept.append(Keeper(part, report=reports.append))
    kept[0].start()
    wait_until(lambda: len(reports) >= 4, what="three ends")
    assert reports[:3] == [
        "script ended (exit code 70): starting it again",
        "script ended (exit code 70): starting it again in 1 s",
        "script ended (exit code 70): starting it again in 2 s",
    ]
    assert reports[3].startswith(f"script keeps ending. From {part.log_path}:\n")
    assert reports[3].endswith("no good reason")
    assert kept[0].failures == 3


def test_a_start_that_fails_counts_as_an_end(tmp_path: Path, kept: list[Keeper]) -> None:
    part, reports = Hopeless(tmp_path, ""), []
    kept.append(Keeper(part, report=reports.append))
    kept[0].start()
    wait_until(lambda: len(reports) >= 2, what="two attempts")
    assert reports[0] == "script did not answer in time: starting it again"


def test_stopping_ends_the_part_and_does_not_wait_for_the_next_attempt(tmp_path: Path) -> None:
    part = Script(tmp_path, "exit 1")
    keeper = Keeper(part, report=lambda _line: None)
    keeper.start()
    wait_until(lambda: keeper.failures == 3, what="a long pause")
    started_s = time.monotonic()
    keeper.stop()
    assert time.monotonic() - started_s < BACKOFF_S[2] / 2
    starts = part.starts
    assert not part.running
    assert threading.active_count() < 50
    assert part.starts == starts


def test_a_part_that_is_asked_to_start_again_does_so_without_a_pause(tmp_path: Path, kept: list[Keeper]) -> None:
    part, reports = Script(tmp_path, "exec sleep 300"), []
    kept.append(Keeper(part, report=reports.append))
    kept[0].start()
    for number in range(1, 4):
        wait_until(lambda: part.running and part.starts == number, 2, what=f"start {number}")  # noqa: B023
        kept[0].restart("has not worked for a minute")
    wait_until(lambda: part.starts == 4, 2, what="the fourth start")
    assert kept[0].failures == 0
    assert reports == ["script has not worked for a minute: starting it again"] * 3


# --- Health --------------------------------------------------------------------------------------


def readiness(**fit: bool) -> Readiness:
    parts = dict.fromkeys(("database", "redis", "broker", "bridge", "worker", "beat"), True) | fit
    return Readiness(all(parts.values()), parts)


def test_a_service_is_at_fault_only_while_the_servers_that_it_needs_are_fit() -> None:
    assert at_fault(None) == set()
    assert at_fault(readiness()) == set()
    assert at_fault(readiness(bridge=False, worker=False)) == {"bridge", "worker"}
    assert at_fault(readiness(bridge=False, worker=False, beat=False, redis=False)) == {"bridge"}
    assert at_fault(readiness(bridge=False, worker=False, broker=False)) == {"worker"}
    assert at_fault(readiness(worker=False, beat=False)) == {"beat"}
    assert at_fault(readiness(bridge=False, worker=False, beat=False, database=False)) == set()


def test_ticks_from_before_the_start_make_nobody_ready() -> None:
    parts = {"bridge": True, "worker": True}
    assert not Readiness(True, parts, {"bridge": 0.1, "worker": 3.0}).ready_since(2.0)
    assert Readiness(True, parts, {"bridge": 0.1, "worker": 3.0}).ready_since(4.0)
    assert not Readiness(False, parts, {"bridge": 0.1, "worker": 0.2}).ready_since(4.0)


def test_patience_ends_after_an_unbroken_fault_only_and_once() -> None:
    patience = Patience(limit_s=60)
    looks = [(0, True), (50, True), (55, False), (60, True), (119, True), (120, True), (121, True), (181, True)]
    ended = [now_s for now_s, fault in looks if patience.ends("worker", at_fault=fault, now_s=now_s)]
    assert ended == [120, 181]


def test_patience_counts_each_part_by_itself() -> None:
    patience = Patience(limit_s=60)
    assert not patience.ends("worker", at_fault=True, now_s=0)
    assert not patience.ends("beat", at_fault=True, now_s=30)
    assert patience.ends("worker", at_fault=True, now_s=60)
    assert not patience.ends("beat", at_fault=True, now_s=60)
