"""A sensor's credential in a real browser: shown once, rotated, revoked."""

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from sensors import services
from sensors.models import CredentialState, Role, SensorCredential
from sensors.services.credentials import due_credentials, hashed_secrets, mark_applied

pytestmark = pytest.mark.browser


def open_credential(page: Page) -> None:
    page.get_by_role("button", name="Credential").click()
    expect(page.locator("dialog h2")).to_contain_text("Credential of")


def shown_password(page: Page) -> str:
    expect(page.locator("dialog h2")).to_contain_text("New credential of")
    lines = page.locator("dialog pre").first.inner_text().splitlines()
    return lines[2].removeprefix("password").strip()


def apply() -> None:
    now = timezone.now()
    mark_applied([each.change for each in due_credentials(limit=100, now=now)], now=now)


def test_it_is_issued_shown_once_rotated_and_revoked(site, world):
    name = world.names[0]
    page = site.go(f"/sensors/{name}/")
    open_credential(page)
    expect(page.locator("dialog .pill")).to_have_text("none")
    page.get_by_role("button", name="Issue a credential").click()
    first = shown_password(page)
    assert hashed_secrets()[name].matches(first)
    line = page.locator("dialog pre").nth(1).inner_text()
    assert f"-i {name} -u {name} -P '{first}'" in line
    page.locator("dialog .dialog-foot").get_by_role("button", name="Close").click()
    assert first not in page.content()

    apply()
    open_credential(page)
    expect(page.locator("dialog .pill")).to_have_text("active")
    expect(page.locator("dialog dl")).to_contain_text(world.ada.get_username())
    page.get_by_role("button", name="Issue a new one").click()
    second = shown_password(page)
    assert second != first
    assert hashed_secrets()[name].matches(second)
    page.locator("dialog .dialog-foot").get_by_role("button", name="Close").click()

    open_credential(page)
    page.get_by_role("button", name="Revoke").click()
    expect(page.locator("dialog h2")).to_contain_text("Revoke the credential of")
    page.locator("dialog button[type=submit]").click()
    expect(page.locator("[role=status]", has_text="is revoked")).to_be_visible()
    assert SensorCredential.objects.get(identifier=name).state == CredentialState.REVOKING


def test_viewers_see_how_far_it_is_and_can_do_nothing(site, world):
    services.issue_credential(world.sensors[0], author=None, now=timezone.now())
    services.set_member(world.network, user=world.ada, role=Role.VIEWER)
    page = site.go(f"/sensors/{world.names[0]}/")
    open_credential(page)
    expect(page.locator("dialog .pill")).to_have_text("waiting")
    expect(page.locator("dialog button[type=submit]")).to_have_count(0)
    expect(page.get_by_role("button", name="Revoke")).to_have_count(0)
