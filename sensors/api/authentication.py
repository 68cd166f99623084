"""Callers with `Authorization: Bearer <token>`."""

from functools import cache
from typing import Any

from django.db import connection
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
    with connection.cursor() as cursor:
        cursor.execute(_query(), [digest])
        row = cursor.fetchone()
    if row is None:
        return None
    found = _token_of(row)
    if not found.user.is_active:
        return None
    return None if found.expiry is not None and found.expiry <= timezone.now() else found


@cache
def _query() -> str:
    """Return the SQL that reads a token and its user by the token's hash."""
    # Every request asks this, and composing it anew takes longer than the answer.
    query, _ = AccessToken.objects.select_related("user").filter(digest="").query.sql_with_params()
    return query


def _token_of(row: tuple[Any, ...]) -> AccessToken:
    """Return the token of a row of `_query`: its own columns, then those of its user."""
    own, users = ([field.attname for field in model._meta.concrete_fields] for model in (AccessToken, User))
    token = AccessToken.from_db(connection.alias, own, row[: len(own)])
    token.user = User.from_db(connection.alias, users, row[len(own) :])
    return token
