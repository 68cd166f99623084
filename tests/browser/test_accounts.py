"""People's accounts in a real browser: a second factor, an invitation, sessions of other devices."""

import pytest
from playwright.sync_api import Page, expect

from fleet.accounts import second_factor
from sensors import services
from sensors.models import Membership, Role, User
from tests.accounts.people import Phone

pytestmark = pytest.mark.browser
PASSWORD = "correct horse battery"


@pytest.fixture
def ada(world) -> User:
    world.ada.set_password(PASSWORD)
    world.ada.save()
    return world.ada


def log_in(page: Page, username: str, password: str = PASSWORD) -> None:
    page.fill("#id_username", username)
    page.fill("#id_password", password)
    page.get_by_role("button", name="Log in").click()


def give(page: Page, **fields: str) -> None:
    """Fill in the form by the names of its fields, and send it."""
    for name, value in fields.items():
        page.fill(f"[name={name}]", value)
    page.locator("main form button[type=submit]").click()


def entered(open_site, user: User) -> Page:
    """Return a window in which `user` has logged in by the form."""
    page = open_site().go("/login/")
    log_in(page, user.username)
    page.wait_for_url("**/")
    return page


def test_a_second_factor_is_switched_on_and_asked_for(open_site, ada):
    page = entered(open_site, ada)
    page.locator("[data-part=user-menu] summary").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name="Switch on").click()
    give(page, password=PASSWORD)
    expect(page.locator("img.qr")).to_be_visible()
    phone = Phone(page.inner_text("[data-part=secret]"))
    give(page, code=phone.code())
    expect(page.locator("[data-part=codes] li")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator("#main")).to_contain_text("10 recovery codes left")

    other = open_site().go("/account/")
    log_in(other, ada.username)
    expect(other.locator("h1")).to_have_text("Your code")
    expect(other.locator("[name=code]")).to_be_focused()
    give(other, code=phone.wrong_code)
    expect(other.locator(".error")).to_contain_text("This code is wrong")
    give(other, code=phone.code(1))
    expect(other.locator("h1")).to_have_text("Account")
    assert second_factor.is_on(ada)


def test_an_invitation_is_made_and_accepted_by_somebody_new(open_site, world):
    services.set_member(world.network, user=world.ada, role=Role.OWNER)
    page = open_site().enter(world.ada).go("/networks/")
    page.get_by_role("button", name="Members").click()
    page.get_by_role("button", name="Invite by a link").click()
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("dialog pre").inner_text()
    expect(page.locator("dialog .invitation .pill")).to_have_text("open")

    guest = open_site()
    name = f"grace-{world.network.slug}"
    new = guest.go(link.removeprefix(f"http://{guest.host}"))
    expect(new.locator("h1")).to_contain_text(world.network.name)
    give(new, username=name, password1=PASSWORD, password2=PASSWORD)
    new.wait_for_url(f"**/?network={world.network.slug}")
    assert Membership.objects.get(network=world.network, user__username=name).role == "operator"

    page.reload()
    page.get_by_role("button", name="Members").click()
    page.get_by_role("button", name="Invite by a link").click()
    expect(page.locator("dialog .invitation .pill")).to_have_text("accepted")


def test_an_invitation_is_withdrawn_after_a_question(open_site, world):
    services.set_member(world.network, user=world.ada, role=Role.OWNER)
    page = open_site().enter(world.ada).go("/networks/")
    page.get_by_role("button", name="Members").click()
    page.get_by_role("button", name="Invite by a link").click()
    page.get_by_role("button", name="Make a link").click()
    page.get_by_role("button", name="Withdraw the invitation").click()
    page.get_by_role("button", name="Withdraw", exact=True).click()
    expect(page.locator("dialog .invitation .pill")).to_have_text("revoked")


def test_a_network_is_handed_over_after_a_question(open_site, world):
    services.set_member(world.network, user=world.ada, role=Role.OWNER)
    heir = User.objects.create_user(f"heir-{world.network.slug}")
    services.set_member(world.network, user=heir, role=Role.VIEWER)
    page = open_site().enter(world.ada).go("/networks/")
    page.get_by_role("button", name="Members").click()
    page.get_by_role("button", name=f"Hand the network over to {heir.username}").click()
    page.get_by_role("button", name="Hand over", exact=True).click()
    expect(page.locator("main")).to_contain_text("your role: operator")
    assert Membership.objects.get(network=world.network, user=heir).role == "owner"


def test_staff_who_own_nothing_are_told_that_they_lose_nothing_by_handing_over(open_site, world):
    # The first on the page, which shows staff every network there is.
    network = services.create_network(slug=f"0-{world.network.slug}", name="Orphaned", owner=None)
    services.set_member(network, user=world.ada, role=Role.OPERATOR)
    staff = User.objects.create_user(f"staff-{network.slug}", is_staff=True)
    page = open_site().enter(staff).go("/networks/")
    page.locator(f"section[aria-labelledby='network-{network.slug}']").get_by_role("button", name="Members").click()
    page.get_by_role("button", name=f"Hand the network over to {world.ada}").click()
    question = page.get_by_role("dialog", name="Hand Orphaned over")
    expect(question).to_contain_text("Nothing changes for you")
    expect(question).not_to_contain_text("you an operator")


def test_a_network_is_left_after_a_question_and_its_card_with_it(open_site, world):
    page = open_site().enter(world.ada).go("/networks/")
    page.get_by_role("button", name="Members").click()
    leave = page.get_by_role("button", name="Leave this network")
    leave.click()
    question = page.get_by_role("dialog", name=f"Leave {world.network.name}?")
    question.get_by_role("button", name="Cancel").click()
    assert Membership.objects.filter(network=world.network, user=world.ada).exists()
    leave.click()
    question.get_by_role("button", name="Leave", exact=True).click()
    expect(page.locator("main")).to_contain_text("No networks yet")
    assert not Membership.objects.filter(network=world.network, user=world.ada).exists()


def test_a_session_on_another_device_is_ended_after_a_question(open_site, ada):
    page = entered(open_site, ada)
    other = entered(open_site, ada)
    page.goto(page.url + "account/")
    expect(page.locator(".sessions li")).to_have_count(2)
    page.locator(".sessions").get_by_role("button", name="End").click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator(".notice")).to_contain_text("The session has ended.")
    expect(page.locator(".sessions li")).to_have_count(1)
    other.reload()
    expect(other.locator("h1")).to_have_text("Log in")
    page.reload()
    expect(page.locator("h1")).to_have_text("Account")
