"""Addresses of the pages that people meet; the root URLconf includes them at the top."""

from django.urls import path

from fleet.dashboard import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("sensors/<slug:identifier>/", views.sensor, name="sensor"),
    path("alerts/", views.alerts, name="alerts"),
    path("alerts/<int:pk>/", views.alert, name="alert"),
    path("rules/", views.rules, name="rules"),
    path("notifications/", views.notifications, name="notifications"),
    path("networks/", views.networks, name="networks"),
    path("claims/", views.claims, name="claims"),
    path("tokens/", views.tokens, name="tokens"),
    path("audit/", views.audit, name="audit"),
    path("ingest/", views.ingest, name="ingest"),
]
