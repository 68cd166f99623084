"""A real HTTP server that takes what notification targets are sent, and says what a test wants it to say."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What came, oldest first, and what is answered. host: where it listens on this machine."""

    def __init__(self, host: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 204
        self.lock = threading.Lock()
        self.location = ""
        # Held by a test: who is asked answers when it is released.
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Event()
        self.server = ThreadingHTTPServer((host, 0), self._handler())
        self.host, self.port = host, self.server.server_port

    def url(self, path: str = "hook-SECRET") -> str:
        """Return an address of apprise's that leads here, with a secret in it."""
        return f"json://user:PASSWORD@{self.host}:{self.port}/{path}"

    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    receiver.paths.append(self.path)
                    receiver.messages.append(json.loads(body))
                receiver.arrived.set()
                receiver.gate.wait(20)
                self._answer()

            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                self._answer()

            def _answer(self) -> None:
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Yield a receiver that listens until the end of the block."""
    receiver = Receiver(host)
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join(10)
