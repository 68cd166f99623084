"""Who gets which page: every address outside of the API, as Django's resolver has them, and what it needs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

from tests.api.matrix import CALLERS, LOGIN, OPEN, STAFF, VIEWER

# Of the admin: what nobody without a login as staff gets, whatever is behind it.
ADMIN: Final = "admin"
# Answers 405 to a GET.
POST_ONLY: Final = "post only"


@dataclass(frozen=True, slots=True)
class Own:
    """A page about one's own account. answer: what somebody gets who has neither a password nor a second factor."""

    answer: int | str = 200


@dataclass(frozen=True, slots=True)
class Anybody:
    """A page that needs no login, with what it answers where it is not 200."""

    answer: int


Needs = str | Own | Anybody
PAGES: Final[dict[str, Needs]] = {
    "": LOGIN,
    "sensors/<slug:identifier>/": VIEWER,
    "alerts/": LOGIN,
    "alerts/<int:pk>/": VIEWER,
    "rules/": LOGIN,
    "notifications/": LOGIN,
    "networks/": LOGIN,
    "claims/": LOGIN,
    "tokens/": LOGIN,
    "audit/": LOGIN,
    "ingest/": STAFF,
    "login/": OPEN,
    "logout/": POST_ONLY,
    "login/code/": Own("/"),
    "register/": Anybody(403),
    "invitations/<str:secret>/": Anybody(404),
    "password/": Own("/password/forgotten/"),
    "password/done/": LOGIN,
    "password/forgotten/": OPEN,
    "password/forgotten/sent/": OPEN,
    r"password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[^/]+)/$": Anybody(404),
    "password/new/done/": OPEN,
    "account/": Own(),
    "account/email/": Own(),
    "account/confirm/": Own(403),
    "account/confirm/code/": Own(403),
    "account/two-factor/": Own(),
    "account/two-factor/off/": Own(404),
    "account/recovery-codes/": Own(404),
    "account/recovery-codes/new/": Own(),
    "account/sessions/<int:pk>/end/": Own(405),
    "account/sessions/end-others/": Own(405),
    "api/schema/": OPEN,
    "api/docs/": OPEN,
    "healthz": OPEN,
    "admin/": ADMIN,
}
# For probes and Prometheus rather than people: tests/health/ tries who gets what.
ELSEWHERE: Final = {"readyz", "metrics"}


def addresses() -> list[str]:
    """Return the routes of all pages; those of the admin's models are what is below `admin/`."""
    return [route for route in _routes(get_resolver()) if not route.startswith("api/v1/")]


def entry(route: str) -> Needs | None:
    """Return what a page needs; None if nobody has said it. All of the admin is alike."""
    if route in PAGES:
        return PAGES[route]
    return ADMIN if route.startswith("admin/") else None


def filled(route: str, names: dict[str, Any]) -> str:
    """Return an address of the route; the admin refuses before it looks what is there."""
    known = {"<slug:identifier>": str(names["identifier"]), "<int:pk>": str(names["alert"])}
    for parameter, name in known.items():
        route = route.replace(parameter, name)
    return "/" + re.sub(r"\(\?P<\w+>([^|)]+)[^)]*\)\$?|<[^>]+>", lambda found: found[1] or "1", route)


def status(needs: Needs, *, rank: int, is_staff: bool, is_known: bool) -> int | str:
    """Return what a page answers to a person of such a rank in the network; a text begins where it leads to."""
    if isinstance(needs, Anybody):
        return needs.answer
    if needs == OPEN:
        return 200
    if needs == POST_ONLY:
        return 405
    if needs == ADMIN:
        return 200 if is_staff else "/admin/login/"
    if not is_known:
        return "/login/"
    if isinstance(needs, Own):
        return needs.answer
    if needs == STAFF:
        return 200 if is_staff else 403
    return 404 if needs == VIEWER and not rank else 200


PEOPLE: Final = {name: CALLERS[name] for name in ("other_owner", "viewer", "operator", "owner", "staff")}


def _routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from _routes(pattern, route)
