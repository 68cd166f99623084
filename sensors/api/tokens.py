"""Tokens of the caller: made, listed, ended."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import queries, services
from sensors.api.permissions import caller, require_whole
from sensors.api.serializers import StrictSerializer, TextField
from sensors.api.views import FleetViewSet
from sensors.models import AccessToken, Network, TokenScope
from sensors.services.tokens import MAX_DAYS


class AccessTokenSerializer(StrictSerializer):
    """One token; never the token itself."""

    handle = serializers.UUIDField(read_only=True, help_text="Its name in addresses.")
    name = TextField(max_length=100, help_text="What it is for.")
    scope = serializers.ChoiceField(
        choices=TokenScope.choices,
        default=TokenScope.READ,
        help_text="`read`: what viewers may; `operate`: what operators may; `admin`: all. Never more than its user.",
    )
    networks = serializers.ListField(
        child=TextField(max_length=50),
        allow_null=True,
        default=None,
        allow_empty=False,
        help_text="Slugs of the only networks in which it works; null: all of its user's.",
    )
    days = serializers.IntegerField(
        write_only=True,
        allow_null=True,
        min_value=1,
        max_value=MAX_DAYS,
        help_text="How long it is valid; null: until it is ended.",
    )
    created_at = serializers.DateTimeField(read_only=True, source="created")
    expires_at = serializers.DateTimeField(read_only=True, allow_null=True, source="expiry")
    last_used_at = serializers.DateTimeField(read_only=True, allow_null=True, help_text="To the minute.")

    def validate_networks(self, slugs: list[str] | None) -> list[Network] | None:
        """Return the networks; those that the caller does not see count as not existing."""
        if slugs is None:
            return None
        networks = list(queries.visible_networks(self.context["request"].user).filter(slug__in=slugs))
        missing = sorted(set(slugs) - {network.slug for network in networks})
        if missing:
            raise serializers.ValidationError(f"There is no network {missing[0]!r} that you may see.")
        return networks

    def to_representation(self, instance: AccessToken) -> dict[str, Any]:
        """Return it with the slugs of its networks, as far as they are there."""
        ids = instance.network_ids
        slugs = None if ids is None else list(Network.objects.filter(pk__in=ids).values_list("slug", flat=True))
        return {
            "handle": str(instance.handle),
            "name": instance.name,
            "scope": instance.scope,
            "networks": slugs,
            "created_at": instance.created,
            "expires_at": instance.expiry,
            "last_used_at": instance.last_used_at,
        }


class NewAccessTokenSerializer(AccessTokenSerializer):
    """A new token, which is shown this once."""

    token = serializers.CharField(read_only=True)


_TOKEN = {
    "handle": "0b9df6a8-6f0e-4c8c-9a51-3a3f6a0a5b0e",
    "name": "weather page",
    "scope": "read",
    "networks": ["plant"],
    "created_at": "2026-03-01T12:00:00.000000Z",
    "expires_at": "2027-03-01T12:00:00.000000Z",
    "last_used_at": None,
}
_SHOWN = [OpenApiExample("For a page that only reads", value=_TOKEN, response_only=True)]
_MADE = [
    OpenApiExample(
        "For a page that only reads",
        value={"name": "weather page", "scope": "read", "networks": ["plant"], "days": 365},
        request_only=True,
    ),
    OpenApiExample("Just made", value={**_TOKEN, "token": "5f1e…"}, response_only=True, status_codes=["201"]),
]


@extend_schema_view(
    list=extend_schema(summary="Your tokens, newest first", examples=_SHOWN),
    retrieve=extend_schema(summary="One of your tokens", examples=_SHOWN),
    create=extend_schema(
        summary="Make a token",
        description="The answer holds the token, which is kept as a hash and never shown again. Made by a session, or"
        " by a token that has all rights of its user.",
        responses={201: NewAccessTokenSerializer},
        examples=_MADE,
    ),
    destroy=extend_schema(summary="End a token"),
)
class TokenViewSet(FleetViewSet):
    """Tokens of the caller, for programs: each with a scope, networks, and an end."""

    http_method_names = ["get", "post", "delete", "head", "options"]
    queryset = AccessToken.objects.all()
    serializer_class = AccessTokenSerializer
    lookup_field = "handle"
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    page_order = ("-created", "handle")

    def get_queryset(self) -> QuerySet[AccessToken]:
        """Return the caller's tokens."""
        return AccessToken.objects.filter(user=caller(self.request))

    def check_object_permissions(self, request: Request, obj: Any) -> None:
        """Allow all: they are the caller's own."""

    def create(self, request: Request) -> Response:
        """Make one."""
        require_whole(request)
        token, secret = services.create_token(caller(request), **self.validated())
        body = {**self.get_serializer(token).data, "token": secret}
        return Response(body, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, handle: str) -> Response:
        """End it."""
        require_whole(request)
        services.end_token(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
