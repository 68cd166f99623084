"""What this app adds below /api/v1/."""

from django.urls import path
from rest_framework.routers import BaseRouter

from sensors.api import converters  # noqa: F401 - registers <identifier:…>
from telemetry.api import lists, views


def register(router: BaseRouter) -> None:
    """Register the app's viewsets: none, telemetry is read only."""


_SENSOR = "sensors/<identifier:identifier>/"
extra_patterns = [
    path(f"{_SENSOR}measurements/", lists.MeasurementsView.as_view(), name="measurements"),
    path(f"{_SENSOR}measurements/latest/", views.LatestView.as_view(), name="latest-measurement"),
    path(f"{_SENSOR}measurements/export/", views.ExportView.as_view(), name="export-measurements"),
    path(f"{_SENSOR}attributes/", views.AttributesView.as_view(), name="attributes"),
    path(f"{_SENSOR}series/", views.SeriesView.as_view(), name="series"),
    path(f"{_SENSOR}heartbeats/", lists.HeartbeatsView.as_view(), name="heartbeats"),
    path(f"{_SENSOR}log-messages/", lists.SensorLogMessagesView.as_view(), name="sensor-log-messages"),
    path(f"{_SENSOR}log-messages/summary/", lists.SensorLogSummaryView.as_view(), name="sensor-log-summary"),
    path("measurements/latest/", lists.AllLatestView.as_view(), name="latest-measurements"),
    path("log-messages/", lists.LogMessagesView.as_view(), name="log-messages"),
    path("log-messages/summary/", lists.LogSummaryView.as_view(), name="log-summary"),
    path("rejected-messages/", lists.RejectedMessagesView.as_view(), name="rejected-messages"),
    path("rejected-messages/<int:number>/", lists.RejectedMessageView.as_view(), name="rejected-message"),
]
