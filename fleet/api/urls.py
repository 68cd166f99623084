"""Everything below /api/v1/: each app's routes, and what belongs to none of them."""

from django.urls import path, re_path
from rest_framework.routers import DefaultRouter

from alerts.api import routes as alert_routes
from config.api import routes as config_routes
from fleet.api.audit import AuditViewSet
from fleet.api.auth import LogoutView, MeView, TokenView
from fleet.api.ingest import IngestView
from fleet.api.missing import no_such_path
from fleet.api.network_stats import NetworkStatsView
from fleet.api.rejected import ReingestView
from fleet.api.sensors import SensorViewSet
from fleet.api.stats import StatsView
from sensors.api import routes as sensor_routes
from telemetry.api import routes as telemetry_routes

_APPS = (sensor_routes, config_routes, telemetry_routes, alert_routes)

router = DefaultRouter()
# One address a resource: the answer is always JSON.
router.include_format_suffixes = False
router.register("sensors", SensorViewSet, basename="sensor")
router.register("audit-log", AuditViewSet, basename="audit-log")
for routes in _APPS:
    routes.register(router)

urlpatterns = [
    path("auth/token/", TokenView.as_view(), name="auth-token"),
    path("auth/logout/", LogoutView.as_view(), name="auth-logout"),
    path("me/", MeView.as_view(), name="me"),
    path("ingest/", IngestView.as_view(), name="ingest"),
    path("stats/", StatsView.as_view(), name="stats"),
    path("stats/networks/", NetworkStatsView.as_view(), name="network-stats"),
    path("rejected-messages/<int:number>/reingest/", ReingestView.as_view(), name="rejected-message-reingest"),
    *(pattern for routes in _APPS for pattern in routes.extra_patterns),
    *router.urls,
    re_path("", no_such_path),
]
