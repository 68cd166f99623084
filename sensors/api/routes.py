"""What this app adds below /api/v1/. Every app's `api/routes.py` offers the same two names."""

from django.urls import path
from rest_framework.routers import BaseRouter

from sensors.api import (
    broker,
    claim_codes,
    claims,
    converters,  # noqa: F401 - registers <identifier:…> and <network:…>
    credentials,
    invitations,
    provisioning,
    tokens,
    views,
)


def register(router: BaseRouter) -> None:
    """Register the app's viewsets."""
    router.register("networks", views.NetworkViewSet, basename="network")
    router.register("tokens", tokens.TokenViewSet, basename="token")
    router.register("claim-codes", claim_codes.ClaimCodeViewSet, basename="claim-code")
    router.register("gateways", views.GatewayViewSet, basename="gateway")


extra_patterns = [
    path("claims/", claims.ClaimsView.as_view(), name="claims"),
    path("claims/approve/", claims.ApproveClaimsView.as_view(), name="claims-approve"),
    path("claims/refuse/", claims.RefuseClaimsView.as_view(), name="claims-refuse"),
    path("claims/<int:claim>/", claims.ClaimView.as_view(), name="claim"),
    path("claims/<int:claim>/approve/", claims.ApproveClaimView.as_view(), name="claim-approve"),
    path("claims/<int:claim>/refuse/", claims.RefuseClaimView.as_view(), name="claim-refuse"),
    path("sensors/<identifier:identifier>/credential/", credentials.CredentialView.as_view(), name="credential"),
    path("broker/emqx/authentication/", broker.EmqxAuthenticationView.as_view(), name="broker-emqx-authentication"),
    path("broker/emqx/authorization/", broker.EmqxAuthorizationView.as_view(), name="broker-emqx-authorization"),
    path("broker/vernemq/", broker.VerneMqView.as_view(), name="broker-vernemq"),
    path("broker/mosquitto-go-auth/user/", broker.GoAuthUserView.as_view(), name="broker-go-auth-user"),
    path("broker/mosquitto-go-auth/superuser/", broker.GoAuthSuperuserView.as_view(), name="broker-go-auth-superuser"),
    path("broker/mosquitto-go-auth/acl/", broker.GoAuthAclView.as_view(), name="broker-go-auth-acl"),
    path("networks/<network:slug>/sensors/", provisioning.ImportView.as_view(), name="network-sensors"),
    path("networks/<network:slug>/members/", views.MembersView.as_view(), name="network-members"),
    path("networks/<network:slug>/members/<str:username>/", views.MemberView.as_view(), name="network-member"),
    path("networks/<network:slug>/invitations/", invitations.InvitationsView.as_view(), name="network-invitations"),
    path(
        "networks/<network:slug>/invitations/<int:number>/",
        invitations.InvitationView.as_view(),
        name="network-invitation",
    ),
    path("networks/<network:slug>/hand-over/", invitations.HandOverView.as_view(), name="network-hand-over"),
    path("invitations/look/", invitations.OfferView.as_view(), name="invitation-look"),
    path("invitations/accept/", invitations.AcceptView.as_view(), name="invitation-accept"),
]
