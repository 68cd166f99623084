"""Streams over a real daphne: as fast as their reader, and never complete when they are not."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.stack.ports import random_free_port
from tests.telemetry.streaming_app import CHUNK
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
# What the connection holds besides the reader: Twisted's 64 KiB and the kernel's buffers on both sides.
BUFFERED_CHUNKS = 128


class Daphne:
    """A daphne that serves `streaming_app`."""

    def __init__(self, log: Path) -> None:
        self.port = random_free_port()
        self.log = log
        arguments = ["-b", "127.0.0.1", "-p", str(self.port)]
        application = "tests.telemetry.streaming_app:application_of_this_server"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daphne", *arguments, application],
                cwd=ROOT,
                env=dict(os.environ),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        wait_until(self.answers, 20, "daphne to answer")

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.state()[0] >= 0
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    def state(self) -> tuple[int, list[str]]:
        """Return how many chunks were sent so far, and what ended streams."""
        sent, _, ended = self.get("/state").decode().partition(" ")
        return int(sent), ended.split(",") if ended else []

    def open(self, path: str) -> socket.socket:
        """Return a connection that has asked for `path` and reads nothing yet."""
        reader = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        reader.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        return reader


@pytest.fixture(scope="module")
def shared_daphne(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daphne]:
    daphne = Daphne(tmp_path_factory.mktemp("daphne") / "log")
    yield daphne
    daphne.process.terminate()
    daphne.process.wait(15)


@pytest.fixture
def daphne(shared_daphne: Daphne) -> Daphne:
    return shared_daphne


def read_to_the_end(reader: socket.socket) -> None:
    while reader.recv(65_536):
        pass


def test_a_whole_answer_arrives_and_the_connection_serves_the_next_request(daphne: Daphne) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", daphne.port, timeout=10)
    for _ in range(2):
        connection.request("GET", "/whole")
        assert connection.getresponse().read() == CHUNK * 40
    connection.close()


def test_a_reader_who_reads_nothing_holds_the_stream_back_and_is_left_after_a_while(daphne: Daphne) -> None:
    before, ended = daphne.state()

    reader = daphne.open("/endless")
    wait_until(lambda: len(daphne.state()[1]) > len(ended), 10, "the stream to be ended")

    after, ended_by_now = daphne.state()
    assert ended_by_now[-1] == "ReaderStalledError"
    assert 0 < after - before <= BUFFERED_CHUNKS
    with pytest.raises(ConnectionResetError):
        read_to_the_end(reader)
    reader.close()


def test_a_reader_who_reads_gets_on_at_its_own_pace(daphne: Daphne) -> None:
    before, ended = daphne.state()
    stalled = ended.count("ReaderStalledError")
    reader = daphne.open("/endless")
    read = 0

    for _ in range(200):
        read += len(reader.recv(65_536))
        assert daphne.state()[0] - before <= read / len(CHUNK) + BUFFERED_CHUNKS

    assert daphne.state()[1].count("ReaderStalledError") == stalled
    reader.close()


def test_a_reader_who_goes_away_ends_the_stream(daphne: Daphne) -> None:
    _, ended = daphne.state()
    reader = daphne.open("/endless")
    assert reader.recv(65_536)

    reader.close()

    wait_until(lambda: len(daphne.state()[1]) > len(ended), 5, "the stream to be ended")
    assert daphne.state()[1][-1] == "ConnectionAbortedError"


def test_a_stream_that_fails_is_broken_off_and_the_server_goes_on(daphne: Daphne) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        daphne.get("/fails")

    assert daphne.state()[1][-1] == "RuntimeError"
    assert "a stream broke off" in daphne.log.read_text()
    # daphne answers for what fails before it began, which it no longer does once its clean-up has failed.
    assert b"500 Internal Server Error" in daphne.get("/refuses")
    assert daphne.get("/whole") == CHUNK * 40
