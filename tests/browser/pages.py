"""The pages as a person uses them, and what sensors send meanwhile."""

import json
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import ConsoleMessage, Page, Request

from fleet.ingest.batch import ingest_batch
from fleet.ingest.live import announce
from fleet.ingest.routes import InboundMessage
from sensors.models import User

LIVE = "[data-part=connection][data-state=live]"


class Site:
    """One window, and everything that went wrong in it."""

    def __init__(self, page: Page, host: str) -> None:
        self.page = page
        self.host = host
        self.problems: list[str] = []
        # Parts of messages that the test provokes; Chromium reports each refused request on the console.
        self.expected: set[str] = set()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self._under_way = 0
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_end)

    def enter(self, user: User) -> "Site":
        """Let the window have a session of `user`, without the form."""
        client = Client()
        client.force_login(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        url = f"http://{self.host}"
        self.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": url}])
        return self

    def go(self, path: str, *, live: bool = False) -> Page:
        """Open the page at `path`; with `live` wait until it hears of events."""
        self.page.goto(f"http://{self.host}{path}")
        if live:
            self.page.wait_for_selector(LIVE)
        return self.page

    def settle(self) -> None:
        """Wait until the page has asked for all that it wants to show."""
        for _ in range(200):
            # Playwright hears of the page only while it waits.
            self.page.wait_for_timeout(50)
            if not self._under_way:
                return
        raise AssertionError(f"{self._under_way} requests are still under way")

    def text(self, selector: str) -> str:
        """Return the text that is shown there."""
        return self.page.inner_text(selector)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error" and "Content Security Policy" not in message.text:
            return
        if not any(part in message.text for part in self.expected):
            # What could not be loaded is named by its location alone.
            self.problems.append(f"console: {message.text} {message.location.get('url', '')}")

    def _on_end(self, _request: Request) -> None:
        self._under_way -= 1

    def _on_request(self, request: Request) -> None:
        self._under_way += 1
        if not request.url.startswith((f"http://{self.host}/", f"ws://{self.host}/", "data:")):
            self.problems.append(f"another host: {request.url}")


def deliver(topic: str, **body: Any) -> None:
    """Store a sensor's message as the bridge does, and tell live views."""
    message = InboundMessage(topic=topic, payload=json.dumps(body).encode(), received_at=timezone.now())
    announce(ingest_batch([message], now=timezone.now()))


def measure(identifier: str, *, ago_s: float = 0.0, revision: int = 0, **value: Any) -> None:
    """Deliver one measurement that was taken `ago_s` seconds ago."""
    at_s = timezone.now().timestamp() - ago_s
    deliver(f"measurements/{identifier}", measurements=[{"revision": revision, "timestamp": at_s, "value": value}])


def log(identifier: str, subject: str, *, severity: str = "warning", details: str = "") -> None:
    """Deliver one log message."""
    entry = {
        "severity": severity,
        "revision": 0,
        "timestamp": timezone.now().timestamp(),
        "subject": subject,
        "details": details,
    }
    deliver(f"log-messages/{identifier}", log_messages=[entry])


def answer(identifier: str, revision: int, *, success: bool = True) -> None:
    """Deliver one heartbeat."""
    entry = {"revision": revision, "timestamp": timezone.now().timestamp(), "success": success}
    deliver(f"heartbeats/{identifier}", heartbeats=[entry])
