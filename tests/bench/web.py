"""One HTTP connection that stays open, as a program has it."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from tests.bench.installation import Running

_CHUNK_BYTES: Final = 64 * 1024


class Web:
    """Requests with a bearer token over one kept connection to the web process."""

    def __init__(self, running: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=300)
        self._headers = {"Authorization": f"Bearer {running.installation.token}"}

    def get(self, path: str) -> Any:
        """Return the answer's JSON; None for 404. `path` is below /api/v1/, or a whole address as in `next`."""
        status, body = self._ask("GET", path)
        return None if status == 404 else json.loads(body)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer's JSON."""
        return json.loads(self._ask("POST", path, None if body is None else json.dumps(body).encode())[1])

    def delete(self, path: str) -> None:
        """Delete it; RuntimeError if it is not there."""
        status, _ = self._ask("DELETE", path)
        if status == 404:
            raise RuntimeError(f"{path} was answered with 404")

    def time_ms(self, path: str) -> float:
        """Return how long a request takes from its first byte sent to the answer's last byte read."""
        began_s = time.perf_counter()
        self._ask("GET", path)
        return 1_000 * (time.perf_counter() - began_s)

    def stream(self, path: str) -> Iterator[bytes]:
        """Yield the answer's bytes as they come."""
        self._connection.request("GET", _target(path), headers=self._headers)
        answer = self._connection.getresponse()
        _check(answer.status, path)
        while chunk := answer.read(_CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, _target(path), body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        _check(answer.status, path)
        return answer.status, content


def _target(path: str) -> str:
    if not path.startswith("http"):
        return f"/api/v1/{path}"
    parts = urlsplit(path)
    return f"{parts.path}?{parts.query}"


def _check(status: int, path: str) -> None:
    if status >= 400 and status != 404:
        raise RuntimeError(f"{path} was answered with {status}")
