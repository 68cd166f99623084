"""A page that finds all of its reader's live connections taken."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.pages import LIVE
from tests.live.web import WebProcess

pytestmark = pytest.mark.browser


@pytest.fixture
def narrow_web(django_db_setup: None, django_db_blocker: Any, tmp_path: Path) -> Iterator[WebProcess]:
    """Return a daphne that gives each user one live connection."""
    with django_db_blocker.unblock():
        web = WebProcess(log=tmp_path / "web.log", LIVE_SOCKETS_PER_USER="1").start()
        yield web
        web.stop()


def test_it_says_so_asks_seldom_and_is_live_once_there_is_a_place(narrow_web, open_site, world):
    first = open_site(server=narrow_web).enter(world.ada)
    first.go("/", live=True)
    second = open_site(server=narrow_web).enter(world.ada)
    opened: list[str] = []
    second.page.on("websocket", lambda socket: opened.append(socket.url))
    second.page.clock.install()
    page = second.go("/")
    connection = page.locator("[data-part=connection]")
    expect(connection).to_have_text("Not live")
    expect(connection).to_have_attribute("title", "You have as many live pages open as one person may have."
                                         " Close some; this one asks again by itself.")  # fmt: skip
    # The rows are there all the same.
    expect(page.locator(f"tr[data-key='{world.names[0]}']")).to_be_visible()
    # Its next try is 15 to 30 seconds away; one that came back at once would have tried several times by then.
    page.clock.run_for(14_000)
    assert len(opened) == 1
    for _ in range(17):
        if len(opened) == 1:
            page.clock.run_for(1_000)
    assert len(opened) == 2
    first.page.close()
    # As when its network comes back, it asks at once; the server may not have heard of the other's end yet.
    asked = f"() => {{ dispatchEvent(new Event('online')); return document.querySelector('{LIVE}') !== null; }}"
    page.wait_for_function(asked, polling=500)
    expect(connection).to_have_attribute("title", "")
