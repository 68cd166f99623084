"""docker/healthcheck.py against a real HTTP server that answers as /healthz and /readyz do."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .broker import REPOSITORY

FIT = {"database": {"fit": True}, "redis": {"fit": True}, "broker": {"fit": True}}


class Web:
    """Answers every GET with `status` and `body`, and remembers the Host headers."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.hosts: list[str] = []
        self.paths: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.hosts.append(self.headers["Host"])
                outer.paths.append(self.path)
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, parts: dict[str, Any]) -> None:
        ready = all(part["fit"] for part in parts.values())
        self.status = 200 if ready else 503
        self.body = json.dumps({"ready": ready, "parts": parts}).encode()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Container:
    """What the health check meets in a container: its temporary folder, the program, and web on the network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web = Web()
        # Stands for the part of the service that runs here.
        self.program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])

    def runs(self, part: str, *, since_s: float = 0) -> None:
        """Leave what entrypoint.sh leaves when it starts `part`, as if it had done so `since_s` ago."""
        path = self.folder / "fleet-part"
        path.write_text(f"{part} {self.program.pid}\n")
        started = time.time() - since_s
        os.utime(path, (started, started))

    def check(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, REPOSITORY / "docker/healthcheck.py", self.web.address],
            env={"TMPDIR": str(self.folder), "ALLOWED_HOSTS": "*, .example.org,b.org"},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def lives(self) -> bool:
        return self.program.poll() is None


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    # Looks every 20 ms whether to end; the default of half a second would be most of the test.
    threading.Thread(target=container.web.server.serve_forever, args=[0.02], daemon=True).start()
    yield container
    container.web.end()
    container.program.kill()
    container.program.wait()


def test_web_is_healthy_while_it_answers(container: Container) -> None:
    container.runs("web")
    assert container.check().returncode == 0
    assert container.web.paths == ["/healthz"]
    # Django answers 400 to a host that is not allowed.
    assert container.web.hosts == ["example.org"]
    container.web.status = 500
    assert container.check().returncode == 1
    container.web.end()
    done = container.check()
    assert done.returncode == 1
    assert "answered 0" in done.stdout


@pytest.mark.parametrize("part", ["bridge", "worker", "beat"])
def test_a_part_is_healthy_while_readiness_says_so_of_it(container: Container, part: str) -> None:
    container.runs(part)
    # Another's failure makes readiness red, not this container.
    container.web.says({**FIT, "broker": {"fit": False}, part: {"fit": True, "age_s": 0.8}})
    assert container.check().returncode == 0
    container.web.says({**FIT, part: {"fit": False, "age_s": 31.0}})
    done = container.check()
    assert done.returncode == 1
    assert "31.0" in done.stdout
    assert container.lives


@pytest.mark.parametrize("part", ["worker", "beat"])
@pytest.mark.parametrize("age_s", [121.0, None])
def test_a_worker_that_hangs_is_killed_to_be_started_again(
    container: Container, part: str, age_s: float | None
) -> None:
    container.runs(part, since_s=200)
    container.web.says({**FIT, part: {"fit": False, "age_s": age_s}})
    done = container.check()
    assert done.returncode == 1
    assert "killed" in done.stdout
    assert container.program.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("part", "parts", "since_s"),
    [
        # It has only just started.
        ("worker", {**FIT, "worker": {"fit": False, "age_s": 500.0}}, 60),
        # Its tick is late, not hopeless.
        ("worker", {**FIT, "worker": {"fit": False, "age_s": 60.0}}, 200),
        # It cannot work without its servers.
        ("worker", {**FIT, "database": {"fit": False}, "worker": {"fit": False, "age_s": 500.0}}, 200),
        ("beat", {**FIT, "redis": {"fit": False}, "beat": {"fit": False, "age_s": 500.0}}, 200),
        # It has a watchdog of its own.
        ("bridge", {**FIT, "bridge": {"fit": False, "age_s": 500.0}}, 200),
    ],
)
def test_nothing_else_is_killed(container: Container, part: str, parts: dict[str, Any], since_s: float) -> None:
    container.runs(part, since_s=since_s)
    container.web.says(parts)
    assert container.check().returncode == 1
    assert container.lives


@pytest.mark.parametrize(("status", "body"), [(200, b"{}"), (200, b"[]"), (503, b"no json"), (301, b"")])
def test_an_answer_that_says_nothing_of_the_part_is_unhealthy_and_kills_nobody(
    container: Container, status: int, body: bytes
) -> None:
    container.runs("worker", since_s=200)
    container.web.status, container.web.body = status, body
    done = container.check()
    assert done.returncode == 1
    assert "worker" in done.stdout
    assert container.lives


def test_a_container_that_runs_no_part_is_healthy(container: Container) -> None:
    assert container.check().returncode == 0
    assert container.web.paths == []
