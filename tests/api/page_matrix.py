"""Who gets which page: every address outside of the API, as Django's resolver has them, and what it needs."""

import re
from collections.abc import Iterator
from typing import Any, Final

from django.urls import URLPattern, URLResolver, get_resolver

from tests.api.matrix import CALLERS, LOGIN, OPEN, STAFF, VIEWER

# Of the admin: what nobody without a login as staff gets, whatever is behind it.
ADMIN: Final = "admin"
# Answers 405 to a GET.
POST_ONLY: Final = "post only"

PAGES: Final[dict[str, str]] = {
    "": LOGIN,
    "sensors/<slug:identifier>/": VIEWER,
    "alerts/": LOGIN,
    "alerts/<int:pk>/": VIEWER,
    "rules/": LOGIN,
    "notifications/": LOGIN,
    "networks/": LOGIN,
    "tokens/": LOGIN,
    "audit/": LOGIN,
    "ingest/": STAFF,
    "login/": OPEN,
    "logout/": POST_ONLY,
    "password/": LOGIN,
    "password/done/": LOGIN,
    "api/schema/": OPEN,
    "api/docs/": OPEN,
    "healthz": OPEN,
    "admin/": ADMIN,
    "admin/login/": OPEN,
}
# For probes and Prometheus rather than people: tests/health/ tries who gets what.
ELSEWHERE: Final = {"readyz", "metrics"}


def addresses() -> list[str]:
    """Return the routes of all pages; those of the admin's models are what is below `admin/`."""
    return [route for route in _routes(get_resolver()) if not route.startswith("api/v1/")]


def entry(route: str) -> str | None:
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


def status(needs: str, *, rank: int, is_staff: bool, is_known: bool) -> int | str:
    """Return what a page answers to a person of such a rank in the network; a text begins where it leads to."""
    if needs == OPEN:
        return 200
    if needs == POST_ONLY:
        return 405
    if needs == ADMIN:
        return 200 if is_staff else "/admin/login/"
    if not is_known:
        return "/login/"
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
