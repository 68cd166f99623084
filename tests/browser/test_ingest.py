"""The page "Ingest" in a real browser, fed by ticks as bridges write them."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from fleet.ingest.meters import Meters
from fleet.ingest.result import BatchResult
from fleet.ingest.routes import InboundMessage
from sensors.activity import record_tick, record_watermark
from sensors.models import ServiceTick, User, Watermark
from tests.browser.pages import Site
from tests.browser.test_appearance import NAMELESS, OVERFLOW

pytestmark = pytest.mark.browser


class FakeBridge:
    """Says what a bridge would, and when it is told to."""

    def __init__(self, shard: str) -> None:
        self.shard = shard
        self.now = timezone.now() - timedelta(seconds=60)
        self.meters = Meters(started_at=self.now)
        self.tick()

    def work(self, messages: int, **rejected: int) -> None:
        """Store so many messages in ten seconds."""
        self.now += timedelta(seconds=10)
        received_at = self.now - timedelta(milliseconds=30)
        batch = [InboundMessage("measurements/s", b"{}", received_at)] * messages
        self.meters.received += messages
        self.meters.took(waiting=messages, now_s=self.now.timestamp())
        result = BatchResult(stored=messages, rejected=rejected)
        self.meters.stored(result, batch, took_s=0.02, committed_at=self.now)
        self.tick()

    def tick(self, **detail: object) -> None:
        """Write the tick; `now` is the bridge's own, which has not reached the present yet."""
        said = self.meters.detail(now=self.now, now_s=self.now.timestamp())
        said |= {"connected": True, "queue": 0, "queue_limit": 2000, "broker_dropped": 0} | detail
        record_tick(f"bridge {self.shard}", now=timezone.now(), detail=said)
        record_tick("worker", now=timezone.now())
        record_tick("beat", now=timezone.now())


@pytest.fixture
def bridge(web) -> Iterator[FakeBridge]:
    """Return the one bridge of the service."""
    yield FakeBridge("0/1")
    ServiceTick.objects.all().delete()
    Watermark.objects.all().delete()


@pytest.fixture
def staff(open_site, world) -> Site:
    """Return a window of somebody who is staff."""
    User.objects.filter(pk=world.ada.pk).update(is_staff=True)
    return open_site(width=1280).enter(world.ada)


def fact(page, term, *, shard="0/1"):
    exactly = page.locator("dt", has_text=re.compile(f"^{term}$"))
    return page.locator(f"[data-shard='{shard}'] dl > div").filter(has=exactly).locator("dd")


def test_the_page_follows_the_bridge_without_reload(staff, bridge):
    bridge.work(100, schema=2)
    page = staff.go("/", live=True)
    page.click("nav >> text=Ingest")
    page.wait_for_url("**/ingest/")
    expect(fact(page, "Stored")).to_have_text("100 entries")
    expect(page.locator(".uplot canvas")).to_have_count(4)
    expect(page.locator("[data-part=rates]")).to_contain_text("10messages/s received")
    expect(page.locator("[data-part=lags]")).to_contain_text("ms")
    expect(page.locator("[data-part=refused] tbody")).to_have_text("schema2100 %")
    expect(page.locator("[data-part=notices] .notice")).to_have_count(0)
    bridge.work(300, schema=1, not_flat=3)
    expect(fact(page, "Stored")).to_have_text("400 entries")
    expect(page.locator("[data-part=rates]")).to_contain_text("20messages/s received")
    expect(page.locator("[data-part=refused] tbody tr")).to_have_count(2)
    expect(fact(page, "Queue, most in a minute")).to_have_text("300 of 2,000")


def test_what_is_wrong_is_said_at_the_top_and_goes_away(staff, bridge):
    page = staff.go("/ingest/")
    expect(page.locator("[data-shard='0/1'] .pill")).to_have_text("connected")
    now = timezone.now()
    bridge.meters.failed(now=now - timedelta(minutes=2))
    bridge.now = now
    bridge.tick(broker_dropped=12)
    notices = page.locator("[data-part=notices]")
    expect(notices).to_contain_text("Bridge: the database refuses what it is to store.")
    expect(notices).to_contain_text("Broker: has dropped 12 messages since it started.")
    expect(page.locator("[data-shard='0/1'] .pill")).to_have_text("the database refuses")
    bridge.work(1)
    expect(notices.locator(".notice")).to_have_count(0)
    bridge.tick(connected=False)
    expect(notices).to_contain_text("Broker: the bridge is not connected to it.")


def test_every_shard_has_its_card_and_an_earlier_set_goes(staff, bridge):
    bridge.work(5)
    page = staff.go("/ingest/")
    expect(page.locator("[data-shard]")).to_have_count(1)
    shards = [FakeBridge("0/2"), FakeBridge("1/2")]
    record_watermark("0/2", drained_until=timezone.now())
    expect(page.locator("[data-shard] h2")).to_have_text(["Bridge 0/2", "Bridge 1/2"])
    expect(page.locator(".uplot canvas")).to_have_count(8)
    expect(fact(page, "For other shards", shard="1/2")).to_have_text("0")
    for shard in shards:
        shard.work(50)
    expect(page.locator("[data-part=rates]")).to_contain_text("10messages/s received")


def test_before_any_bridge_has_run_it_says_so(staff, web):
    page = staff.go("/ingest/")
    expect(page.locator("[data-part=notices]")).to_contain_text("No bridge has run yet")
    expect(page.locator("[data-part=refused]")).to_contain_text("Nothing was refused")


def test_a_server_that_goes_away_is_said_with_how_old_the_numbers_are(open_site, own_web, world, bridge):
    bridge.work(7)
    User.objects.filter(pk=world.ada.pk).update(is_staff=True)
    site = open_site(server=own_web).enter(world.ada)
    site.expected |= {"ERR_CONNECTION_REFUSED", "WebSocket connection", "Failed to load resource"}
    page = site.go("/ingest/", live=True)
    expect(fact(page, "Stored")).to_have_text("7 entries")
    own_web.stop()
    expect(page.locator("[data-part=notices]")).to_contain_text("The service does not say how ingest is.")
    own_web.start()
    bridge.work(7)
    expect(fact(page, "Stored")).to_have_text("14 entries", timeout=30_000)
    expect(page.locator("[data-part=notices] .notice")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_it_fits_its_window_and_the_charts_follow_the_scheme(staff, bridge, width):
    bridge.work(1_500, schema=2, timestamp_out_of_range=3)
    page = staff.go("/ingest/")
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_selector(".uplot canvas")
    expect(page.locator("[data-part=figures][aria-busy]")).to_have_count(0)
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(NAMELESS) == []
    page.emulate_media(color_scheme="light")
    before = page.evaluate("document.querySelector('.uplot canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(before) => document.querySelector('.uplot canvas').toDataURL() !== before", arg=before)
