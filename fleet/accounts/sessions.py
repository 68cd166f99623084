"""A person's sessions: from which device, when last, and their end."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session as StoredSession
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from sensors.models import User

# A session that is in use writes its row once in so long.
SEEN_EVERY_S: Final = 60.0
# What a person may have at once: more devices than anybody has, few enough for a page.
MOST_SESSIONS: Final = 50
# Sessions kept in mind; beyond that the oldest are asked for again.
_MOST: Final = 10_000
_BROWSERS: Final = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox", "Firefox"), ("HeadlessChrome", "Chromium"), ("Chrome", "Chrome"),
    ("Safari", "Safari"), ("curl", "curl"), ("python", "a Python program"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Session:
    """One session as its owner sees it. is_current: it is the one that asks."""

    id: int
    device: str
    address: str
    created_at: datetime
    last_seen_at: datetime
    is_current: bool


class SessionsMiddleware:
    """Notes from where and when a session was last used, at most once a minute."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Afterwards: a request that asked for nobody costs nothing, and one that logged in is noted at once. Who came
        # by a token is not the session's user.
        session = request.session
        if session.accessed and session.session_key and response.status_code < 500:
            user_id = session.get(SESSION_KEY)
            if user_id is not None and user_id == str(request.user.pk) and _seen.is_due(session.session_key):
                UserSession.objects.create_from_request(request)
        return response


def sessions_of(user: User, *, current: str | None) -> list[Session]:
    """Return the sessions of `user` that still hold, the current one (by its key) first, then as they were seen."""
    found = [
        Session(
            row.pk, device_name(row.user_agent), row.ip, row.created_at, row.last_seen_at, row.session_key == current
        )
        for row in _stored(user)
        if _is_of(user, row.session_data)
    ]
    return sorted(found, key=lambda each: (not each.is_current, -each.last_seen_at.timestamp()))


def end_session(user: User, session_id: int) -> bool:
    """End one session of `user`; return whether there was one."""
    return _end(UserSession.objects.filter(user=user, pk=session_id)) > 0


def end_sessions(user: User, *, but: str | None = None) -> int:
    """End the sessions of `user`, except the one with the key `but`; return how many there were."""
    return _end(UserSession.objects.filter(user=user).exclude(session_key=but or ""))


def end_oldest_sessions(user: User, *, but: str | None) -> int:
    """End what is too many beside the session with the key `but`, seen longest ago first; return how many."""
    oldest = _stored(user).exclude(session_key=but or "").order_by("-last_seen_at", "-pk")[MOST_SESSIONS - 1 :]
    keys = [row.session_key for row in oldest]
    return _end(UserSession.objects.filter(session_key__in=keys)) if keys else 0


def forget_sessions(*, now: datetime) -> int:
    """Delete sessions whose time is over, with address and device of all that ended; return how many sessions."""
    expired, _ = StoredSession.objects.filter(expire_date__lt=now).delete()
    # Of a login that is going on the one is there before the other.
    ended = UserSession.objects.exclude(session_key__in=StoredSession.objects.values("session_key"))
    ended.filter(last_seen_at__lt=now - timedelta(hours=1)).delete()
    return expired


def _stored(user: User) -> QuerySet[UserSession]:
    """Return the sessions of `user` that were neither ended nor are over, each with its session_data."""
    stored = StoredSession.objects.filter(session_key=OuterRef("session_key"), expire_date__gt=Now())
    rows = UserSession.objects.filter(user=user).annotate(session_data=Subquery(stored.values("session_data")))
    return rows.filter(session_data__isnull=False)


def _is_of(user: User, session_data: str) -> bool:
    """Return whether a session lets `user` in: not one from before a change of the password in the admin."""
    said = SessionStore().decode(session_data)
    return said.get(SESSION_KEY) == str(user.pk) and constant_time_compare(
        said.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()
    )


def _end(rows: QuerySet[UserSession]) -> int:
    keys = list(rows.values_list("session_key", flat=True))
    StoredSession.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(session_key__in=keys).delete()
    return len(keys)


def device_name(user_agent: str) -> str:
    """Return what a browser says of itself in two words: "Firefox on Linux"."""
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "An unknown device"


class _Seen:
    """When this process last wrote the row of each session."""

    def __init__(self) -> None:
        self._at_s: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_due(self, key: str) -> bool:
        now_s = time.monotonic()
        with self._lock:
            at_s = self._at_s.get(key)
            if at_s is not None and now_s - at_s < SEEN_EVERY_S:
                return False
            self._at_s.pop(key, None)
            self._at_s[key] = now_s
            while len(self._at_s) > _MOST:
                self._at_s.popitem(last=False)
        return True


_seen = _Seen()
