"""Devices that ask for their place, in a real browser: admitted, refused, and the codes by which they ask."""

import json
import re
import urllib.error
import urllib.request

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from sensors import services
from sensors.claim_codes import hash_proof
from sensors.models import Claim, ClaimCode, ClaimState, Role, Sensor
from sensors.services.credentials import hashed_secrets
from tests.browser.pages import Site

pytestmark = pytest.mark.browser

PROOF = "aQ3Tn0_v8Zb1xLk7RyPw2Hd5"


def ask(site: Site, code: str, identifier: str, *, proof: str = PROOF, **fields: object) -> tuple[int, dict]:
    """Ask as a device does."""
    body = json.dumps({"claim_code": code, "identifier": identifier, "proof": proof, **fields}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{site.host}/api/v1/claims/", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def code(world) -> str:
    return services.create_claim_code(world.network, name="Delivery", days=30, author=world.ada, now=timezone.now())[1]


def row(page: Page, identifier: str):
    return page.locator("[data-part=claims] tbody tr", has_text=identifier)


def submit(page: Page) -> None:
    page.locator("dialog button[type=submit]").click()
    expect(page.locator("dialog")).to_have_count(0)


def test_a_code_is_made_and_shown_once_and_a_device_with_it_is_admitted_by_one_click(site, world):
    name = f"new-{world.names[0]}"
    page = site.go("/networks/", live=True)
    page.locator("main").get_by_role("link", name="Claims").click()
    expect(page.locator("[data-part=claims-empty]")).to_contain_text("No device waits")
    page.locator("[data-part=page-actions]").get_by_role("button", name="New claim code").click()
    page.get_by_label("What it is for").fill("Delivery of March")
    page.get_by_label("Sensors at most").fill("5")
    page.locator("dialog button[type=submit]").click()
    expect(page.locator("dialog h2")).to_contain_text("New claim code for")
    code = page.locator("dialog pre").first.inner_text()
    assert re.fullmatch(r"(\w{4}-){4}\w{4}", code)
    page.locator("dialog .dialog-foot").get_by_role("button", name="Close").click()
    codes = page.locator("[data-part=codes] tbody tr")
    expect(codes).to_contain_text("Delivery of March")
    expect(codes).to_contain_text(f"{code[:4]}-…")
    assert code not in page.content()

    assert ask(site, code, name, name="Boiler, north", labels={"floor": "2"})[0] == 202
    # Without a reload.
    expect(row(page, name)).to_contain_text("Boiler, north")
    expect(row(page, name)).to_contain_text("floor: 2")
    expect(row(page, name)).to_contain_text("127.0.0.1")
    page.get_by_role("button", name=f"Admit {name}", exact=True).click()
    expect(page.locator("[role=status]", has_text=f"{name} is admitted")).to_be_visible()
    expect(row(page, name)).to_have_count(0)
    status, login = ask(site, code, name)
    assert (status, hashed_secrets()[name].matches(login["password"])) == (200, True)
    expect(codes).to_contain_text("1 of 5 admitted")

    page.get_by_role("group", name="State").get_by_role("button", name="Admitted").click()
    expect(row(page, name)).to_contain_text(f"by {world.ada}")
    row(page, name).get_by_role("link", name=name).click()
    expect(page.locator("h1")).to_contain_text("Boiler, north")


def test_admitting_one_after_the_other_needs_the_keyboard_only(site, world, code):
    names = [f"new-{number}-{world.names[0]}" for number in range(3)]
    for name in names:
        ask(site, code, name)
    page = site.go("/claims/", live=True)
    page.get_by_role("button", name=f"Admit {names[2]}", exact=True).focus()
    for left in (2, 1, 0):
        page.keyboard.press("Enter")
        expect(page.locator("[data-part=claims] tbody tr")).to_have_count(left)
        if left:
            expect(page.get_by_role("button", name=f"Admit {names[left - 1]}", exact=True)).to_be_focused()
    assert Sensor.objects.filter(identifier__in=names).count() == 3


def test_two_presses_on_admit_are_one_decision(site, world, code):
    name = f"new-{world.names[0]}"
    ask(site, code, name)
    page = site.go("/claims/", live=True)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name=f"Admit {name}", exact=True).dblclick()
    expect(row(page, name)).to_have_count(0)
    expect(page.locator("[role=status]", has_text=f"{name} is admitted")).to_be_visible()
    assert len(sent) == 1
    expect(page.locator("[data-part=toasts] [data-tone=bad]")).to_have_count(0)


def test_an_answer_that_takes_longer_than_the_page_waits_between_two_is_shown(site, world, code):
    name = f"new-{world.names[0]}"
    site.page.clock.install()
    page = site.go("/claims/", live=True)
    expect(page.locator("[data-part=claims-empty]")).to_contain_text("No device waits")
    site.settle()
    ask(site, code, name)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(re.compile(r"/api/v1/claims/\?"), hold)
    with page.expect_request(re.compile(r"/api/v1/claims/\?")):
        page.clock.run_for(5_000)
    # Long enough for the next ones.
    page.clock.run_for(20_000)
    held[0].continue_()
    expect(row(page, name)).to_be_visible()


