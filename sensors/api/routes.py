"""What this app adds below /api/v1/. Every app's `api/routes.py` offers the same two names."""

from django.urls import path
from rest_framework.routers import BaseRouter

from sensors.api import (
    converters,  # noqa: F401 - registers <identifier:…> and <network:…>
    credentials,
    provisioning,
    tokens,
    views,
)


def register(router: BaseRouter) -> None:
    """Register the app's viewsets."""
    router.register("networks", views.NetworkViewSet, basename="network")
    router.register("tokens", tokens.TokenViewSet, basename="token")
    router.register("gateways", views.GatewayViewSet, basename="gateway")


extra_patterns = [
    path("sensors/<identifier:identifier>/credential/", credentials.CredentialView.as_view(), name="credential"),
    path("networks/<network:slug>/sensors/", provisioning.ImportView.as_view(), name="network-sensors"),
    path("networks/<network:slug>/members/", views.MembersView.as_view(), name="network-members"),
    path("networks/<network:slug>/members/<str:username>/", views.MemberView.as_view(), name="network-member"),
]
