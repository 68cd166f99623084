"""With what a sensor logs in at the broker, over HTTP."""

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sensors import services
from sensors.api.filters import refuse_unknown_parameters
from sensors.api.permissions import NetworkPermission, caller, visible_sensor
from sensors.api.serializers import StrictSerializer, refuse_body
from sensors.models import CredentialState, Role, Sensor, SensorCredential

# There was never one, or how far it is.
NONE: Final = "none"
STATES: Final = [(NONE, "None"), *CredentialState.choices]


class CredentialSerializer(StrictSerializer):
    """How far a sensor's credential is; never the secret."""

    username = serializers.CharField(read_only=True, help_text="The sensor's identifier.")
    client_id = serializers.CharField(read_only=True, help_text="The only one that it may connect with.")
    state = serializers.ChoiceField(
        choices=STATES,
        read_only=True,
        help_text="`waiting` and `revoking` until the broker has taken it; `missing` if the broker lost it and only a"
        " new one can help.",
    )
    changed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    changed_by = serializers.CharField(read_only=True, allow_null=True)


class LoginSerializer(CredentialSerializer):
    """A new credential, with the secret, this once."""

    password = serializers.CharField(read_only=True, help_text="Shown now and never again.")


_STATE = {
    "username": "boiler-1",
    "client_id": "boiler-1",
    "state": "active",
    "changed_at": "2026-03-01T12:00:00.000000Z",
    "changed_by": "ada",
}
_SHOWN = OpenApiExample("The broker has it", value=_STATE, response_only=True)
_ISSUED = OpenApiExample(
    "Just issued",
    value={**_STATE, "state": "waiting", "password": "sKf0p2vQ7wVJm8yT4cZ1hN6bXe3uRgA5"},
    response_only=True,
)


class CredentialView(APIView):
    """A sensor's account at the broker. Members see how far it is; operators issue, rotate and revoke it."""

    permission_classes = [NetworkPermission]

    @extend_schema(summary="A sensor's credential at the broker", responses=CredentialSerializer, examples=[_SHOWN])
    def get(self, request: Request, identifier: str) -> Response:
        """Return how far it is."""
        sensor = visible_sensor(request, identifier)
        refuse_unknown_parameters(request, ())
        return Response(_shown(sensor))

    @extend_schema(
        summary="Issue a credential, or rotate it (operators)",
        description="The answer holds the password, which is kept as a hash and never shown again. An older one ends,"
        " and whoever is connected by it is thrown out. The broker takes it within about a second, or at once if it"
        " asks for accounts (docs/brokers.md), which may leave an open connection.",
        request=None,
        responses={201: LoginSerializer},
        examples=[_ISSUED],
    )
    def post(self, request: Request, identifier: str) -> Response:
        """Issue it."""
        sensor = visible_sensor(request, identifier, role=Role.OPERATOR)
        refuse_body(request)
        login = services.issue_credential(sensor, author=caller(request), now=timezone.now())
        return Response({**_shown(sensor), "password": login.password}, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Revoke a credential (operators)",
        description="Its connection is closed and it lets nobody in any more; 404 if there is none.",
        responses={204: None},
    )
    def delete(self, request: Request, identifier: str) -> Response:
        """Revoke it."""
        sensor = visible_sensor(request, identifier, role=Role.OPERATOR)
        services.revoke_credential(sensor, author=caller(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _shown(sensor: Sensor) -> dict[str, Any]:
    credential = SensorCredential.objects.select_related("changed_by").filter(sensor=sensor).first()
    name = sensor.identifier
    state: dict[str, Any] = {"state": NONE, "changed_at": None, "changed_by": None}
    if credential is not None:
        author = credential.changed_by
        state = {
            "state": credential.state,
            "changed_at": credential.changed_at,
            "changed_by": author.get_username() if author else None,
        }
    return {"username": name, "client_id": name, **state}
