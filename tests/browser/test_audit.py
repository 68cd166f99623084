"""The audit log in a real browser."""

import json

import pytest
from playwright.sync_api import expect

from sensors import services
from sensors.models import Role
from tests.api.callers import Caller

pytestmark = pytest.mark.browser


def entry(page, text):
    return page.locator("[data-part=entries] tbody tr", has_text=text)


def test_an_owner_reads_filters_and_exports_who_changed_what(open_site, world):
    services.set_member(world.network, user=world.ada, role=Role.OWNER)
    ada, name = Caller(world.ada), world.names[0]
    ada.patch(f"sensors/{name}/", {"name": "<b>Boiler</b>"}, REMOTE_ADDR="192.0.2.7")
    ada.post("tokens/", {"name": "weather page", "days": 1})
    page = open_site().enter(world.ada).go("/")
    page.click("[data-part=user-menu] summary")
    page.get_by_role("link", name="Audit log").click()
    row = entry(page, "<b>Boiler</b>").first
    expect(row).to_contain_text(world.ada.username)
    expect(row).to_contain_text("token test, from 192.0.2.7")
    expect(row).to_contain_text("name: — → <b>Boiler</b>")
    expect(entry(page, "weather page")).to_contain_text("created")

    page.select_option("[name=kind]", "sensor")
    page.fill("[name=search]", "Boiler")
    expect(page.locator("[data-part=entries] tbody tr")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export NDJSON").click()
    assert download.value.suggested_filename == "audit-log.ndjson"
    (line,) = download.value.path().read_text().splitlines()
    assert json.loads(line)["changes"] == [{"field": "name", "before": "", "after": "<b>Boiler</b>"}]

    page.fill("[name=start]", "2099-01-01")
    expect(page.locator("[data-part=entries-empty]")).to_contain_text("Nothing matches")


def test_who_owns_nothing_sees_what_they_did_themselves(site, world):
    Caller(world.ada).post("tokens/", {"name": "weather page", "days": 1})
    page = site.go("/audit/")
    expect(entry(page, "weather page")).to_contain_text("created")
    expect(page.locator("[data-part=entries] tbody tr")).to_have_count(1)


def test_networks_are_offered_whose_entries_the_reader_sees(site, world):
    own = services.create_network(slug=f"own-{world.network.slug}", name="Own", owner=world.ada)
    page = site.go("/audit/")
    expect(page.locator("[name=network] option")).to_have_text(["All networks", own.name])


@pytest.mark.parametrize("day", ["12026-01-01", "275760-09-13", "9999-12-31", "yesterday"])
def test_a_day_that_is_none_hides_nothing_and_breaks_nothing(site, world, day):
    Caller(world.ada).post("tokens/", {"name": "weather page", "days": 1})
    page = site.go(f"/audit/?end={day}")
    expect(entry(page, "weather page")).to_be_visible()
    expect(page.locator("[name=end]")).to_have_attribute("max", "9999-12-31")
