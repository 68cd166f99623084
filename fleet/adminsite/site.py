"""The admin's site: its addresses, its content security policy, its navigation."""

from collections.abc import Callable
from typing import Any, Final

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
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
        """Send to the one login page, which asks for the second factor, too."""
        wanted = request.GET.get("next") or reverse("admin:index")
        return HttpResponseRedirect(f"{reverse('login')}?{urlencode({'next': wanted})}")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send to the one page that changes passwords, which limits guesses of the old one."""
        return HttpResponseRedirect(reverse("password_change"))
