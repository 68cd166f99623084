"""Links to set a password, for who cannot log in: the same as a mail brings, to be handed over by staff."""

from functools import partial

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from sensors import mail
from sensors.errors import Forbidden
from sensors.models import AuditEntry, User


def password_link(user: User, request: HttpRequest | None = None) -> str:
    """Return a link by which `user` sets a password, the first one or another; it works once, for three days.

    Without PUBLIC_URL and a request it is a path only. Raises Forbidden for an inactive user.
    """
    if not user.is_active:
        raise Forbidden(f"{user.get_username()} is inactive; a password would not let them in.")
    key = default_token_generator.make_token(user)
    AuditEntry.objects.log_create(
        user, force_log=True, action=AuditEntry.Action.UPDATE, changes={"password": ["", "a link to set it was made"]}
    )
    return mail.link(reverse("account_reset_password_from_key", args=[user_pk_to_url_str(user), key]), request)


def mail_password_link(user: User, link: str) -> bool:
    """Send the link to the user's address once the transaction is through; return whether it will be on its way."""
    if not user.email or not mail.is_configured():
        return False
    text = (
        f"There is an account {user.get_username()} of Fleet for you. Set its password here:\n\n{link}\n\n"
        "The link works once, for three days. Later ones come from 'Forgotten your password?' at the login.\n"
    )
    # The admin adds a user in one transaction, with whatever else may still fail in it.
    transaction.on_commit(partial(mail.send_text, user.email, subject="Your account of Fleet", text=text))
    return True
