"""docs/websocket.md names what the code has, with its numbers."""

import re

import pytest
from django.conf import settings

from fleet import consumers
from fleet.live import access, limits, outbox, requests, snapshot
from sensors import live
from sensors.live import sender
from tests.live.web import ROOT

TEXT = (ROOT / "docs" / "websocket.md").read_text()


@pytest.mark.parametrize(
    "code",
    [
        *(access.NOT_LOGGED_IN, access.NOT_ALLOWED, consumers.TOO_MANY_MESSAGES, consumers.TOO_MANY_SOCKETS),
        *(consumers.TRY_LATER, consumers.FAILED, 1009),
    ],
)
def test_every_close_code_has_a_row(code: int):
    assert f"| {code} |" in TEXT


def test_every_error_code_is_named():
    sources = [(ROOT / "fleet" / name).read_text() for name in ("consumers.py", "live/requests.py")]
    codes = {code for source in sources for code in re.findall(r'(?:MessageError|_reply_error)\("(\w+)"', source)}
    assert codes == {"not_found", "malformed", "too_long", "too_many"}
    assert all(f"`{code}`" in TEXT for code in codes)


def test_numbers_are_those_of_the_code():
    assert f"more than {consumers.MAX_WAITING} messages" in TEXT
    assert (consumers.MAX_SUBSCRIPTIONS, snapshot.MAX_SENSORS, snapshot.MAX_ALERTS) == (1000, 1000, 1000)
    assert f"{requests.MAX_MESSAGE_BYTES // 1024} KiB are in one" in TEXT
    assert f"beyond {requests.MAX_READ_BYTES // 1024} KiB none of it is read" in TEXT
    assert f"more than {requests.MAX_READ_BYTES // 1024} KiB was announced" in TEXT
    assert f"or {limits.MAX_HANDSHAKES} handshakes wait" in TEXT
    assert f"`LIVE_SOCKETS_PER_USER` sockets ({settings.LIVE_SOCKETS_PER_USER})" in TEXT
    assert f"{outbox.WINDOW_FRAMES} frames or {outbox.WINDOW_BYTES // 1024**2} MiB" in TEXT
    assert f"{outbox.RATE_BYTES_PER_S // 1024} KiB/s after the first {outbox.RATE_BURST_BYTES // 1024**2} MiB" in TEXT
    assert f"at most {live.ITEMS_PER_FRAME}" in TEXT
    assert f"within {sender.REST_STEADY_S * 1000:g} ms" in TEXT
    assert f"up to {sender.REST_MOST_S * 1000:g} ms" in TEXT
    assert f"Beyond {1 / sender.REST_PER_FLOODING_EVENT_S:,.0f} events/s" in TEXT
    assert f"more than {sender.ITEMS_PER_S:,} entries a second" in TEXT
