"""What this app adds below /api/v1/."""

from django.urls import URLPattern
from rest_framework.routers import BaseRouter

from alerts.api import notification_views, views


def register(router: BaseRouter) -> None:
    """Register the app's viewsets."""
    router.register("alert-rules", views.RuleViewSet, basename="alert-rule")
    router.register("alerts", views.AlertViewSet, basename="alert")
    router.register("silences", views.SilenceViewSet, basename="silence")
    router.register("notification-targets", notification_views.TargetViewSet, basename="notification-target")
    router.register("notifications", notification_views.NotificationViewSet, basename="notification")


extra_patterns: list[URLPattern] = []
