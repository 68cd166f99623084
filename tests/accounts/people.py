"""People with passwords and phones, and their browsers."""

import ipaddress
import re
import time
import uuid
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.http import HttpResponse
from django.test import Client

from sensors import mail as fleet_mail
from sensors.models import User

PASSWORD = "correct horse battery"
OTHER_PASSWORD = "another staple altogether"
PERIOD_S = 30


def fresh_address() -> str:
    """Return an address that nobody else uses: attempts are counted by it."""
    return str(ipaddress.IPv6Address(uuid.uuid4().int))


class Browser(Client):
    """A browser at an address of its own."""

    def __init__(self, user_agent: str = "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0") -> None:
        super().__init__(REMOTE_ADDR=fresh_address(), HTTP_USER_AGENT=user_agent)

    def log_in(self, username: str, password: str = PASSWORD, **options: Any) -> HttpResponse:
        """Send the form of the login page."""
        return self.post("/login/", {"username": username, "password": password, **options})

    def confirm(self, **answer: str) -> None:
        """Show that it is you: by `password` or by `code`."""
        path = "/account/confirm/code/" if "code" in answer else "/account/confirm/"
        assert self.post(path, answer).status_code == 302

    @property
    def is_in(self) -> bool:
        """Whether it is logged in."""
        return self.get("/account/").status_code == 200


class Phone:
    """An authenticator app that knows one secret."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def code(self, ahead: int = 0) -> str:
        """Return the code of now, or of so many periods later: each is taken once."""
        return format_hotp_value(hotp_value(self.secret, int(time.time()) // PERIOD_S + ahead))

    @property
    def wrong_code(self) -> str:
        """A code that is right at no moment near."""
        near = {self.code(ahead) for ahead in range(-3, 4)}
        return next(
            code for code in ("000000", "111111", "222222", *map(str, range(333333, 333343))) if code not in near
        )


def enter(user: User) -> Browser:
    """Return a browser in which `user` is logged in, by the password."""
    browser = Browser()
    assert browser.log_in(user.username).status_code == 302
    return browser


def switch_on(browser: Client, **answer: str) -> tuple[Phone, list[str]]:
    """Switch it on by the pages, which uses up the code of now; return the phone and the recovery codes."""
    browser.confirm(**(answer or {"password": PASSWORD}))
    page = browser.get("/account/two-factor/")
    phone = Phone(page.context["form"].secret)
    done = browser.post("/account/two-factor/", {"code": phone.code()})
    assert (done.status_code, done["Location"]) == (302, "/account/recovery-codes/")
    shown = browser.get("/account/recovery-codes/")
    return phone, re.findall(r"<li>(\d{8})</li>", shown.content.decode())


def mailed() -> list[Any]:
    """Return all mails that were sent: they are sent in the background, one after the other."""
    fleet_mail._sender.submit(lambda: None).result()
    return mail.outbox


def link_in(text: str) -> str:
    """Return the path of the link in a text."""
    found = re.search(r"https?://[^/\s]+(/\S+)", text)
    assert found is not None, text
    return found[1]


def set_by(path: str, new: str = OTHER_PASSWORD, browser: Client | None = None) -> HttpResponse:
    """Open a link to set a password, and send the form that it leads to."""
    browser = browser or Browser()
    opened = browser.get(path)
    if opened.status_code != 302:
        return opened
    return browser.post(opened["Location"], {"password1": new, "password2": new})
