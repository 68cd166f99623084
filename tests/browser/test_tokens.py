"""The reader's tokens in a real browser."""

import pytest
from playwright.sync_api import expect

from sensors import services
from sensors.models import AccessToken
from tests.api.callers import Caller

pytestmark = pytest.mark.browser


def row(page, name):
    return page.locator("[data-part=tokens] tbody tr", has_text=name)


def test_a_token_is_made_shown_once_used_and_ended(site, world):
    page = site.go("/")
    page.click("[data-part=user-menu] summary")
    page.get_by_role("link", name="Tokens").click()
    expect(page.locator("[data-part=tokens-empty]")).to_contain_text("No tokens yet")
    page.get_by_role("button", name="New token").first.click()
    site.expected = {"status of 400 "}
    page.fill("dialog [name=days]", "0")
    page.fill("dialog [name=name]", "<i>page</i>")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog [data-field=days] .error")).to_be_visible()
    page.fill("dialog [name=days]", "30")
    page.get_by_label(world.network.name).check()
    page.click("dialog button[type=submit]")

    shown = page.get_by_role("dialog", name="Token “<i>page</i>”")
    secret = shown.locator("pre").first.text_content()
    program = Caller(Authorization=f"Bearer {secret}")
    assert program.get("me/").json()["token"]["scope"] == "read"
    assert program.get(f"sensors/{world.names[0]}/").status_code == 200
    assert program.patch(f"sensors/{world.names[0]}/", {"name": "x"}).status_code == 403
    shown.get_by_role("button", name="Close").last.click()
    expect(shown).to_have_count(0)
    expect(row(page, "<i>page</i>")).to_contain_text(world.network.name)
    assert secret not in page.content()

    page.get_by_role("button", name="End <i>page</i>").click()
    page.get_by_role("dialog").get_by_role("button", name="End token").click()
    expect(page.locator("[data-part=tokens-empty]")).to_be_visible()
    assert program.get("me/").status_code == 401
    assert not AccessToken.objects.filter(user=world.ada, name="<i>page</i>").exists()


def test_a_token_whose_networks_are_gone_says_that_none_is_left(site, world):
    gone = services.create_network(slug=f"gone-{world.network.slug}", name="Gone", owner=world.ada)
    Caller(world.ada).post("tokens/", {"name": "weather page", "networks": [gone.slug], "days": 1})
    services.delete_network(gone)
    site.go("/tokens/")
    expect(row(site.page, "weather page")).to_contain_text("none that is left")
