"""Rejected messages on the sensor's page, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from sensors import services
from sensors.models import Role
from telemetry.models import Measurement, RejectedMessage
from tests.browser.pages import deliver, measure

pytestmark = pytest.mark.browser


def rejected_tab(page: Page):
    page.get_by_role("tab", name="Rejected messages").click()
    return page.locator("#tab-panel")


def test_what_came_before_the_sensor_was_made_is_taken_in_by_a_button(site, world):
    name = f"{world.names[0]}-late"
    measure(name, t=1)
    sensor = services.create_sensor(world.network, identifier=name)
    deliver(f"measurements/{name}", measurements=5)
    site.expected = {"status of 409 "}
    page = site.go(f"/sensors/{name}/")
    panel = rejected_tab(page)
    expect(panel.locator("tbody tr")).to_have_count(2)

    panel.locator("summary", has_text="no sensor has the identifier").click()
    panel.get_by_role("button", name="Take in again").click()

    expect(page.locator("[data-part=toasts]")).to_contain_text("Taken in: 1 new entry.")
    expect(panel.locator("tbody tr")).to_have_count(1)
    assert Measurement.objects.get(sensor_id=sensor.pk).value == {"t": 1}

    panel.locator("summary").click()
    panel.get_by_role("button", name="Take in again").click()
    expect(page.locator("[data-part=toasts]")).to_contain_text("Refused again as schema")
    assert RejectedMessage.objects.filter(sensor_id=sensor.pk).count() == 1


def test_who_only_reads_and_what_was_only_counted_have_no_button(open_site, world, settings):
    settings.REJECTED_PER_SENSOR_AND_HOUR = 1
    services.set_member(world.network, user=world.ada, role=Role.VIEWER)
    for number in range(3):
        deliver(f"measurements/{world.names[0]}", measurements=number)
    panel = rejected_tab(open_site().enter(world.ada).go(f"/sensors/{world.names[0]}/"))

    expect(panel.locator("tbody tr")).to_have_count(2)
    expect(panel).to_contain_text("too many in this hour: counted, not kept")
    assert panel.locator("summary").count() == 1
    panel.locator("summary").click()
    assert panel.get_by_role("button").count() == 0
