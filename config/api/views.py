"""Revisions of a sensor: list, create, read, compare, restore."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config import queries, services
from config.api.serializers import DiffSerializer, RestoreSerializer, RevisionSerializer
from config.diff import diff
from config.models import Revision
from sensors.api.filters import refuse_unknown_parameters
from sensors.api.pagination import Pages
from sensors.api.parsers import LenientNumbersParser
from sensors.api.permissions import NetworkPermission, caller, visible_or_404, visible_sensor
from sensors.models import Role, Sensor

_EXAMPLE = OpenApiExample(
    "A first revision",
    value={"configuration": {"interval_s": 5, "unit": "celsius", "enabled": True}, "comment": "Measure faster"},
    request_only=True,
)
_CREATED = OpenApiExample(
    "Just made",
    value={
        "sensor": "boiler-1",
        "revision": 0,
        "configuration": {"interval_s": 5, "unit": "celsius", "enabled": True},
        "comment": "Measure faster",
        "state": "pending",
        "created_at": "2026-03-01T12:00:00.000000Z",
        "created_by": "ada",
        "published_at": None,
        "acknowledged_at": None,
        "failed_at": None,
        "superseded_at": None,
    },
    response_only=True,
    status_codes=["201"],
)


class RevisionsView(APIView):
    """A sensor's revisions, newest first. Operators make new ones; none is ever changed."""

    permission_classes = [NetworkPermission]
    # NaN reaches the serializer, which names the key that holds it.
    parser_classes = [LenientNumbersParser]
    pagination_class = Pages
    page_order = ("-number",)

    @extend_schema(
        summary="Revisions of a sensor",
        operation_id="configurations_list",
        responses=RevisionSerializer(many=True),
        filters=True,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return a page, newest first."""
        sensor = visible_sensor(request, identifier)
        refuse_unknown_parameters(request, ("limit", "cursor"))
        pages = Pages()
        rows = pages.paginate_queryset(queries.revisions_of(sensor), request, self)
        return pages.get_paginated_response(RevisionSerializer(rows, many=True).data)

    @extend_schema(
        summary="Configure a sensor (operators)",
        operation_id="configurations_create",
        request=RevisionSerializer,
        responses={201: RevisionSerializer},
        examples=[_EXAMPLE, _CREATED],
    )
    def post(self, request: Request, identifier: str) -> Response:
        """Make a new revision; the bridge publishes it at once."""
        sensor = visible_sensor(request, identifier, role=Role.OPERATOR)
        serializer = RevisionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        revision = services.create_revision(
            sensor, **serializer.validated_data, author=caller(request), now=timezone.now()
        )
        return Response(RevisionSerializer(revision).data, status=status.HTTP_201_CREATED)


class RevisionView(APIView):
    """One revision of a sensor."""

    permission_classes = [NetworkPermission]
    serializer_class = RevisionSerializer

    @extend_schema(summary="One revision", operation_id="configurations_retrieve")
    def get(self, request: Request, identifier: str, revision: int) -> Response:
        """Return the revision."""
        return Response(RevisionSerializer(_revision(visible_sensor(request, identifier), revision)).data)


class DiffView(APIView):
    """What changed between two revisions of a sensor."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="What changed since another revision",
        operation_id="configurations_diff",
        parameters=[
            OpenApiParameter(
                "against", int, description="The revision to compare with; by default the one before this one."
            )
        ],
        responses=DiffSerializer,
        examples=[
            OpenApiExample(
                "A slower pace",
                value={
                    "revision": 1,
                    "against": 0,
                    "added": {"unit": "celsius"},
                    "removed": {"debug": True},
                    "changed": {"interval_s": {"from": 5, "to": 60}},
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request, identifier: str, revision: int) -> Response:
        """Return what leads from `against` to this revision."""
        refuse_unknown_parameters(request, ("against",))
        sensor = visible_sensor(request, identifier)
        newer = _revision(sensor, revision)
        against = _against(request, revision)
        old = {} if against is None else _revision(sensor, against).values
        found = diff(old, newer.values)
        body: dict[str, Any] = {
            "revision": revision,
            "against": against,
            "added": found.added,
            "removed": found.removed,
            "changed": {key: {"from": one, "to": other} for key, (one, other) in found.changed.items()},
        }
        return Response(body)


class RestoreView(APIView):
    """Makes an older configuration the newest again, as a new revision."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Restore a revision as a new one (operators)",
        operation_id="configurations_restore",
        request=RestoreSerializer,
        responses={201: RevisionSerializer},
    )
    def post(self, request: Request, identifier: str, revision: int) -> Response:
        """Return the new revision."""
        sensor = visible_sensor(request, identifier, role=Role.OPERATOR)
        old = _revision(sensor, revision)
        serializer = RestoreSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        restored = services.restore_revision(
            old, **serializer.validated_data, author=caller(request), now=timezone.now()
        )
        return Response(RevisionSerializer(restored).data, status=status.HTTP_201_CREATED)


def _revision(sensor: Sensor, number: int) -> Revision:
    revision: Revision = visible_or_404(queries.revisions_of(sensor), "revision", number=number)
    return revision


def _against(request: Request, number: int) -> int | None:
    """Return the revision to compare with; None for an empty configuration."""
    text = request.query_params.get("against")
    if text is None:
        return number - 1 if number else None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValidationError({"against": [f"{text[:50]!r} is no revision number."]})
    return int(text)
