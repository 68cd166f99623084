"""The admin's scripts do what they are for, under a policy that lets nothing be evaluated."""

import csv

import pytest
from playwright.sync_api import expect

from sensors.models import User
from sensors.services.credentials import hashed_secrets

pytestmark = pytest.mark.browser


@pytest.fixture
def site(open_site, world):
    return open_site().enter(User.objects.create_superuser(f"root-{world.network.slug}"))


@pytest.fixture
def page(site):
    return site.go("/admin/sensors/sensor/")


def test_filters_open_and_close(page):
    sheet = page.locator("#changelist-filter")
    expect(sheet).to_be_hidden()
    page.locator("[x-on\\:click='filterOpen = true']").click()
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()


def test_the_sidebar_goes_and_stays_away(page):
    apps = page.locator("#nav-sidebar-apps")
    expect(apps).to_be_visible()
    page.locator("[x-on\\:click*=sidebarDesktopOpen]:visible").first.click()
    expect(apps).to_be_hidden()
    page.reload()
    expect(apps).to_be_hidden()
    page.locator("[x-on\\:click*=sidebarDesktopOpen]:visible").first.click()
    expect(apps).to_be_visible()


def test_the_users_menu_opens_and_the_scheme_changes(page):
    page.locator("[x-on\\:click*=openUserLinks]").last.click()
    expect(page.get_by_text("Log out")).to_be_visible()
    # From whatever the system has to light, and on.
    page.keyboard.press("Control+e")
    page.keyboard.press("Control+e")
    page.wait_for_function("() => document.documentElement.classList.contains('dark')")


def test_a_chosen_row_offers_what_can_be_done_with_it(page):
    actions = page.locator("select[name=action]")
    expect(actions).to_be_hidden()
    page.locator("input.action-select").first.check()
    expect(actions).to_be_visible()


def test_new_credentials_are_shown_and_downloaded_and_the_question_is_gone(page, world):
    page.goto(page.url + f"?q={world.names[0]}")
    page.locator("input.action-select").first.check()
    page.locator("select[name=action]").select_option("issue_credentials")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("button", name="Yes, I’m sure").click()
    expect(page.locator("#content")).to_contain_text("1 new credential: done.")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download them as CSV").click()
    assert download.value.suggested_filename == "credentials.csv"
    [row] = csv.DictReader(download.value.path().open())
    assert hashed_secrets()[world.names[0]].matches(row["password"])
    expect(page.get_by_role("cell", name=row["password"])).to_be_visible()
    # On a phone, too, nothing of it is beyond the edge.
    page.set_viewport_size({"width": 390, "height": 800})
    shown = page.get_by_role("cell", name=row["password"]).bounding_box()
    assert shown is not None
    assert shown["x"] + shown["width"] <= 390
    expect(page.get_by_role("button", name="Yes, I’m sure")).to_have_count(0)


def test_the_policy_lets_nothing_be_evaluated(site, page):
    site.expected.update({"'script-src' was not explicitly set", "Evaluating a string as JavaScript"})
    # By the page itself: what the browser's driver evaluates is not asked.
    evaluated = """() => new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI), { once: true });
      setTimeout("resolve('it ran')");
    })"""
    assert page.evaluate(evaluated) == "eval"
