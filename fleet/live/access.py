"""Who opens a WebSocket, whether they may, and whether they still may."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, parse_cookie
from django.utils.http import is_same_domain

from sensors.api.authentication import find_token, usable
from sensors.models import AccessToken, User

# Close codes of docs/websocket.md.
NOT_LOGGED_IN = 4401
NOT_ALLOWED = 4403


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened a socket, and by what: a session's key or a token's digest."""

    user: User
    session_key: str | None = None
    token_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody is let in. `code`: tell it in a close frame; None: refuse the handshake with HTTP 403."""

    code: int | None
    reason: str


def admit(scope: dict[str, Any]) -> Caller | Refusal:
    """Return who opens the socket, or why they may not. Asks the database.

    An `Authorization: Bearer` or `X-API-Key` header stands for itself: no page of another site can send one. A
    session cookie is sent by browsers whichever page opens the socket, so it counts only with the Origin of this
    site (the Host that was asked for, or one of CSRF_TRUSTED_ORIGINS).
    """
    request = _request(scope)
    try:
        request.get_host()
    except DisallowedHost:
        return Refusal(None, "host not allowed")
    authorization = request.META.get("HTTP_AUTHORIZATION", "")
    if authorization:
        return _by_token(authorization)
    if key := request.META.get("HTTP_X_API_KEY", "").strip():
        return _by_token(f"Bearer {key}")
    if not _origin_matches(request):
        return Refusal(None, "a socket of a session needs the Origin of this site")
    session_key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    user = _session_user(session_key) if session_key else None
    # A page sees a close code, but of a refused handshake nothing at all.
    return Refusal(NOT_LOGGED_IN, "not logged in") if user is None else Caller(user, session_key=session_key)


def still_logged_in(caller: Caller, *, now: datetime) -> User | None:
    """Return the caller's user as it is now, or None when its session or token is no longer good."""
    if caller.session_key is not None:
        return _session_user(caller.session_key)
    token = AccessToken.objects.select_related("user").filter(digest=caller.token_digest).first()
    found = None if token is None else usable(token, now=now)
    return None if found is None else found.user


def _by_token(authorization: str) -> Caller | Refusal:
    scheme, _, secret = authorization.partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.isascii() or not secret:
        return Refusal(None, "not a bearer token")
    token = find_token(secret.encode())
    if token is None:
        return Refusal(None, "the token is not valid, or not any more")
    return Caller(token.user, token_digest=token.digest)


def _session_user(session_key: str) -> User | None:
    """Return the active user of a session that still holds: not ended, and of the current password."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None


def _request(scope: dict[str, Any]) -> HttpRequest:
    """Return what Django needs of a handshake to judge its host, scheme and cookies."""
    request = HttpRequest()
    for name, value in scope.get("headers", []):
        key = "HTTP_" + name.decode("latin1").upper().replace("-", "_")
        request.META[key] = value.decode("latin1")
    server = scope.get("server") or ("", 0)
    request.META["SERVER_NAME"], request.META["SERVER_PORT"] = str(server[0]), str(server[1])
    request.COOKIES.update(parse_cookie(request.META.get("HTTP_COOKIE", "")))
    return request


def _origin_matches(request: HttpRequest) -> bool:
    origin = request.META.get("HTTP_ORIGIN", "")
    if origin == f"{request.scheme}://{request.get_host()}":
        return True
    return _is_trusted(origin, settings.CSRF_TRUSTED_ORIGINS)


def _is_trusted(origin: str, trusted: Iterable[str]) -> bool:
    """Return whether `origin` is one of `trusted`, where `https://*.example.org` means its subdomains."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    for pattern in trusted:
        scheme, _, host = pattern.partition("://")
        if host.startswith("*"):
            if parts.scheme == scheme and parts.netloc and is_same_domain(parts.netloc, host.lstrip("*")):
                return True
        elif origin == pattern:
            return True
    return False
