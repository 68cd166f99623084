"""An alert's own page: what fired it, its course, its rule as it was, who was told; in a real browser."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from alerts.models import Alert, Notification, Rule
from alerts.services import (
    create_rule,
    create_target,
    delete_rule,
    deliver_notifications,
    evaluate_logs,
    evaluate_waiting,
    sweep,
    update_rule,
)
from config.services import create_revision
from sensors import services
from tests.browser.making import make_alert
from tests.browser.pages import answer, deliver, log, measure

pytestmark = pytest.mark.browser


def make_rule(world, kind, **options) -> Rule:
    fields = {"name": "Watched", **options}
    return create_rule(world.network, kind=kind, author=None, **fields)


def alert_of(rule) -> Alert:
    return Alert.objects.get(rule=rule)


def fact(page: Page, part: str, term: str):
    """Return what a list of facts says of `term`."""
    terms = page.locator(f"[data-part={part}] dl > div, dl[data-part={part}] > div")
    return terms.filter(has=page.locator("dt", has_text=re.compile(f"^{term}$"))).locator("dd")


def test_of_a_threshold_the_values_are_drawn_and_the_rule_as_it_was(site, world):
    rule = make_rule(world, "threshold", attribute="temperature", above=50.0, hysteresis=2.0)
    for ago_s, temperature in ((40, 20), (20, 61.5)):
        measure(world.names[0], ago_s=ago_s, temperature=temperature)
    evaluate_waiting(clock=timezone.now)
    page = site.go(f"/alerts/{alert_of(rule).pk}/", live=True)
    expect(page.locator("[data-part=cause] .uplot canvas")).to_have_count(1)
    expect(fact(page, "facts", "Newest value")).to_have_text("61.5")
    expect(page.locator("[data-part=rule-note]")).to_have_text("unchanged")
    expect(fact(page, "rule", "Fires above")).to_have_text("50")

    # The reader sees the end, and after it what is different.
    update_rule(rule, now=timezone.now(), above=60.0)
    expect(page.locator("[data-part=state]")).to_contain_text("resolved")
    expect(page.locator("[data-part=course]")).to_contain_text("Resolved: the rule was changed")
    page.reload()
    expect(page.locator("[data-part=rule-note]")).to_have_text("changed since")
    expect(fact(page, "rule", "Fires above")).to_have_text(re.compile("50.*now: 60"))
    expect(fact(page, "rule", "Clears inside by")).to_have_text("2")
    delete_rule(rule, now=timezone.now())
    page.reload()
    expect(page.locator("[data-part=rule-note]")).to_have_text("deleted since")


def test_of_a_rate_of_change_the_change_per_minute_is_drawn_above_the_values(site, world):
    rule = make_rule(world, "rate_of_change", attribute="temperature", above=10.0)
    now_s = timezone.now().timestamp()
    entries = [
        {"revision": 0, "timestamp": now_s - ago_s, "value": {"temperature": value}}
        for ago_s, value in ((120, 20), (60, 21), (0, 61))
    ]
    deliver(f"measurements/{world.names[0]}", measurements=entries)
    evaluate_waiting(clock=timezone.now)
    page = site.go(f"/alerts/{alert_of(rule).pk}/", live=True)
    expect(fact(page, "facts", "Newest change")).to_have_text("40 per minute")
    expect(fact(page, "facts", "Fires when")).to_have_text("temperature changes by more than 10 per minute")
    charts = page.locator("[data-part=cause] .chart-canvas")
    expect(charts).to_have_count(2)
    expect(charts.first).to_have_attribute("aria-label", "Chart of temperature, change per minute")
    expect(charts.last).to_have_attribute("aria-label", "Chart of temperature")
    # What is under the cursor at the right end.
    site.settle()
    box = charts.first.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
    expect(page.locator("[data-part=cause] .reading").first).to_contain_text(re.compile("^40 ·"))
    site.go("/alerts/")
    expect(page.locator("[data-part=alerts] tbody")).to_contain_text("changes by 40 per minute")


def test_of_log_messages_those_that_count_are_listed_as_text(site, world):
    rule = make_rule(world, "log_severity", log_severity="warning", count=2)
    log(world.names[0], "All is well", severity="info")
    log(world.names[0], "<b>Pump</b> is slow", details="1 <i>bar</i>")
    log(world.names[0], "Pump has failed", severity="error")
    evaluate_logs(clock=timezone.now)
    page = site.go(f"/alerts/{alert_of(rule).pk}/", live=True)
    expect(fact(page, "facts", "Counted")).to_have_text("2 messages")
    rows = page.locator("[data-part=cause] tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Pump has failed")
    expect(rows.last).to_contain_text("<b>Pump</b> is slow")
    rows.last.locator("summary").click()
    expect(rows.last).to_contain_text("1 <i>bar</i>")
    assert page.locator("[data-part=cause] :is(b, i)").count() == 0


def test_of_a_configuration_the_refused_revision_is_shown_and_leads_to_it(site, world):
    rule = make_rule(world, "configuration_failure")
    sensor = world.sensors[0]
    for values in ({"interval_s": 5}, {"interval_s": 1, "mode": "eco"}):
        create_revision(sensor, values=values, comment="Faster", author=world.ada, now=timezone.now())
    answer(sensor.identifier, 1, success=False)
    sweep(now=timezone.now())
    alert = alert_of(rule)
    for number in range(25):
        create_revision(sensor, values={"n": number}, author=world.ada, now=timezone.now())
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    expect(page.locator("[data-part=cause] .pill")).to_have_text("failed")
    expect(page.locator("[data-part=cause]")).to_contain_text("Faster")
    assert [text.split() for text in page.locator("[data-part=cause] tbody tr").all_inner_texts()] == [
        ["interval_s", "1", "was", "5"], ["mode", '"eco"', "added"],
    ]  # fmt: skip
    page.get_by_role("link", name="Revision 1", exact=True).click()
    # It is on the second page of the list.
    expect(page.locator("[data-part=revision] h3")).to_have_text("Revision 1")
    assert page.url.endswith(f"/sensors/{sensor.identifier}/?revision=1#configuration-heading")
    site.expected = {"status of 404 "}
    site.go(f"/sensors/{sensor.identifier}/?revision=99")
    expect(page.locator("[data-part=revision] h3")).to_have_text("Revision 26")


def test_of_a_bridge_its_trouble_is_told_in_the_readers_time(open_site, world):
    rule = make_rule(world, "bridge_away", period_s=60)
    detail = "Bridge 0/2 is away; it was last at work at 2026-03-01 12:00:05 UTC. Bridge 1/2 is away."
    alert = make_alert(rule, detail=detail)
    page = open_site(timezone_id="Asia/Kabul").enter(world.ada).go(f"/alerts/{alert.pk}/")
    cause = page.locator("[data-part=cause]")
    expect(cause).to_contain_text(re.compile(r"last at work at 1 Mar( 2026)? 16:30\. Bridge 1/2 is away\."))
    expect(cause.locator("time")).to_have_attribute("title", "1 Mar 2026, 16:30:05 GMT+4:30")
    expect(fact(page, "facts", "About")).to_have_text("bridges")
    # Only staff may see how ingest is.
    expect(cause.get_by_role("link")).to_have_count(0)


def test_of_a_silent_sensor_it_is_said_when_it_was_heard(site, world):
    rule = make_rule(world, "staleness")
    name = world.names[0]
    measure(name, ago_s=30, temperature=20)
    answer(name, 0)
    alert = make_alert(rule, about=world.sensors[0], ago_s=0)
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    expect(fact(page, "cause", "Last heard before it")).to_contain_text(re.compile(r"now|s ago"))
    expect(fact(page, "cause", "Last measurement")).to_contain_text(re.compile(r"now|s ago"))
    expect(fact(page, "cause", "Last heartbeat")).to_contain_text(re.compile(r"now|s ago"))
    expect(fact(page, "cause", "Last log message")).to_have_text("none")

    # Of an episode that is over, what came before it counts.
    now = timezone.now()
    Alert.objects.filter(pk=alert.pk).update(
        started_at=now - timedelta(seconds=20), state="resolved", resolved_at=now, resolution="heard"
    )
    page.reload()
    expect(fact(page, "cause", "Heard again")).to_be_visible()
    expect(fact(page, "cause", "Last heartbeat")).to_have_text("none")
    expect(fact(page, "cause", "Last heard before it")).to_contain_text(re.compile(r"now|s ago"))


def test_of_a_silent_gateway_its_sensors_are_listed_also_one_that_is_gone(site, world):
    rule = make_rule(world, "gateway_silence")
    gateway = services.create_gateway(world.network, identifier=f"gw-{world.names[0]}")
    members = [f"{world.names[0]}-{number}" for number in range(3)]
    for name in members[:2]:
        services.create_sensor(world.network, identifier=name, gateway=gateway)
    alert = make_alert(rule, about=gateway, members=members)
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    expect(fact(page, "facts", "Silent")).to_have_text("3 sensors")
    expect(page.locator("[data-part=cause]")).to_contain_text("3 sensors silent; 2 behind the gateway now.")
    rows = page.locator("[data-part=cause] tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text(re.compile("new.*never"))
    expect(rows.first.get_by_role("link")).to_have_attribute("href", f"/sensors/{members[0]}/")
    expect(rows.last).to_contain_text("not behind this gateway any more")
    assert rows.last.get_by_role("link").count() == 0


def test_of_a_sensor_that_was_deleted_nothing_is_asked_for_in_vain(site, world):
    rule = make_rule(world, "threshold", attribute="temperature", above=50.0)
    alert = make_alert(rule, about=world.sensors[2])
    services.delete_sensor(world.sensors[2])
    site.expected = {"status of 404 "}
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    expect(page.locator("[data-part=cause]")).to_have_text("The sensor was deleted, and with it what it sent.")
    expect(page.locator("[data-part=toasts] .toast")).to_have_count(0)


def test_the_course_says_who_and_when_and_what_is_odd(site, world):
    rule = make_rule(world, "threshold", attribute="temperature", above=50.0, for_s=20)
    now = timezone.now()
    alert = make_alert(
        rule, about=world.sensors[0], ago_s=3600, fired_at=now - timedelta(seconds=3500), backfilled=True,
        flapping=True, flapping_until=now + timedelta(hours=1), acknowledged_at=now - timedelta(seconds=600),
        acknowledged_by=world.ada, acknowledgement="On my <i>way</i>", state="resolved", resolved_at=now,
        resolution="by_hand", resolved_by=world.ada,
    )  # fmt: skip
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    steps = page.locator("[data-part=course] li")
    expect(steps).to_have_count(5)
    ada = world.ada.get_username()
    for step, words in zip(
        steps.all_inner_texts(),
        (
            "Violated for the first time",
            "Fired",
            f"Acknowledged by {ada}",
            f"Resolved by {ada}",
            "Flapping: it fires and resolves again and again",
        ),
        strict=True,
    ):
        assert step.startswith(words)
    expect(steps.nth(1)).to_contain_text("known only from data that came late")
    expect(steps.nth(2)).to_contain_text("“On my <i>way</i>”")
    assert len(page.locator("[data-part=course] time").all()) == 4
    pending = make_alert(
        rule, about=world.sensors[1], state="pending", fired_at=None, started_at=datetime(2026, 3, 1, tzinfo=UTC)
    )
    site.go(f"/alerts/{pending.pk}/")
    expect(page.locator("[data-part=course] li")).to_contain_text("pending: not yet for long enough")
    expect(page.locator("[data-part=told-empty]")).to_contain_text("It has not fired yet.")


def test_who_was_told_of_it_and_who_was_not_is_shown(site, world, receiver):
    rule = make_rule(world, "threshold", attribute="temperature", above=50.0)
    options = {"author": None, "now": timezone.now(), "group_wait_s": 0}
    duty = create_target(world.network, name="Duty", url=receiver.url(), repeat_interval_s=3600, **options)
    measure(world.names[0], temperature=60)
    evaluate_waiting(clock=timezone.now)
    alert = alert_of(rule)
    page = site.go(f"/alerts/{alert.pk}/", live=True)
    rows = page.locator("[data-part=told] tbody tr")
    expect(rows).to_contain_text("waiting")
    receiver.status = 500
    deliver_notifications(clock=timezone.now)
    page.reload()
    expect(rows).to_contain_text("The server answered with the status 500.")
    receiver.status = 204
    deliver_notifications(clock=lambda: timezone.now() + timedelta(seconds=15))
    page.reload()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(re.compile("in 59 min.*Still fires, reminder 1.*waiting|in 1 h.*waiting"))
    expect(rows.last).to_contain_text(re.compile("Fires.*Duty.*sent.*2 attempts"))
    assert len(receiver.messages) == 2
    rows.last.get_by_role("link", name="Duty").click()
    page.wait_for_url(f"**/notifications/?target={duty.pk}")

    now = timezone.now()
    Notification.objects.bulk_create(
        Notification(alert=alert, target=duty, event="repeat", number=number, created_at=now, due_at=now)
        for number in range(2, 30)
    )
    site.go(f"/alerts/{alert.pk}/")
    expect(rows).to_have_count(25)
    page.locator("[data-part=told-pager]").get_by_role("button", name="Next").click()
    expect(rows).to_have_count(5)
    expect(rows.last).to_contain_text(re.compile("Fires.*sent"))
