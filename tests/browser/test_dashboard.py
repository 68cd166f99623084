"""The dashboard in a real browser, over a real server."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from alerts.services import create_rule, create_target
from config.models import Revision
from config.services import create_revision, mark_published
from sensors import services
from sensors.models import Role
from tests.browser.making import make_alert
from tests.browser.pages import answer, log, measure
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


def row(site, identifier):
    return site.page.locator(f'[data-part=sensors] tr[data-key="{identifier}"]')


def make_hot_rule(world):
    return create_rule(
        world.network, name="Too hot", kind="threshold", attribute="temperature", above=50.0, author=None
    )


def test_the_login_leads_to_the_overview_which_shows_the_sensors_and_counts_them(open_site, world):
    world.ada.set_password("correct horse battery")
    world.ada.save()
    measure(world.names[0], temperature=21.5, humidity=40)
    site = open_site()
    page = site.go("/")
    page.wait_for_url("**/login/?next=/")
    page.fill("#id_username", world.ada.get_username())
    page.fill("#id_password", "correct horse battery")
    page.keyboard.press("Enter")
    page.wait_for_url(f"http://{site.host}/")
    expect(site.page.locator("[data-part=sensors] tbody tr")).to_have_count(3)
    expect(row(site, world.names[0])).to_contain_text("up")
    expect(row(site, world.names[0])).to_contain_text("temperature 21.5")
    expect(row(site, world.names[1])).to_contain_text("new")
    # Counted by a request of its own, until which they show a dash.
    expect(page.locator("[data-part=status-figures]")).to_contain_text("total")
    figures = re.sub(r"\s+", " ", site.text("[data-part=status-figures]"))
    assert figures == "3 total 1 up 0 late 0 down 2 new"


def test_a_measurement_appears_without_reload_in_the_overview(site, world):
    site.go("/", live=True)
    expect(row(site, world.names[1])).to_contain_text("new")
    measure(world.names[1], temperature=33.25)
    expect(row(site, world.names[1])).to_contain_text("temperature 33.25", timeout=3_000)
    expect(row(site, world.names[1])).to_contain_text("up")


def test_a_measurement_appears_without_reload_on_the_sensors_page(site, world):
    name = world.names[0]
    for ago_s in range(300, 0, -30):
        measure(name, ago_s=ago_s, temperature=20 + ago_s / 100)
    page = site.go(f"/sensors/{name}/?range=15m", live=True)
    expect(page.locator(".uplot canvas")).to_have_count(1)
    measure(name, temperature=77.125, mode="auto")
    expect(page.locator("[data-part=attributes]")).to_contain_text("77.125", timeout=3_000)
    expect(page.locator("[data-part=attributes]")).to_contain_text("auto")
    page.click("[data-part=chart-data] summary")
    expect(page.locator("[data-part=chart-data] tbody tr").first).to_contain_text("77.125")


def test_the_first_measurement_of_a_sensor_replaces_the_advice_how_to_send_one(site, world):
    page = site.go(f"/sensors/{world.names[2]}/", live=True)
    expect(page.locator("[data-part=charts]")).to_contain_text("mosquitto_pub")
    measure(world.names[2], pressure=1013)
    expect(page.locator(".uplot canvas")).to_have_count(1)
    expect(page.locator("[data-part=charts]")).not_to_contain_text("mosquitto_pub")


def test_a_revision_is_written_published_and_answered_before_the_readers_eyes(site, world):
    name = world.names[0]
    page = site.go(f"/sensors/{name}/", live=True)
    page.click("text=New revision")
    site.expected = {"status of 400 "}
    page.fill("dialog textarea", '{"interval_s": {"too": "deep"}}')
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog [data-field=configuration] .error")).to_contain_text("only flat values are kept")
    page.fill("dialog textarea", '{"interval_s": 5}')
    page.fill("dialog input[name=comment]", "Measure faster")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog")).to_have_count(0)
    first = page.locator("[data-part=revisions] .revision").first
    expect(first).to_contain_text("Measure faster")
    expect(first).to_contain_text("pending")
    revision = Revision.objects.get(sensor=world.sensors[0])
    assert (revision.number, revision.values, revision.created_by) == (0, {"interval_s": 5}, world.ada)
    mark_published([revision.pk], now=timezone.now())
    expect(first).to_contain_text("published")
    answer(name, 0)
    expect(first).to_contain_text("acknowledged")
    expect(page.locator("[data-part=facts]")).to_contain_text("acknowledged")


def test_who_was_overtaken_sees_by_whom_and_may_go_on(site, world):
    sensor = world.sensors[0]
    create_revision(sensor, values={"interval_s": 60}, author=None, now=timezone.now())
    page = site.go(f"/sensors/{sensor.identifier}/", live=True)
    page.click("text=New revision")
    expect(page.locator("dialog textarea")).to_have_value(re.compile("interval_s"))
    page.fill("dialog textarea", '{"interval_s": 5}')
    create_revision(sensor, values={"interval_s": 30}, comment="Quick one", author=world.ada, now=timezone.now())
    site.expected = {"status of 409 "}
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog .form-error")).to_contain_text("Revision 1 by")
    expect(page.locator("dialog .form-error")).to_contain_text("Quick one")
    expect(page.locator("dialog .preview")).to_contain_text("was 30")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog")).to_have_count(0)
    assert Revision.objects.get(sensor=sensor, number=2).values == {"interval_s": 5}


def test_two_revisions_are_compared_and_one_is_restored(site, world):
    sensor = world.sensors[0]
    for values in ({"a": 1}, {"a": 2, "b": True}, {"b": False}):
        create_revision(sensor, values=values, author=world.ada, now=timezone.now())
    page = site.go(f"/sensors/{sensor.identifier}/", live=True)
    diff = page.locator(".diff tbody tr")
    expect(diff).to_have_count(2)
    assert [text.split() for text in diff.all_inner_texts()] == [["a", "2", "removed"], ["b", "false", "was", "true"]]
    page.fill(".compare input", "0")
    page.keyboard.press("Tab")
    expect(diff.nth(1)).to_contain_text("added")
    page.click("[data-part=revisions] .revision >> nth=2")
    page.click("[data-part=revision] >> text=Restore")
    page.click("dialog button[type=submit]")
    expect(page.locator("[data-part=revisions] .revision").first).to_contain_text("Restored from revision 0")
    assert Revision.objects.get(sensor=sensor, number=3).values == {"a": 1}


def test_markup_in_a_log_message_stays_text(site, world):
    name = world.names[0]
    page = site.go(f"/sensors/{name}/", live=True)
    subject = '<img src=x onerror="document.title=1">'
    log(name, subject, details="<script>document.title=2</script>")
    panel = page.locator("#tab-panel")
    expect(panel).to_contain_text(subject, timeout=3_000)
    panel.locator("summary").click()
    expect(panel).to_contain_text("<script>document.title=2</script>")
    assert panel.locator("img, script").count() == 0
    assert page.title() == f"{name} · Fleet"


def test_an_alert_is_acknowledged_and_resolved(site, world):
    alert = make_alert(make_hot_rule(world), about=world.sensors[0], value=51.5)
    page = site.go("/alerts/", live=True)
    expect(page.locator("[data-part=alerts] tbody tr")).to_have_count(1)
    expect(page.locator("[data-part=alert-count]")).to_have_text("1")
    page.get_by_role("button", name="Acknowledge", exact=True).click()
    page.fill("dialog input[name=comment]", "On my way")
    page.click("dialog button[type=submit]")
    expect(page.locator("[data-part=alerts] tbody tr")).to_contain_text("On my way")
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.acknowledgement) == (world.ada, "On my way")
    page.click("[data-part=alerts] >> text=Too hot")
    page.wait_for_url(f"**/alerts/{alert.pk}/")
    expect(page.locator(".uplot canvas")).to_have_count(1)
    page.get_by_role("button", name="Resolve", exact=True).click()
    page.click("dialog button[type=submit]")
    expect(page.locator("[data-part=state]")).to_contain_text("resolved")
    alert.refresh_from_db()
    assert alert.state == "resolved"


def test_a_rule_is_made_says_for_how_many_sensors_it_holds_and_is_drawn(site, world):
    page = site.go("/rules/")
    page.click("[data-part=page-actions] button")
    page.fill("dialog input[name=name]", "Too hot")
    page.fill("dialog input[name=attribute]", "temperature")
    page.fill("dialog input[name=above]", "50")
    expect(page.locator("dialog")).to_contain_text("Holds for 3 sensors now.")
    page.click("dialog button[type=submit]")
    expect(page.locator("[data-part=rules] tbody tr")).to_contain_text("temperature is above 50")
    expect(page.locator("[data-part=rules] tbody tr")).to_contain_text("3 sensors")
    page.click("[data-part=rules] input[type=checkbox]")
    expect(page.locator("[data-part=rules] tbody tr")).to_contain_text("disabled")
    rule = world.network.rules.get()
    assert (rule.above, rule.enabled, rule.scope) == (50.0, False, "network")


def test_a_rule_about_the_bridges_says_so_and_counts_no_sensors(site, world):
    page = site.go("/rules/")
    page.click("[data-part=page-actions] button")
    page.fill("dialog input[name=name]", "Bridge is away")
    page.select_option("dialog [name=kind]", "bridge_away")
    expect(page.locator("dialog [name=scope]")).to_be_hidden()
    page.click("dialog button[type=submit]")
    create_rule(world.network, name="Silent", kind="staleness", author=None)
    page.reload()
    rows = page.locator("[data-part=rules] tbody tr")
    # Counted after the row above it, which is not counted.
    expect(rows.filter(has_text="Silent")).to_contain_text("3 sensors")
    expect(rows.filter(has_text="Bridge is away")).to_contain_text("the bridges")
    expect(rows.filter(has_text="Bridge is away")).not_to_contain_text("sensors")


def test_a_rule_is_tried_on_the_past_before_it_is_made(site, world):
    for ago_s, temperature in ((50, 20.0), (40, 51.0), (30, 20.0), (20, 60.0), (10, 20.0)):
        measure(world.names[0], ago_s=ago_s, temperature=temperature)
    page = site.go("/rules/")
    page.click("[data-part=page-actions] button")
    page.fill("dialog [name=attribute]", "temperature")
    page.fill("dialog [name=above]", "50")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("dialog .trial-words")).to_contain_text("2 alerts would have fired")
    expect(page.locator("dialog .trial-words li")).to_have_count(2)
    expect(page.locator("dialog .trial-chart canvas")).to_be_visible()
    assert not world.network.rules.exists()


def test_who_only_reads_is_offered_no_changes(open_site, world):
    services.set_member(world.network, user=world.ada, role=Role.VIEWER)
    alert = make_alert(make_hot_rule(world), about=world.sensors[0], value=51.5)
    create_revision(world.sensors[0], values={"a": 1}, author=None, now=timezone.now())
    create_target(world.network, name="Duty", url="json://1.1.1.1/hook", author=None, now=timezone.now(), enabled=False)
    site = open_site().enter(world.ada)
    words = re.compile(r"^(Add|New|Edit|Delete|Restore|Acknowledge|Resolve|Silence|Send)\b")
    ready = {
        "/": "[data-part=sensors] tbody .name",
        f"/sensors/{world.names[0]}/": ".revision",
        "/alerts/": "[data-part=alerts] tbody .name",
        f"/alerts/{alert.pk}/": "[data-part=course] li",
        "/rules/": "[data-part=rules] tbody .name",
        "/notifications/": "[data-part=targets] tbody .name",
        "/networks/": "text=Members",
    }
    for path, selector in ready.items():
        page = site.go(path)
        page.wait_for_selector(selector)
        assert page.get_by_role("button", name=words).count() == 0, path


def test_a_sensor_is_added_with_advice_how_to_connect_it(site, world):
    page = site.go("/", live=True)
    page.click("[data-part=page-actions] button")
    site.expected = {"status of 400 "}
    page.fill("dialog input[name=identifier]", world.names[0])
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog [data-field=identifier] .error")).to_contain_text("taken")
    page.fill("dialog input[name=identifier]", f"{world.names[0]}-new")
    page.fill("dialog textarea[name=labels]", "floor: 2")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog pre").first).to_contain_text(f"measurements/{world.names[0]}-new")
    page.keyboard.press("Escape")
    expect(row(site, f"{world.names[0]}-new")).to_contain_text("new")
    page.fill("input[name=label]", "floor:2")
    expect(page.locator("[data-part=sensors] tbody tr")).to_have_count(1)
    assert "label=floor" in page.url


def test_a_sensor_is_deleted_only_after_its_name_was_typed(site, world):
    page = site.go(f"/sensors/{world.names[2]}/")
    page.click("[aria-label='Delete sensor']")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog .error")).to_contain_text(f"This is not {world.names[2]}.")
    page.fill("dialog input", world.names[2])
    page.click("dialog button[type=submit]")
    page.wait_for_url("**/?network=*")
    expect(page.locator("[data-part=sensors] tbody tr")).to_have_count(2)


def test_dragging_over_a_chart_shows_that_range_in_finer_buckets_and_there_is_a_way_back(site, world):
    name = world.names[0]
    for ago_s in range(3_500, 0, -50):
        measure(name, ago_s=ago_s, temperature=ago_s % 7)
    page = site.go(f"/sensors/{name}/?range=1h", live=True)
    plot = page.locator(".u-over")
    box = plot.bounding_box()
    with page.expect_response(lambda response: "/series/" in response.url) as found:
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 50, steps=5)
        page.mouse.up()
    series = found.value.json()
    assert series["bucket_s"] < 10
    assert 10 <= len(series["points"]) <= 18
    expect(page.get_by_role("button", name="Custom")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Zoom out").click()
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(("ago_s", "range_shown"), [(60, "1 h"), (3 * 86_400, "7 d"), (10 * 365 * 86_400, "All")])
def test_a_page_opens_with_a_range_that_holds_the_newest_measurement(site, world, ago_s, range_shown):
    measure(world.names[0], ago_s=ago_s, temperature=20.5)
    page = site.go(f"/sensors/{world.names[0]}/", live=True)
    expect(page.get_by_role("button", name=range_shown, exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-part=charts]")).not_to_contain_text("No numbers in this range")


def test_the_page_goes_to_the_login_when_the_session_ends(site, world):
    site.expected = {"status of 401 "}
    page = site.go("/", live=True)
    world.ada.is_active = False
    world.ada.save()
    page.wait_for_url("**/login/?next=*")


def test_a_lost_connection_is_shown_and_what_was_missed_is_fetched(own_web, open_site, world):
    site = open_site(server=own_web).enter(world.ada)
    page = site.go(f"/sensors/{world.names[0]}/", live=True)
    site.settle()
    site.expected = {"net::ERR_"}
    own_web.stop()
    expect(page.locator("[data-part=connection]")).to_have_text("Reconnecting")
    measure(world.names[0], temperature=42.5)
    own_web.start()
    expect(page.locator("[data-part=connection]")).to_have_text("Live", timeout=20_000)
    expect(page.locator("[data-part=attributes]")).to_contain_text("42.5")
    site.settle()


def test_counts_follow_without_reload(site, world):
    page = site.go("/", live=True)
    expect(page.locator("[data-part=status-figures]")).to_contain_text("up")
    measure(world.names[0], temperature=1)
    figure = page.locator("[data-part=status-figures] .figure", has_text="up").locator("b")
    expect(figure).to_have_text("1")
    wait_until(lambda: "1 up" in re.sub(r"\s+", " ", site.text("[data-part=status-figures]")), 5)
