"""Codes by which sensors may ask for a place in a network, over HTTP."""

from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import queries, services
from sensors.api.filters import TextsFilter
from sensors.api.permissions import caller, require_role
from sensors.api.serializers import StrictSerializer, TextField, VisibleField
from sensors.api.views import FleetViewSet
from sensors.models import ClaimCode, ClaimCodeState, Network, Role
from sensors.services.claims import DEFAULT_DAYS, MAX_DAYS, MAX_SENSORS


class ClaimCodeSerializer(StrictSerializer):
    """One claim code; never the code itself."""

    id = serializers.IntegerField(read_only=True)
    network = VisibleField(Network, "slug", help_text="Slug.")
    name = TextField(max_length=100, help_text="What it is for.")
    prefix = serializers.CharField(read_only=True, help_text="Its first group, to tell it from others.")
    days = serializers.IntegerField(
        write_only=True,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        default=DEFAULT_DAYS,
        help_text="How long devices may ask by it; null: until it is revoked.",
    )
    max_sensors = serializers.IntegerField(
        allow_null=True,
        min_value=1,
        max_value=MAX_SENSORS,
        default=None,
        help_text="So many are admitted by it at most; null: any number.",
    )
    used = serializers.IntegerField(read_only=True, help_text="How many were admitted by it.")
    waiting = serializers.IntegerField(read_only=True, help_text="How many wait for a decision.")
    state = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.CharField(read_only=True, allow_null=True, source="created_by.username", default=None)
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True)
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)

    def get_state(self, code: ClaimCode) -> ClaimCodeState:
        """Return whether it still lets devices ask."""
        return code.state(now=timezone.now())


class NewClaimCodeSerializer(ClaimCodeSerializer):
    """A new code, which is shown this once."""

    code = serializers.CharField(read_only=True)


class ClaimCodeFilters(django_filters.FilterSet):
    """`network` (repeatable) and `revoked` of codes."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable.")
    revoked = django_filters.BooleanFilter(
        field_name="revoked_at", lookup_expr="isnull", exclude=True, label="Whether it was revoked."
    )

    class Meta:
        model = ClaimCode
        fields: list[str] = []


_CODE: Final = {
    "id": 7,
    "network": "plant",
    "name": "Delivery of March",
    "prefix": "7KQ2",
    "max_sensors": 20,
    "used": 0,
    "waiting": 0,
    "state": "active",
    "created_at": "2026-03-01T12:00:00.000000Z",
    "created_by": "ada",
    "expires_at": "2026-03-31T12:00:00.000000Z",
    "revoked_at": None,
}
_SHOWN: Final = [OpenApiExample("For a delivery", value=_CODE, response_only=True)]
_MADE: Final = [
    OpenApiExample(
        "For a delivery",
        value={"network": "plant", "name": "Delivery of March", "max_sensors": 20, "days": 30},
        request_only=True,
    ),
    OpenApiExample(
        "Just made",
        value={**_CODE, "code": "7KQ2-9XWB-3MTZ-F0HR-8CVD"},
        response_only=True,
        status_codes=["201"],
    ),
]


@extend_schema_view(
    list=extend_schema(summary="Claim codes that you may see, newest first", examples=_SHOWN),
    retrieve=extend_schema(summary="One claim code", examples=_SHOWN),
    create=extend_schema(
        summary="Make a claim code (operators)",
        description="The answer holds the code, which is kept as a hash and never shown again.",
        responses={201: NewClaimCodeSerializer},
        examples=_MADE,
    ),
    destroy=extend_schema(
        summary="Revoke a claim code (operators)",
        description="Nobody asks by it any more, and what waits by it is refused. Who was admitted stays. 409 if it was"
        " revoked before.",
    ),
)
class ClaimCodeViewSet(FleetViewSet):
    """Claim codes of networks."""

    http_method_names = ["get", "post", "delete", "head", "options"]
    queryset = ClaimCode.objects.all()
    serializer_class = ClaimCodeSerializer
    filterset_class = ClaimCodeFilters

    def get_queryset(self) -> QuerySet[ClaimCode]:
        """Return the visible codes."""
        return queries.visible_claim_codes(self.request.user)

    def create(self, request: Request) -> Response:
        """Make one."""
        values = self.validated()
        require_role(request, values["network"], Role.OPERATOR)
        row, code = services.create_claim_code(
            values.pop("network"), **values, author=caller(request), now=timezone.now()
        )
        body: dict[str, Any] = {**self.get_serializer(self.get_queryset().get(pk=row.pk)).data, "code": code}
        return Response(body, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke it."""
        services.revoke_claim_code(self.get_object(), author=caller(request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
