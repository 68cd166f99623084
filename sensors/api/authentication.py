"""Callers with `Authorization: Bearer <token>`."""

from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from sensors.models import AccessToken, User

# A busy token writes its row once in so long.
USED_EVERY: Final = timedelta(minutes=1)


class BearerAuthentication(TokenAuthentication):
    """Knox's tokens, found by their hash in one query; an expired one is refused and left for the admin.

    Programs that cannot set `Authorization` send the token as `X-API-Key`.
    """

    def authenticate(self, request: Request) -> tuple[User, AccessToken] | None:
        """Return the user and the token; None without one."""
        if "HTTP_AUTHORIZATION" not in request.META and (key := request.META.get("HTTP_X_API_KEY", "").strip()):
            return self.authenticate_credentials(key.encode(errors="replace"))
        found: tuple[User, AccessToken] | None = super().authenticate(request)
        return found

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
    """Return the row of a token that lets its user in, or None; its user is limited as the token is."""
    try:
        digest = hash_token(token.decode("ascii"))
    except UnicodeDecodeError:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_query(), [digest])
        row = cursor.fetchone()
    if row is None:
        return None
    return usable(_token_of(row), now=timezone.now())


def usable(token: AccessToken, *, now: datetime) -> AccessToken | None:
    """Return the token if it still lets its user in, with the user limited as the token is; else None."""
    user = token.user
    if not user.is_active or (token.expiry is not None and token.expiry <= now):
        return None
    user.limits = token.limits
    if token.last_used_at is None or now - token.last_used_at >= USED_EVERY:
        due = Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - USED_EVERY)
        AccessToken.objects.filter(due, pk=token.pk).update(last_used_at=now)
    return token


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
