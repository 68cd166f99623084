"""How simulated sensors ask for their places: against an HTTP server that answers as it is told."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleet.mqtt.device import Credentials
from fleet.simulator.broker import read_passwords
from fleet.simulator.claiming import ClaimError, check_takes_lines, claim_places, keep_in

Answers = dict[str, tuple[int, dict[str, Any]]]
Serve = Callable[[Answers], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a service with an answer for each identifier, and returns its address."""
    running: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                claimed = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = answers[claimed["identifier"]]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def ask(
    url: str, *identifiers: str, until: Callable[[str], bool] = lambda _: False
) -> tuple[dict[str, str], list[str]]:
    """Return the passwords that were given out and what people were told; ends when `until` is true of a text."""
    kept: dict[str, str] = {}
    said: list[str] = []

    async def run() -> None:
        stop = asyncio.Event()

        def say(text: str) -> None:
            said.append(text)
            if until(text):
                stop.set()

        def keep(identifier: str, login: Credentials) -> None:
            kept[identifier] = login.password

        try:
            await claim_places(identifiers, url=url, code="c", stop=stop, keep=keep, say=say)
        except ClaimError as error:
            said.append(f"error: {error}")

    asyncio.run(run())
    return kept, said


def admitted(identifier: str) -> tuple[int, dict[str, Any]]:
    return 200, {"username": identifier, "password": f"of-{identifier}"}


def test_who_is_refused_costs_nobody_else_the_login(serve: Serve) -> None:
    url = serve({"s-1": (403, {"detail": "no such code"}), "s-2": admitted("s-2"), "s-3": (403, {"detail": "no"})})
    kept, said = ask(url, "s-1", "s-2", "s-3")
    assert kept == {"s-2": "of-s-2"}
    assert said[-1] == "error: s-1: 403 no such code, and 1 more"
    assert "s-1 is refused: 403 no such code" in said


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://", "fleet.example.org"])
def test_an_address_that_is_none_is_named_at_once(url: str) -> None:
    assert ask(url, "s-1")[1] == [
        f"error: {url!r} is not where a service is; its address is like http://127.0.0.1:8000"
    ]


@pytest.mark.parametrize(
    ("url", "why"), [("http://127.0.0.1:1", "refused"), ("http://127.0.0.1:80x", "nonnumeric port")]
)
def test_that_nothing_answers_is_told_with_the_reason(url: str, why: str) -> None:
    kept, said = ask(url, "s-1", until=lambda text: "does not answer" in text)
    assert kept == {}
    assert why in said[-1]


def test_logins_are_added_by_the_line_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text("s-1 first")
    path.chmod(0o644)
    for number in (2, 3):
        keep_in(path, f"s-{number}", Credentials(f"s-{number}", f"of-{number}"))
    assert {name: login.password for name, login in read_passwords(path).items()} == {
        "s-1": "first",
        "s-2": "of-2",
        "s-3": "of-3",
    }
    assert path.stat().st_mode & 0o777 == 0o600
    check_takes_lines(path)


def test_a_json_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "passwords.json"
    path.write_text('[{"username": "s-1", "password": "p"}]')
    with pytest.raises(ClaimError, match=r"passwords\.json is JSON"):
        check_takes_lines(path)
