"""Callers with `Authorization: Bearer <token>`."""

from typing import Any

from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed

from sensors.models import AccessToken, User


class BearerAuthentication(TokenAuthentication):
    """Knox's tokens, found by their hash in one query; an expired one is refused and left for the admin."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AccessToken]:
        """Return the token's user and row; AuthenticationFailed if it is unknown, expired or of an inactive user."""
        found = find_token(token)
        if found is None:
            raise AuthenticationFailed("This token is not valid, or not any more.")
        return found.user, found

    def authenticate_header(self, request: Any) -> str:
        """Return the challenge of a 401."""
        return "Bearer"


def find_token(token: bytes) -> AccessToken | None:
    """Return the row of a token that lets its user in, or None."""
    try:
        digest = hash_token(token.decode("ascii"))
    except UnicodeDecodeError:
        return None
    found = AccessToken.objects.select_related("user").filter(digest=digest).first()
    if found is None or not found.user.is_active:
        return None
    return None if found.expiry is not None and found.expiry <= timezone.now() else found
