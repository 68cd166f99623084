"""The admin's sidebar: what there is, in the order of work, for whom may see it."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the styles that the admin's own lack."""
    return static("fleet/admin.css")


def script(request: HttpRequest) -> str:
    """Return the address of what makes the admin's scripts do without eval."""
    return static("fleet/alpine.js")


def favicon(request: HttpRequest) -> str:
    """Return the address of the dashboard's icon."""
    return static("dashboard/favicon.svg")


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sections with the pages that the caller may see; empty ones are left out."""
    found = [
        _section(
            "Fleet",
            _page(request, "Networks", "lan", "sensors.network"),
            _page(request, "Gateways", "router", "sensors.gateway"),
            _page(request, "Sensors", "sensors", "sensors.sensor"),
            _page(request, "Revisions", "tune", "config.revision"),
        ),
        _section(
            "Alerts",
            _page(request, "Alerts", "notifications", "alerts.alert"),
            _page(request, "Rules", "rule", "alerts.rule"),
            _page(request, "Silences", "notifications_off", "alerts.silence"),
            _page(request, "Notification targets", "forward_to_inbox", "alerts.notificationtarget"),
            _page(request, "Notifications", "outbox", "alerts.notification"),
        ),
        _section(
            "Telemetry",
            _page(request, "Measurements", "monitoring", "telemetry.measurement", entries="measurements"),
            _page(request, "Heartbeats", "ecg_heart", "telemetry.heartbeat", entries="heartbeats"),
            _page(request, "Log messages", "article", "telemetry.logmessage", entries="log-messages"),
            _page(request, "Rejected messages", "block", "telemetry.rejectedmessage"),
        ),
        _section(
            "Access",
            _page(request, "Users", "person", "sensors.user"),
            _page(request, "Groups", "group", "auth.group"),
            _page(request, "Tokens", "key", "sensors.accesstoken"),
            _page(request, "Audit log", "history", "sensors.auditentry"),
        ),
    ]
    return [section for section in found if section["items"]]


def _section(title: str, *pages: dict[str, Any] | None) -> dict[str, Any]:
    return {"title": title, "items": [page for page in pages if page is not None]}


def _page(request: HttpRequest, title: str, icon: str, model: str, *, entries: str = "") -> dict[str, Any] | None:
    app, name = model.split(".")
    if not request.user.has_perm(f"{app}.view_{name}"):
        return None
    link = reverse("admin:telemetry_entries", args=[entries]) if entries else reverse(f"admin:{app}_{name}_changelist")
    return {"title": title, "icon": icon, "link": link}
