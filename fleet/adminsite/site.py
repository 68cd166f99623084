"""The admin's site: its addresses, its content security policy, its navigation."""

from collections.abc import Callable
from typing import Any, Final

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

from fleet.adminsite.entries import entries_page

# Its templates hold styles, and its scripts (htmx, SimpleBar) add some. Scripts are files of this host alone.
_POLICY: Final = {"style-src": ["'self'", "'unsafe-inline'"]}


class FleetAdminSite(UnfoldAdminSite):
    """The admin in unfold's looks, with the pages of telemetry."""

    def extra_urls(self) -> list[URLPattern]:
        """Return the addresses besides those of models."""
        page = self.admin_view(entries_page)
        return [path("telemetry/entries/<slug:kind>/", page, {"site": self}, name="telemetry_entries")]

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Return `view` for staff only, under the admin's policy."""
        return csp_update(_POLICY)(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the admin's own login page, under the admin's policy."""
        response = super().login(request, extra_context)
        response._csp_update = _POLICY  # what the decorator does, which takes functions of one argument
        return response
