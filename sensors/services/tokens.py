"""Tokens with which programs use the API."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from sensors.errors import Forbidden, Invalid
from sensors.models import AccessToken, Network, TokenScope, User
from sensors.services.checks import clean

# Whoever needs longer asks for a token without an end, and knows it.
MAX_DAYS: Final = 3650


def create_token(
    user: User,
    *,
    name: str = "",
    days: int | None,
    scope: TokenScope | str = TokenScope.ADMIN,
    networks: Iterable[Network] | None = None,
) -> tuple[AccessToken, str]:
    """Return the new token's row and the token itself, which is stored nowhere and never shown again.

    days: how long it is valid; None: until it is deleted. scope: how much of the user's rights it has; networks: in
    which alone, None for all, those that the user joins later too. It follows its user: what they may not do any more,
    neither may it. Raises Forbidden for an inactive user, Invalid naming the field.
    """
    if not user.is_active:
        raise Forbidden(f"The user {user.get_username()} is inactive; a token would not let them in.")
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} is not from 1 to {MAX_DAYS} days.", field="days")
    if scope not in TokenScope.values:
        raise Invalid(f"{scope!r} is none of {', '.join(TokenScope.values)}.", field="scope")
    ids = None if networks is None else sorted({network.pk for network in networks})
    if ids == []:
        raise Invalid("Name at least one network, or none of this for all.", field="networks")
    clean(AccessToken(name=name), "name")
    token, secret = AccessToken.objects.create(
        user=user, expiry=None if days is None else timedelta(days=days), name=name, scope=scope, network_ids=ids
    )
    return token, secret


def end_token(token: AccessToken) -> None:
    """Make the token worthless from now on."""
    token.delete()