def test_refusing_asks_first_and_the_device_hears_it(site, world, code):
    name = f"new-{world.names[0]}"
    ask(site, code, name)
    page = site.go("/claims/", live=True)
    page.get_by_role("button", name=f"Refuse {name}").click()
    expect(page.locator("dialog h2")).to_have_text(f"Refuse {name}?")
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    assert Claim.objects.get(identifier=name).state == ClaimState.WAITING
    page.get_by_role("button", name=f"Refuse {name}").click()
    submit(page)
    expect(row(page, name)).to_have_count(0)
    assert ask(site, code, name)[0] == 403


def test_many_are_chosen_and_decided_at_once(site, world, code):
    names = [f"new-{number}-{world.names[0]}" for number in range(4)]
    for name in names:
        ask(site, code, name)
    page = site.go("/claims/", live=True)
    expect(page.locator("[data-part=claims] tbody tr")).to_have_count(4)
    for name in names[:2]:
        page.get_by_label(f"Choose {name}").check()
    bar = page.locator("[data-part=chosen]")
    expect(bar).to_contain_text("2 devices chosen")
    # A choice stays while the rows are asked for again.
    last = page.locator(f"tr[data-key='{Claim.objects.get(identifier=names[0]).pk}'] time").nth(1)
    before = last.get_attribute("datetime")
    Claim.objects.filter(identifier=names[0]).update(last_asked_at=timezone.now())
    expect(last).not_to_have_attribute("datetime", before, timeout=10_000)
    expect(page.get_by_label(f"Choose {names[0]}")).to_be_checked()
    bar.get_by_role("button", name="Admit 2").click()
    submit(page)
    expect(page.locator("[data-part=claims] tbody tr")).to_have_count(2)
    assert Sensor.objects.filter(identifier__in=names).count() == 2
    bar.get_by_role("button", name="Choose all 2").click()
    bar.get_by_role("button", name="Refuse 2").click()
    submit(page)
    expect(page.locator("[data-part=claims-empty]")).to_contain_text("No device waits")
    expect(bar).to_be_hidden()
    states = dict(Claim.objects.filter(identifier__in=names).values_list("identifier", "state"))
    assert [states[name] for name in names] == ["approved", "approved", "refused", "refused"]


def test_all_that_are_there_are_chosen_also_when_others_have_come(site, world, code):
    names = [f"new-{number}-{world.names[0]}" for number in range(3)]
    for name in names[:2]:
        ask(site, code, name)
    page = site.go("/claims/", live=True)
    expect(page.locator("[data-part=claims] tbody tr")).to_have_count(2)
    bar = page.locator("[data-part=chosen]")
    expect(bar.get_by_role("button", name="Choose all 2")).to_be_visible()
    services.refuse_claim(Claim.objects.get(identifier=names[1]), author=None, now=timezone.now())
    ask(site, code, names[2])
    expect(row(page, names[2])).to_be_visible(timeout=10_000)
    bar.get_by_role("button", name="Choose all 2").click()
    expect(bar).to_contain_text("2 devices chosen")
    bar.get_by_role("button", name="Admit 2").click()
    submit(page)
    expect(page.locator("[data-part=claims-empty]")).to_contain_text("No device waits")
    assert Sensor.objects.filter(identifier__in=[names[0], names[2]]).count() == 2


def test_when_all_of_a_later_page_are_decided_the_first_one_is_shown(site, world, code):
    names = [f"new-{number:03}-{world.names[0]}" for number in range(101)]
    asked = ClaimCode.objects.get(network=world.network)
    now = timezone.now()
    Claim.objects.bulk_create(
        Claim(
            code=asked,
            network=world.network,
            identifier=name,
            proof_hash=hash_proof(PROOF),
            first_asked_at=now,
            last_asked_at=now,
        )
        for name in names
    )
    page = site.go("/claims/", live=True)
    page.locator("[data-part=claims-pager]").get_by_role("button", name="Next").click()
    expect(page.locator("[data-part=claims] tbody tr")).to_have_count(1)
    page.get_by_role("button", name=f"Admit {names[0]}", exact=True).click()
    expect(page.locator("[data-part=claims] tbody tr")).to_have_count(100)
    expect(row(page, names[100])).to_be_visible()


def test_a_device_called_as_a_sensor_that_is_there_takes_its_place_after_a_question(site, world, code):
    name = world.names[0]
    old = services.issue_credential(world.sensors[0], author=None, now=timezone.now())
    ask(site, code, name)
    page = site.go("/claims/", live=True)
    expect(row(page, name)).to_contain_text("exists already")
    page.get_by_role("button", name=f"Admit {name}", exact=True).click()
    expect(page.locator("dialog")).to_contain_text("gets a new password")
    submit(page)
    expect(row(page, name)).to_have_count(0)
    assert not hashed_secrets()[name].matches(old.password)
    assert ask(site, code, name)[0] == 200


