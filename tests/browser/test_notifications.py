"""Notification targets and what they are told, in a real browser and to a real webhook."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from alerts.delivery import keys
from alerts.delivery.urls import scheme_of, service_of
from alerts.models import Alert, Notification, NotificationTarget
from alerts.services import create_rule, create_target, deliver_notifications, evaluate_waiting
from sensors import services
from sensors.models import Role
from tests.browser.pages import measure

pytestmark = pytest.mark.browser

FORM = Path(django_settings.BASE_DIR) / "fleet/dashboard/static/dashboard/js/notifications-page/form.js"
# What a person would write in the place of the examples' words, where the service is particular about it.
WRITTEN = {"BOT_ID": "123456789", "TOKEN": "AbCdEfGhIjKlMnOpQrStUvWxYz012345678"}


def make_target(world, url, **options):
    fields = {"name": "Duty", "group_wait_s": 0, **options}
    return create_target(world.network, url=url, author=world.ada, now=timezone.now(), **fields)


def burn(world, *, sensor=0):
    """Let a sensor be too hot by a rule, and return the alert."""
    rule = world.network.rules.first() or create_rule(
        world.network, name="Too hot", kind="threshold", attribute="temperature", above=50.0, author=None
    )
    measure(world.names[sensor], temperature=60)
    evaluate_waiting(clock=timezone.now)
    return Alert.objects.get(rule=rule, sensor=world.sensors[sensor])


def row(page: Page, part: str, text: str):
    return page.locator(f"[data-part={part}] tbody tr", has_text=text)


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        page.fill(f"dialog [name={name}]", value)


def submit(page: Page) -> None:
    page.click("dialog button[type=submit]")


def test_a_target_is_made_tried_and_its_failure_is_shown(site, world, receiver):
    page = site.go("/notifications/")
    expect(page.locator("[data-part=targets-empty]")).to_contain_text("Nobody is told of alerts yet")
    page.get_by_role("button", name="Add target").first.click()
    site.expected = {"status of 400 "}
    fill(page, name="Duty", url="json://10.0.0.1/hook", repeat_interval_s="5")
    submit(page)
    expect(page.locator("dialog [data-field=repeat_interval_s] .error")).to_be_visible()
    fill(page, repeat_interval_s="600")
    submit(page)
    expect(page.locator("dialog [data-field=url] .error")).to_contain_text("not public")
    assert not NotificationTarget.objects.filter(network=world.network).exists()
    fill(page, url=receiver.url())
    page.select_option("dialog [name=least_severity]", "warning")
    submit(page)

    dialog = page.get_by_role("dialog", name="Send a test to “Duty”?")
    dialog.get_by_role("button", name="Send a test").click()
    expect(page.locator("[data-part=toasts]")).to_contain_text("The test was taken by the server of “Duty”.")
    expect(dialog).to_have_count(0)
    assert receiver.titles() == [f"{world.network.name}: a test"]
    target = NotificationTarget.objects.get(network=world.network)
    assert (target.least_severity, target.repeat_interval_s, target.created_by) == ("warning", 600, world.ada)
    expect(row(page, "targets", "Duty")).to_contain_text(
        re.compile(r"json://….*warning and critical.*again every 10 min")
    )
    expect(row(page, "targets", "Duty").locator(".pill")).to_have_text("sent")

    # Another test is refused for a while after each one.
    NotificationTarget.objects.filter(pk=target.pk).update(tested_at=timezone.now() + timedelta(hours=1))
    page.get_by_role("button", name="Send a test to Duty").click()
    site.expected.add("status of 409 ")
    dialog.get_by_role("button", name="Send a test").click()
    expect(dialog.locator(".form-error")).to_contain_text("It is tested already; try again in 10 s.")
    NotificationTarget.objects.filter(pk=target.pk).update(tested_at=timezone.now() - timedelta(seconds=11))
    receiver.status = 403
    dialog.get_by_role("button", name="Send a test").click()
    expect(dialog.locator(".form-error")).to_have_text(
        "The test was not taken. The server answered with the status 403."
    )
    expect(row(page, "targets", "Duty").locator(".pill")).to_have_text("failed")
    expect(row(page, "targets", "Duty")).to_contain_text("The server answered with the status 403.")
    assert len(receiver.messages) == 2
    page.keyboard.press("Escape")
    assert not any(secret in page.content() for secret in ("SECRET", "PASSWORD"))


def test_a_failed_message_says_when_it_is_tried_again(site, world, receiver):
    make_target(world, receiver.url())
    burn(world)
    receiver.status = 500
    deliver_notifications(clock=timezone.now)
    page = site.go("/notifications/")
    expect(row(page, "targets", "Duty")).to_contain_text("The server answered with the status 500.")
    expect(row(page, "targets", "Duty")).to_contain_text(re.compile(r"tried again in \d+ s|in a moment"))
    expect(row(page, "told", "Too hot")).to_contain_text("waiting")
    expect(row(page, "told", "Too hot")).to_contain_text("The server answered with the status 500.")


def test_an_edit_keeps_the_address_unless_a_new_one_is_written(site, world, receiver):
    target = make_target(world, receiver.url())
    page = site.go("/notifications/")
    page.get_by_role("button", name="Edit Duty").click()
    expect(page.locator("dialog [name=url]")).to_have_value("")
    expect(page.locator("dialog [data-field=url] .hint")).to_contain_text("unless a new one is written here")
    expect(page.locator("dialog [name=network]")).to_be_disabled()
    fill(page, name="Night", escalate_after_s="900")
    page.uncheck("dialog [name=tell_resolved]")
    submit(page)
    expect(row(page, "targets", "Night")).to_contain_text("what nobody acknowledged for 15 min · not of the end")
    target.refresh_from_db()
    assert (target.escalate_after_s, target.tell_resolved) == (900, False)
    assert keys.decrypt(target.encrypted_url) == receiver.url()

    page.get_by_role("button", name="Edit Night").click()
    fill(page, url=receiver.url("other"), escalate_after_s="")
    submit(page)
    expect(page.locator("dialog")).to_have_count(0)
    target.refresh_from_db()
    assert (target.escalate_after_s, keys.decrypt(target.encrypted_url)) == (None, receiver.url("other"))


def test_a_target_is_disabled_and_deleted_with_what_it_was_told(site, world, receiver):
    target = make_target(world, receiver.url(), group_wait_s=3600)
    burn(world)
    page = site.go(f"/notifications/?target={target.pk}")
    expect(row(page, "told", "Too hot")).to_contain_text("waiting")
    page.get_by_role("switch", name="Duty is enabled").click()
    expect(row(page, "targets", "Duty")).to_contain_text("disabled")
    expect(row(page, "told", "Too hot")).to_contain_text("dropped")
    expect(row(page, "told", "Too hot")).to_contain_text("The target was disabled.")
    page.get_by_role("button", name="Delete Duty").click()
    expect(page.locator("dialog")).to_contain_text("What it was told goes with it.")
    submit(page)
    expect(page.locator("[data-part=targets-empty]")).to_be_visible()
    expect(page.locator("[data-part=told-empty]")).to_contain_text("Nothing was told so far")
    assert not NotificationTarget.objects.filter(pk=target.pk).exists()
    assert not page.url.endswith(f"target={target.pk}")


def test_both_lists_are_filtered_and_their_filters_live_in_the_address(site, world, receiver):
    duty = make_target(world, receiver.url())
    boss = make_target(world, receiver.url(), name="Boss", enabled=False)
    burn(world)
    deliver_notifications(clock=timezone.now)
    alert = Alert.objects.get(network=world.network)
    now = timezone.now()
    Notification.objects.create(
        alert=alert, target=boss, event="escalation", state="failed", created_at=now, due_at=now, last_error="Too late."
    )
    told = "[data-part=told] tbody tr"
    page = site.go("/notifications/")
    expect(page.locator("[data-part=targets] tbody tr")).to_have_count(2)
    expect(page.locator(told)).to_have_count(2)
    page.get_by_role("button", name="Failed", exact=True).click()
    expect(page.locator(told)).to_have_count(1)
    expect(page.locator(told)).to_contain_text("Nobody acknowledged")
    page.fill("#filter-search", "dut")
    expect(page.locator("[data-part=targets] tbody tr")).to_have_count(1)
    expect(row(page, "targets", "Duty")).to_be_visible()
    assert "search=dut" in page.url
    assert "state=failed" in page.url

    page.reload()
    expect(page.locator("#filter-search")).to_have_value("dut")
    expect(page.locator("[data-part=targets] tbody tr")).to_have_count(1)
    expect(page.locator(told)).to_have_count(1)
    row(page, "targets", "Duty").get_by_role("button", name="What it was told").click()
    expect(page.locator(told)).to_contain_text("sent")
    expect(page.locator(told)).to_have_count(1)
    expect(page.locator("#filter-target")).to_have_value(str(duty.pk))
    page.get_by_role("link", name="Too hot").click()
    page.wait_for_url(f"**/alerts/{alert.pk}/")


def test_names_of_people_stay_text(site, world, receiver):
    name = '<img src=x onerror="document.title=1">'
    make_target(world, receiver.url(), name=name)
    page = site.go("/notifications/")
    expect(row(page, "targets", name)).to_be_visible()
    page.get_by_role("button", name=f"Delete {name}").click()
    expect(page.locator("dialog h2")).to_contain_text(name)
    assert page.locator("main img, dialog img").count() == 0


def test_who_only_reads_is_shown_targets_and_no_way_to_change_them(open_site, world, receiver):
    services.set_member(world.network, user=world.ada, role=Role.VIEWER)
    make_target(world, receiver.url())
    page = open_site().enter(world.ada).go("/notifications/")
    expect(row(page, "targets", "Duty")).to_contain_text("enabled")
    assert page.locator("main").get_by_role("button", name=re.compile("Add|Edit|Delete|Send")).count() == 0
    assert page.get_by_role("switch").count() == 0


def test_the_examples_of_addresses_are_ones_that_the_service_takes():
    examples = re.findall(r'address:\s*"([^"]+)"', FORM.read_text())
    assert len(examples) >= 8
    for example in examples:
        address = re.sub("|".join(WRITTEN), lambda match: WRITTEN[match[0]], example)
        assert scheme_of(address) in django_settings.NOTIFICATION_SCHEMES
        assert service_of(address) is not None, example


def test_an_example_begins_the_address_and_only_allowed_ones_are_offered(site, world):
    page = site.go("/notifications/")
    page.get_by_role("button", name="Add target").first.click()
    page.click("dialog summary")
    page.get_by_role("button", name="Webhook").click()
    expect(page.locator("dialog [name=url]")).to_have_value(re.compile("^jsons://"))
    expect(page.locator("dialog [name=url]")).to_be_focused()
    page.locator("main").evaluate("element => { element.dataset.schemes = 'slack'; }")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add target").first.click()
    page.click("dialog summary")
    expect(page.locator("dialog .example-list li")).to_have_count(1)
