"""Child processes end with their parent, however that ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fleet.stack import processes
from fleet.stack.environment import CHECKOUT
from fleet.stack.processes import ChildProcess, Program, describe_end, last_lines, spawn
from tests.waiting import wait_until

SLEEP = ["/bin/sleep", "300"]


def alive(pid: int) -> bool:
    """Return whether `pid` runs; one that has ended and that nobody has reaped does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ChildProcess]:
    child = spawn(Program(SLEEP, cwd=tmp_path, log_path=tmp_path / "log"))
    yield child
    child.stop([])


def test_a_child_runs_in_a_session_of_its_own(sleeper: ChildProcess) -> None:
    assert os.getsid(sleeper.pid) == sleeper.pid


def test_a_child_may_open_many_files(tmp_path: Path) -> None:
    shell = ["/bin/sh", "-c", "ulimit -n"]
    child = spawn(Program(shell, cwd=tmp_path, log_path=tmp_path / "log"))
    assert child.wait(10)
    limit = (tmp_path / "log").read_text().strip()
    assert limit == "unlimited" or int(limit) > 1024


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    children: list[ChildProcess] = []
    program = Program(SLEEP, cwd=tmp_path, log_path=tmp_path / "log")
    thread = threading.Thread(target=lambda: children.append(spawn(program)))
    thread.start()
    thread.join()
    assert not children[0].wait(0.3)
    children[0].stop([])


def test_stopping_tries_each_signal_and_kills_at_last(tmp_path: Path) -> None:
    stubborn = ["/bin/sh", "-c", "trap '' TERM; echo ready; while true; do sleep 0.05; done"]
    log = tmp_path / "log"
    child = spawn(Program(stubborn, cwd=tmp_path, log_path=log))
    wait_until(log.read_text, what="the trap to be set")
    assert not child.stop([(signal.SIGTERM, 0.2)])
    assert describe_end(child.returncode) == "SIGKILL"
    gentle = spawn(Program(SLEEP, cwd=tmp_path, log_path=log))
    assert gentle.stop([(signal.SIGTERM, 10)])
    assert describe_end(gentle.returncode) == "SIGTERM"


def test_a_program_that_does_not_exist_ends_with_a_reason_in_its_log(tmp_path: Path) -> None:
    child = spawn(Program(["/nonexistent/program"], cwd=tmp_path, log_path=tmp_path / "log"))
    assert child.wait(10)
    assert child.returncode == 1
    assert "cannot run /nonexistent/program: No such file or directory" in last_lines(tmp_path / "log")


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert last_lines(log, count=2) == "line 9998\nline 9999"
    assert last_lines(tmp_path / "none") == ""


PARENT = """
import sys, time
from pathlib import Path
from fleet.stack import processes
processes.HAS_PARENT_DEATH_SIGNAL = sys.argv[2] == "kernel"
from fleet.stack.processes import Program, spawn
folder = Path(sys.argv[1])
child = spawn(Program(["/bin/sleep", "300"], cwd=folder, log_path=folder / "log"))
# The exec has happened when the command line is sleep's.
while "sleep" not in Path(f"/proc/{child.pid}/cmdline").read_text().split(chr(0))[0]:
    time.sleep(0.01)
print(child.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(not processes.HAS_PARENT_DEATH_SIGNAL, reason="compares with the kernel's own signal")
@pytest.mark.parametrize("way", ["kernel", "watcher"])
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path, way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), way], cwd=CHECKOUT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watchers = [process.pid for process in psutil.Process(child).children()]
        assert len(watchers) == (0 if way == "kernel" else 1)
        parent.kill()
    wait_until(lambda: not any(alive(pid) for pid in (child, *watchers)), what="the child's end")


def test_a_watcher_ends_with_what_it_watches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "HAS_PARENT_DEATH_SIGNAL", False)
    child = spawn(Program(SLEEP, cwd=tmp_path, log_path=tmp_path / "log"))
    (watcher,) = wait_until(lambda: psutil.Process(child.pid).children(), what="the watcher")
    child.stop([(signal.SIGTERM, 5)])
    wait_until(lambda: not alive(watcher.pid), what="the watcher's end")


SERVERS = """
import sys, time
from pathlib import Path
from tests.servers import make_place, make_postgres, make_valkey, make_mosquitto, make_amqtt
place = make_place(Path(sys.argv[1]))
servers = [make(place) for make in (make_postgres, make_valkey, make_mosquitto, make_amqtt)]
for server in servers:
    server.start()
print(*(server.process.pid for server in servers), flush=True)
time.sleep(300)
"""


@pytest.mark.fault
def test_no_server_and_none_of_its_children_outlives_a_killed_parent(own_place: object, tmp_path: Path) -> None:
    folder = own_place.root.parent / "killed"  # type: ignore[attr-defined]
    with subprocess.Popen([sys.executable, "-c", SERVERS, str(folder)], cwd=CHECKOUT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 4
        family = [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
        # PostgreSQL has children of its own.
        assert set(pids) < set(family)
        parent.kill()
    started_s = time.monotonic()
    wait_until(lambda: [pid for pid in family if alive(pid)] == [], what="the end of all servers")
    assert time.monotonic() - started_s < 5
