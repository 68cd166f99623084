"""Tokens with which programs use the API."""

from datetime import timedelta
from typing import Final

from sensors.errors import Forbidden, Invalid
from sensors.models import AccessToken, User
from sensors.services.checks import clean

# Whoever needs longer asks for a token without an end, and knows it.
MAX_DAYS: Final = 3650


def create_token(user: User, *, name: str = "", days: int | None) -> tuple[AccessToken, str]:
    """Return the new token's row and the token itself, which is stored nowhere and never shown again.

    days: how long it is valid; None: until it is deleted. Raises Forbidden for an inactive user.
    """
    if not user.is_active:
        raise Forbidden(f"The user {user.get_username()} is inactive; a token would not let them in.")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} is not from 1 to {MAX_DAYS} days.", field="days")
    clean(AccessToken(name=name), "name")
    token, secret = AccessToken.objects.create(
        user=user, expiry=None if days is None else timedelta(days=days), name=name
    )
    return token, secret


def end_token(token: AccessToken) -> None:
    """Make the token worthless from now on."""
    token.delete()
