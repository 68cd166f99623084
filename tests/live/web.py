"""A real daphne process, and clients of its WebSocket that are not ours."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client as DjangoClient
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from fleet.stack.ports import random_free_port
from sensors import services
from sensors.models import User
from tests.bridges import database_url
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
# When what is sent happened, where that does not matter.
AT = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


class WebProcess:
    """`daphne fleet.asgi:application`, or another application, against the test's database."""

    def __init__(
        self,
        *,
        log: Path,
        ping_interval_s: int = 20,
        ping_timeout_s: int = 30,
        application: str = "fleet.asgi:application",
        **environment: str,
    ) -> None:
        self.port = random_free_port()
        self.log = log
        self._application = application
        self._pings = ["--ping-interval", str(ping_interval_s), "--ping-timeout", str(ping_timeout_s)]
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "DATABASE_POOL_SIZE": "8",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "LIVE_RECHECK_S": "1",
            "PYTHONFAULTHANDLER": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Return host and port as a browser's Host header has them."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> "WebProcess":
        """Start it and wait until it answers."""
        arguments = ["-b", "127.0.0.1", "-p", str(self.port), *self._pings, self._application]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "daphne", *arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._answers, 30, "daphne to answer")
        return self

    def get(self, path: str, *, timeout_s: float = 10.0, **headers: str) -> tuple[int, str]:
        """Return status and body of a GET."""
        request = urllib.request.Request(f"http://{self.host}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> None:
        """End it if it runs; AssertionError with all threads' stacks if it does not end by itself."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)
                self.process.wait(5)
                raise AssertionError(f"daphne did not end: {self.text()[-10_000:]}") from None

    def text(self) -> str:
        """Return what it logged."""
        return self.log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(self.text()[-5_000:])
        try:
            self.get("/healthz", timeout_s=2)
        except OSError:
            return False
        return True


class Socket:
    """A client of `/ws/live/`, by token unless something else is given."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def __enter__(self) -> "Socket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; a server that does not answer is not waited for."""
        with contextlib.suppress(Exception):
            self.connection.close()

    def send(self, **message: Any) -> None:
        """Send a message as JSON."""
        self.connection.send(json.dumps(message))

    def receive(self, timeout_s: float = 10.0) -> dict[str, Any]:
        """Return the next frame."""
        return json.loads(self.connection.recv(timeout=timeout_s))

    def receive_until(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 10.0) -> list[dict[str, Any]]:
        """Return the frames up to and with the first that is `wanted`."""
        frames: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout_s
        while not frames or not wanted(frames[-1]):
            try:
                frames.append(self.receive(max(0.01, deadline - time.monotonic())))
            except TimeoutError:
                raise AssertionError(f"not among {len(frames)} frames: {frames[-3:]}") from None
        return frames

    def receive_kind(self, kind: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """Return the next frame of this type, passing over others."""
        return self.receive_until(lambda frame: frame["type"] == kind, timeout_s)[-1]

    def silent(self, for_s: float = 0.5) -> bool:
        """Return whether nothing arrives for so long."""
        try:
            self.connection.recv(timeout=for_s)
        except TimeoutError:
            return True
        return False


def open_socket(
    web: WebProcess,
    user: User | None = None,
    *,
    secret: str | None = None,
    session: DjangoClient | None = None,
    origin: str | None = None,
    sensors: list[str] | None = None,
    networks: list[str] | None = None,
    path: str = "/ws/live/",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Socket:
    """Return an open socket: with a new token of `user`, with `secret`, or with a browser's session and origin."""
    query = urlencode({"sensor": sensors or [], "network": networks or []}, doseq=True)
    sent = dict(headers or {})
    if user is not None:
        _, secret = services.create_token(user, name="test", days=1)
    if secret is not None:
        sent["Authorization"] = f"Bearer {secret}"
    if session is not None:
        sent["Cookie"] = f"sessionid={session.cookies['sessionid'].value}"
    connection = connect(
        f"ws://{web.host}{path}?{query}",
        origin=origin,
        additional_headers=sent,
        open_timeout=10,
        close_timeout=1,
        max_size=None,
        # The environment may name a proxy, which is not for loopback.
        proxy=None,
        **options,
    )
    return Socket(connection)


def log_in(user: User) -> DjangoClient:
    """Return a browser with a session of `user`."""
    client = DjangoClient()
    client.force_login(user)
    return client


def closed_with(socket: Socket, timeout_s: float = 10.0) -> int:
    """Return the code with which the server closes the socket; frames before are passed over."""
    with pytest.raises(ConnectionClosed) as ended:
        socket.receive_until(lambda frame: False, timeout_s)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code
