"""The pages: what the server knows of the reader, and empty frames that the scripts fill over REST and WebSocket."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from alerts.models import Alert, AlertSeverity
from fleet.accounts.views import account_context
from fleet.api.audit import kinds
from sensors.connecting import mqtt_address
from sensors.models import Membership, Role
from sensors.queries import STATUSES, visible, visible_networks, visible_sensors

# Enough to fill a screen while the first answer is on its way; rows that come take their place.
SKELETON_ROWS: Final = range(8)
SKELETON_CELLS: Final = range(6)
TARGET_ROWS: Final = range(2)
TOLD_CELLS: Final = range(5)
SENSOR_FACTS: Final = (
    "Last seen", "Network", "Gateway", "Expected every", "Running", "Newest revision", "Acknowledged",
)  # fmt: skip
ALERT_FACTS: Final = ("Sensor", "Network", "Fires when", "Newest value", "Started", "Lasts", "Acknowledged")

Page = Callable[..., HttpResponse]


def page(view: Page) -> Page:
    """Return `view` as a page: for people who are logged in, read only, kept by no cache."""
    return wraps(view)(require_safe(never_cache(login_required(view))))


@page
def overview(request: HttpRequest) -> HttpResponse:
    """Answer with counts and the table of all sensors that the reader may see."""
    return _page(request, "overview", statuses=STATUSES, severities=_severities())


@page
def sensor(request: HttpRequest, identifier: str) -> HttpResponse:
    """Answer with one sensor's page; 404 for what is not there and for what is another's."""
    sensors = visible_sensors(request.user).select_related("network")
    found = get_object_or_404(sensors, identifier=identifier)
    return _page(request, "sensor", section="overview", sensor=found, facts=SENSOR_FACTS)


@page
def alerts(request: HttpRequest) -> HttpResponse:
    """Answer with the list of alerts."""
    return _page(request, "alerts", severities=_severities())


@page
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer with one alert's page; 404 for what is not there and for what is another's."""
    found = get_object_or_404(visible(request.user, Alert.objects.select_related("network")), pk=pk)
    return _page(request, "alert", section="alerts", alert=found, facts=ALERT_FACTS, told_cells=range(4))


@page
def rules(request: HttpRequest) -> HttpResponse:
    """Answer with the list of rules."""
    return _page(request, "rules")


@page
def notifications(request: HttpRequest) -> HttpResponse:
    """Answer with the list of notification targets, and of what they were told."""
    return _page(
        request,
        "notifications",
        target_rows=TARGET_ROWS,
        told_cells=TOLD_CELLS,
        schemes=sorted(settings.NOTIFICATION_SCHEMES),
    )


@page
def networks(request: HttpRequest) -> HttpResponse:
    """Answer with the list of networks."""
    return _page(request, "networks")


@page
def tokens(request: HttpRequest) -> HttpResponse:
    """Answer with the list of the reader's tokens."""
    return _page(request, "tokens", target_rows=TARGET_ROWS)


@page
def audit(request: HttpRequest) -> HttpResponse:
    """Answer with the audit log."""
    return _page(request, "audit", kinds=kinds(), told_cells=TOLD_CELLS)


@page
def claims(request: HttpRequest) -> HttpResponse:
    """Answer with the lists of devices that ask for a place, and of claim codes."""
    return _page(request, "claims", section="networks", target_rows=TARGET_ROWS)


@page
def ingest(request: HttpRequest) -> HttpResponse:
    """Answer staff with how ingest is: it counts every network, so it is not for members of some; 403 for them."""
    if not request.user.is_staff:  # type: ignore[union-attr]
        raise PermissionDenied
    return _page(request, "ingest")


@page
def account(request: HttpRequest) -> HttpResponse:
    """Answer with the reader's own account."""
    return _page(request, "account", **account_context(request))


@page
def password_changed(request: HttpRequest) -> HttpResponse:
    """Answer that the password was changed."""
    return render(request, "dashboard/password_changed.html")


def _page(request: HttpRequest, name: str, *, section: str = "", **context: Any) -> HttpResponse:
    context |= {
        "section": section or name,
        "viewer": _viewer(request),
        "now": timezone.now(),
        "skeleton_rows": SKELETON_ROWS,
        "skeleton_cells": SKELETON_CELLS,
    }
    return render(request, f"dashboard/{name}.html", context)


def _viewer(request: HttpRequest) -> dict[str, Any]:
    """Return what the scripts know of the reader: name, networks with the role in each, where sensors connect.

    The roles only decide which buttons are shown; the API decides what they do.
    """
    user = request.user
    roles = dict(Membership.objects.filter(user=user.pk).values_list("network_id", "role"))
    return {
        "username": user.get_username(),
        "staff": user.is_staff,  # type: ignore[union-attr]
        "networks": [
            {
                "slug": network.slug,
                "name": network.name,
                "role": Role.OWNER if user.is_staff else roles.get(network.pk, Role.VIEWER),  # type: ignore[union-attr]
            }
            for network in visible_networks(user)  # type: ignore[arg-type]
        ],
        "mqtt": mqtt_address(request),
    }


def _severities() -> list[str]:
    """Return the severities, worst first."""
    return list(reversed(AlertSeverity.values))
