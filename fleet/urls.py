"""Every address of the service."""

from django.contrib import admin
from django.urls import include, path

from fleet.api.schema import DocsView, SchemaView
from fleet.health import healthz, readyz
from fleet.metrics import metrics

urlpatterns = [
    path("api/v1/", include("fleet.api.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(url_name="schema"), name="docs"),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("", include("fleet.accounts.urls")),
    path("", include("fleet.dashboard.urls")),
]

handler400 = "fleet.api.missing.bad_request"
handler404 = "fleet.api.missing.not_found"
handler500 = "fleet.api.missing.server_error"
