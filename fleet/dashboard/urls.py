"""Addresses of the pages that people meet; the root URLconf includes them at the top."""

from django.contrib.auth import views as auth
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
    path("tokens/", views.tokens, name="tokens"),
    path("audit/", views.audit, name="audit"),
    path("ingest/", views.ingest, name="ingest"),
    path("login/", auth.LoginView.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    # Own templates: the admin's pages take the ones under registration/.
    path(
        "password/",
        auth.PasswordChangeView.as_view(template_name="dashboard/password_change.html"),
        name="password_change",
    ),
    path(
        "password/done/",
        auth.PasswordChangeDoneView.as_view(template_name="dashboard/password_changed.html"),
        name="password_change_done",
    ),
]
