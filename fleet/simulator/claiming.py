"""Simulated sensors that introduce themselves: each claims its place over HTTP and waits for its login."""

import asyncio
import contextlib
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from fleet.mqtt.device import Credentials

TIMEOUT_S: Final = 10.0
# After an answer that names no time, and when there was none.
RETRY_S: Final = 5.0
# Requests under way at once: a hall of devices, not an attack.
AT_ONCE: Final = 10
_LATER: Final = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ClaimError(Exception):
    """The service does not let the sensors in; the text says what it answered."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the service answered; status 0: nothing, and `body` says why."""

    status: int
    body: dict[str, Any]
    retry_s: float


async def claim_places(
    identifiers: Sequence[str],
    *,
    url: str,
    code: str,
    stop: asyncio.Event,
    keep: Callable[[str, Credentials], None],
    say: Callable[[str], None],
) -> None:
    """Return when all sensors were admitted, or `stop` was set.

    url: of the service, without a path. keep: called with each identifier and its login, which is given out this once;
    say: with what people are to know. Raises ClaimError for a `url` that is none, and when some of them are refused,
    once the others were admitted.
    """
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ClaimError(f"{url!r} is not where a service is; its address is like http://127.0.0.1:8000")
    slots = asyncio.Semaphore(AT_ONCE)
    told: set[str] = set()

    async def claim(identifier: str) -> str | None:
        """Return why it is refused; None when it was admitted or `stop` was set."""
        # A real device makes it once and keeps it over restarts.
        proof = secrets.token_urlsafe(24)
        claimed = {"claim_code": code, "identifier": identifier, "proof": proof}
        while not stop.is_set():
            async with slots:
                answer = await asyncio.to_thread(_post, f"{url.rstrip('/')}/api/v1/claims/", claimed)
            if answer.status == HTTPStatus.OK:
                keep(identifier, Credentials(answer.body["username"], answer.body["password"]))
                return None
            words = _words(answer.body)
            if not answer.status and words not in told:
                told.add(words)
                say(f"{url} does not answer ({words}); trying again.")
            if answer.status and answer.status != HTTPStatus.ACCEPTED and answer.status not in _LATER:
                say(f"{identifier} is refused: {answer.status} {words}")
                return f"{identifier}: {answer.status} {words}"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), answer.retry_s)
        return None

    say(f"{len(identifiers)} sensors ask {url} for their places; admit them on its page Claims.")
    if refused := [why for why in await asyncio.gather(*map(claim, identifiers)) if why is not None]:
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        raise ClaimError(f"{refused[0]}{more}")


def check_takes_lines(path: Path) -> None:
    """Return if `keep_in` may add to the file; ClaimError where it is JSON, which a line would break."""
    if path.read_text(encoding="utf-8").lstrip().startswith("["):
        raise ClaimError(f"{path} is JSON, and logins are added as lines: name another file for them")


def keep_in(path: Path, identifier: str, login: Credentials) -> None:
    """Add a line `identifier password` to the file at `path`, which from then on only its owner can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    with path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        text = file.read()
        begin = "\n" if text and not text.endswith("\n") else ""
        file.write(f"{begin}{identifier} {login.password}\n")


def _post(url: str, body: dict[str, str]) -> _Answer:
    """Return the service's answer, or that there was none."""
    request = urllib.request.Request(  # noqa: S310 - whoever runs the simulator names the address
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return _read(response.status, response.read(), response.headers.get("Retry-After"))
    except urllib.error.HTTPError as error:
        return _read(error.code, error.read(), error.headers.get("Retry-After"))
    except (OSError, HTTPException) as error:
        return _Answer(0, {"detail": str(getattr(error, "reason", None) or error or type(error).__name__)}, RETRY_S)


def _read(status: int, text: bytes, retry_after: str | None) -> _Answer:
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    retry_s = float(retry_after) if retry_after and retry_after.isdigit() else RETRY_S
    return _Answer(status, body if isinstance(body, dict) else {}, retry_s)


def _words(body: dict[str, Any]) -> str:
    return str(body.get("detail") or "; ".join(f"{field}: {texts}" for field, texts in body.items()))