def test_what_the_device_says_of_itself_can_be_said_better(site, world, code):
    name = f"new-{world.names[0]}"
    services.create_gateway(world.network, identifier=f"gw-{name}", name="Hall")
    ask(site, code, name, name="esp32-4711", labels={"floor": 2, "draft": True})
    page = site.go("/claims/", live=True)
    page.get_by_role("button", name=f"Admit {name} with another").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Name", exact=True).fill("Boiler")
    labels = dialog.get_by_label("Labels")
    expect(labels).to_have_value("draft: true\nfloor: 2")
    labels.fill("floor: 2\nroom")
    dialog.get_by_label("Gateway").select_option(label="Hall")
    dialog.locator("button[type=submit]").click()
    expect(dialog.locator("[role=alert]")).to_contain_text("“room” is not of the form")
    labels.fill("floor: 2\nroom: north")
    submit(page)
    sensor = Sensor.objects.get(identifier=name)
    assert (sensor.name, sensor.labels) == ("Boiler", {"floor": 2, "room": "north"})
    assert sensor.gateway is not None


def test_better_words_for_a_sensor_that_is_there_begin_with_its_own_and_keep_the_rest(site, world, code):
    sensor = world.sensors[0]
    name = sensor.identifier
    hall = services.create_gateway(world.network, identifier=f"gw-{name}", name="Hall")
    labels = {"floor": 2, "draft": True}
    services.update_sensor(sensor, now=timezone.now(), name="Boiler", labels=labels, gateway=hall)
    ask(site, code, name)
    page = site.go("/claims/", live=True)
    page.get_by_role("button", name=f"Admit {name} with another").click()
    dialog = page.locator("dialog")
    expect(dialog.get_by_label("Labels")).to_have_value("draft: true\nfloor: 2")
    expect(dialog.get_by_label("Gateway")).to_contain_text(f"As it is: gw-{name}")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Boiler")
    dialog.get_by_label("Name", exact=True).fill("Boiler, north")
    submit(page)
    expect(row(page, name)).to_have_count(0)
    sensor.refresh_from_db()
    assert (sensor.name, sensor.labels, sensor.gateway) == ("Boiler, north", labels, hall)


def test_revoking_a_code_says_who_waits_by_it_and_refuses_them(site, world, code):
    name = f"new-{world.names[0]}"
    ask(site, code, name)
    page = site.go("/claims/", live=True)
    page.get_by_role("button", name="Revoke Delivery").click()
    expect(page.locator("dialog")).to_contain_text("1 device that waits by it will be refused")
    submit(page)
    expect(row(page, name)).to_have_count(0)
    assert ClaimCode.objects.get(network=world.network).revoked_at is not None
    page.get_by_role("group", name="Codes").get_by_role("button", name="Revoked", exact=True).click()
    expect(page.locator("[data-part=codes] tbody tr")).to_contain_text("revoked")


def test_the_bar_counts_who_waits(site, world, code):
    page = site.go("/", live=True)
    badge = page.locator("nav [data-part=claim-count]")
    expect(badge).to_be_hidden()
    for number in range(2):
        ask(site, code, f"new-{number}-{world.names[0]}")
    page = site.go("/networks/", live=True)
    expect(badge).to_have_text("2")
    expect(page.locator("main [data-part=claim-count]")).to_have_text("2")


def test_what_devices_say_stays_text(site, world, code):
    name = f"new-{world.names[0]}"
    hostile = "<img src=x onerror=alert(1)>"
    ask(site, code, name, name=hostile, labels={hostile: hostile})
    page = site.go("/claims/", live=True)
    expect(row(page, name)).to_contain_text(hostile)
    assert page.locator("main img").count() == 0


def test_who_only_reads_sees_who_asks_and_decides_nothing(site, world, code):
    name = f"new-{world.names[0]}"
    ask(site, code, name)
    services.set_member(world.network, user=world.ada, role=Role.VIEWER)
    page = site.go("/claims/", live=True)
    expect(row(page, name)).to_contain_text("waiting")
    for words in ("Admit", "Refuse", "Revoke", "New claim code"):
        expect(page.locator("main").get_by_role("button", name=re.compile(f"^{words}( |$)"))).to_have_count(0)
    expect(page.locator("main input[type=checkbox]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_its_window_with_long_names(open_site, world, code, width, scheme):
    site = open_site(width=width, height=800, color_scheme=scheme).enter(world.ada)
    name = f"{world.names[0]}-{'x' * 40}"
    ask(site, code, name, name="A name that goes on and on " * 5, labels={f"label-{n}": "text " * 5 for n in range(5)})
    ask(site, code, name, proof=PROOF[::-1])
    page = site.go("/claims/", live=True)
    expect(row(page, name)).to_have_count(2)
    expect(row(page, name).first).to_contain_text("2 devices ask")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
