"""How allauth does what this service wants otherwise: limits, addresses, mail, secrets."""

import ipaddress
from typing import Any, Final

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from fleet.accounts.sessions import end_oldest_sessions
from sensors import mail
from sensors.addresses import client_address
from sensors.sealing import seal, unseal

_PURPOSE: Final = "second factors"


class AccountAdapter(DefaultAccountAdapter):
    """People's accounts."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "Please enter a correct username and password. Note that both fields may be"
        " case-sensitive.",
        "enter_current_password": "This is not your password.",
        "incorrect_password": "This is not your password.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count nothing here: fleet.login does, for every door."""

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Leave no messages: pages say themselves what was done."""

    def is_ajax(self, request: HttpRequest) -> bool:
        """Return False: these addresses answer with pages and nothing else."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Return whether a reader may be sent to `url`: pages of this host only."""
        request = self.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that the request came from."""
        # A socket of this machine has none.
        return client_address(request) or str(ipaddress.IPv6Address(0))

    def login(self, request: HttpRequest, user: Any) -> None:
        """Begin the session; beyond so many of one user the one that was not seen for longest ends."""
        super().login(request, user)
        end_oldest_sessions(user, but=request.session.session_key)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """Send who was switched off while logging in back to the login."""
        return HttpResponseRedirect(reverse("login"))

    def set_password(self, user: Any, password: str) -> None:
        """Store the password and nothing else: what staff changed of the user meanwhile stays."""
        user.set_password(password)
        user.save(update_fields=["password"])

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Return where one lands after a change of password."""
        return reverse("password_change_done")

    def get_reauthentication_methods(self, user: Any) -> list[dict]:
        """Return by what one shows that it is oneself: by a code, where there is a second factor."""
        methods = super().get_reauthentication_methods(user)
        return [method for method in methods if method["id"] == "mfa_reauthenticate"] or methods

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link of a mail, at the service's public address."""
        uid, _, token = key.partition("-")
        return mail.link(reverse("account_reset_password_from_key", args=[uid, token]), self.request)

    def send_password_reset_mail(self, user: Any, email: str, context: dict[str, Any]) -> None:
        """Send the link to the user's own address, never to what was typed."""
        super().send_password_reset_mail(user, user.email, context)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail soon: how long the mail server takes must not tell whether there is such an address.

        Making the link and the text takes 0.7 ms, which an address without a user saves; ResetThrottle lets nobody
        measure that often enough over a network.
        """
        message = self.render_mail(template_prefix, email, context)
        mail.send_soon(message)

    def format_email_subject(self, subject: str) -> str:
        """Return the subject as it is."""
        return str(subject)


class SecondFactorAdapter(DefaultMFAAdapter):
    """Codes of an app, whose secrets are encrypted in the database."""

    def get_totp_label(self, user: Any) -> str:
        """Return under which name the app lists it."""
        return str(user.get_username())

    def encrypt(self, text: str) -> str:
        """Return it sealed."""
        return seal(text, purpose=_PURPOSE, keys=[settings.SECRET_KEY])

    def decrypt(self, encrypted_text: str) -> str:
        """Return what was sealed; raises sensors.sealing.Unreadable."""
        return unseal(encrypted_text, purpose=_PURPOSE, keys=[settings.SECRET_KEY])
