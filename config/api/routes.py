"""What this app adds below /api/v1/."""

from django.urls import path
from rest_framework.routers import BaseRouter

from config.api import views
from sensors.api import converters  # noqa: F401 - registers <identifier:…>


def register(router: BaseRouter) -> None:
    """Register the app's viewsets: none, revisions are found below their sensor."""


_BASE = "sensors/<identifier:identifier>/configurations/"
extra_patterns = [
    path(_BASE, views.RevisionsView.as_view(), name="revisions"),
    path(f"{_BASE}<int:revision>/", views.RevisionView.as_view(), name="revision"),
    path(f"{_BASE}<int:revision>/diff/", views.DiffView.as_view(), name="revision-diff"),
    path(f"{_BASE}<int:revision>/restore/", views.RestoreView.as_view(), name="revision-restore"),
]
