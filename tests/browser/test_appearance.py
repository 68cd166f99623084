"""How the pages look and feel to everybody: both colour schemes, phones, keyboards, screen readers."""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from alerts.models import Notification
from alerts.services import create_rule
from config.services import create_revision
from sensors.models import User
from tests.alerts.making import (
    make_bridge_rule,
    make_gateway,
    make_gateway_rule,
    make_rate,
    make_staleness,
    make_target,
    make_threshold,
)
from tests.alerts.making_logs import make_log_rule
from tests.browser.making import make_alert
from tests.browser.pages import log, measure

pytestmark = pytest.mark.browser

WIDTHS = (1440, 1024, 768, 360)
GROUND = "getComputedStyle(document.documentElement).backgroundColor"
# WCAG 2.2, 1.4.3: text 4.5:1; 1.4.11: parts of graphics and edges of controls 3:1.
TEXTS = [
    ("--text", "--surface"),
    ("--text", "--ground"),
    ("--text", "--sunken"),
    ("--text", "--accent-ground"),
    ("--text-soft", "--surface"),
    ("--text-soft", "--ground"),
    ("--text-soft", "--sunken"),
    ("--text-soft", "--raised"),
    ("--text-soft", "--hover"),
    ("--text-soft", "--accent-ground"),
    ("--accent", "--surface"),
    ("--accent", "--ground"),
    ("--on-accent", "--accent"),
    ("--on-accent", "--accent-strong"),
    ("--surface", "--down"),
    ("--up", "--up-ground"),
    ("--late", "--late-ground"),
    ("--down", "--down-ground"),
    ("--down", "--surface"),
    ("--new", "--new-ground"),
    ("--info", "--info-ground"),
    ("--text", "--up-ground"),
    ("--text", "--late-ground"),
    ("--text", "--down-ground"),
]
GRAPHICS = [("--edge", "--surface"), ("--focus", "--surface"), *((f"--series-{n}", "--surface") for n in range(1, 9))]
CONTRASTS = """(pairs) => {
  const probe = document.createElement("span");
  document.body.append(probe);
  const light = (token) => {
    probe.style.color = `var(${token})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const share = Number(part) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return pairs.map(([one, other]) => {
    const [dark, bright] = [light(one), light(other)].sort((left, right) => left - right);
    return (bright + 0.05) / (dark + 0.05);
  });
}"""
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
# What of the bar reaches beyond the window, or into what stands after it.
ESCAPING = """() => {
  const parts = [...document.querySelectorAll(".brand, .nav a, .bar-end")];
  const boxes = parts.map((element) => [element.textContent.trim(), element.getBoundingClientRect()]);
  const inside = (box) => box.left >= 0 && box.right <= innerWidth;
  const apart = (one, other) => one.right <= other.left + 1 || other.right <= one.left + 1
    || one.bottom <= other.top || other.bottom <= one.top;
  const meets = ([, box], index) => boxes.some(([, other], at) => at !== index && !apart(box, other));
  return boxes.filter((part, index) => !inside(part[1]) || meets(part, index)).map(([words]) => words);
}"""
NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")]
  .filter((element) => element.checkVisibility() && element.type !== "hidden")
  .filter((element) => !(element.textContent.trim() || element.getAttribute("aria-label")
    || element.labels?.length || element.getAttribute("aria-labelledby")))
  .map((element) => element.outerHTML)"""


def furnish(world):
    """Give the first sensor something of everything."""
    name = world.names[0]
    for ago_s in range(600, 0, -60):
        measure(name, ago_s=ago_s, temperature=20 + ago_s / 100, humidity=40, a_rather_long_attribute_name="text " * 20)
    log(name, "A subject that goes on and on " * 6, details="line\n" * 5)
    create_revision(world.sensors[0], values={"key": "value " * 20}, author=world.ada, now=timezone.now())
    target = make_target(world.network, "json://1.1.1.1/hook", name="A name that goes on and on " * 5)
    alerts = [make_alert(rule, about=about, value=0, detail="On and on. " * 40) for rule, about in watched(world)]
    for alert in alerts:
        Notification.objects.create(
            alert=alert,
            target=target,
            event="escalation",
            created_at=alert.created_at,
            due_at=alert.created_at,
            last_error="An error that goes on and on " * 10,
        )
    pages = ["/", f"/sensors/{name}/", "/alerts/", "/rules/", "/notifications/", "/networks/"]
    pages += ["/claims/", "/account/", "/tokens/", "/audit/"]
    return [*pages, *(f"/alerts/{alert.pk}/" for alert in alerts)]


def watched(world):
    """Return a rule of each kind, and what an alert by it is about."""
    network, sensor = world.network, world.sensors[0]
    return [
        (make_threshold(network, name="A rule that goes on and on " * 5), sensor),
        (make_rate(network, above=1.0), sensor),
        (make_staleness(network), sensor),
        (make_gateway_rule(network), make_gateway(network)),
        (make_bridge_rule(network), None),
        (make_log_rule(network, log_severity="info"), sensor),
        (create_rule(network, name="Refused", kind="configuration_failure", author=None), sensor),
    ]


def settle(page):
    # As a function: a bare expression would need eval, which the content security policy refuses.
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_and_graphics_stands_out_enough(open_site, scheme):
    page = open_site(color_scheme=scheme).go("/login/")
    for pairs, least in ((TEXTS, 4.5), (GRAPHICS, 3.0)):
        found = dict(zip(pairs, page.evaluate(CONTRASTS, pairs), strict=True))
        assert {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < least} == {}


def test_the_scheme_follows_the_system_until_the_reader_chooses(open_site, world):
    site = open_site(color_scheme="dark").enter(world.ada)
    page = site.go("/", live=True)
    dark = page.evaluate(GROUND)
    page.emulate_media(color_scheme="light")
    light = page.evaluate(GROUND)
    assert dark != light
    toggle = page.locator("[data-part=theme]")
    toggle.click()
    expect(toggle).to_have_attribute("aria-label", "Colour scheme: light")
    toggle.click()
    expect(toggle).to_have_attribute("aria-label", "Colour scheme: dark")
    assert page.evaluate(GROUND) == dark
    # Kept over pages, and there before anything is painted.
    site.go("/rules/")
    assert page.evaluate(GROUND) == dark


def test_charts_change_their_colours_with_the_scheme(open_site, world):
    furnish(world)
    site = open_site(color_scheme="light").enter(world.ada)
    page = site.go(f"/sensors/{world.names[0]}/", live=True)
    page.wait_for_selector(".uplot canvas")
    settle(page)
    before = page.evaluate("document.querySelector('.uplot canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(before) => document.querySelector('.uplot canvas').toDataURL() !== before", arg=before)


def test_every_page_fits_its_window_and_every_control_has_a_name(site, world):
    for path in furnish(world):
        page = site.go(path, live=True)
        settle(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(OVERFLOW) <= 0, (path, width)
            assert page.evaluate(NAMELESS) == [], path
        assert page.locator("h1").count() == 1
        assert page.locator("main").count() == 1


def test_the_bar_has_room_for_the_pages_of_staff(site, world):
    User.objects.filter(pk=world.ada.pk).update(is_staff=True)
    page = site.go("/ingest/", live=True)
    expect(page.locator("nav a")).to_have_count(6)
    page.locator("[data-part=alert-count]").evaluate("badge => { badge.hidden = false; badge.textContent = '1,234'; }")
    page.locator("nav [data-part=claim-count]").evaluate(
        "badge => { badge.hidden = false; badge.textContent = '99+'; }"
    )
    # Just above the width below which the pages move to the bottom, too.
    for width in (*WIDTHS, 801):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(OVERFLOW) <= 0, width
        assert page.evaluate(ESCAPING) == [], width


def test_a_dialog_takes_the_keyboard_and_gives_it_back(site, world):
    page = site.go("/", live=True)
    settle(page)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    add = page.locator("[data-part=page-actions] button")
    add.focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog input[name=identifier]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(add).to_be_focused()


def test_a_row_that_changes_keeps_the_keyboards_focus(site, world):
    page = site.go("/", live=True)
    link = page.locator(f"tr[data-key='{world.names[0]}'] a")
    link.focus()
    measure(world.names[0], temperature=12.5)
    expect(page.locator(f"tr[data-key='{world.names[0]}']")).to_contain_text("12.5")
    expect(link).to_be_focused()


def test_times_are_the_readers_with_their_zone(open_site, world):
    measure(world.names[0], temperature=1)
    site = open_site(timezone_id="Asia/Kabul").enter(world.ada)
    site.go("/", live=True)
    assert site.text(".foot") == "Times in Asia/Kabul (GMT+4:30)"
    seen = site.page.locator(f"tr[data-key='{world.names[0]}'] time")
    assert seen.inner_text() == "now" or seen.inner_text().endswith("s ago")
    assert seen.get_attribute("title").endswith("GMT+4:30")
