"""Taking one rejected message in again, over HTTP."""

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fleet.ingest.again import reingest_one
from sensors.api.permissions import NetworkPermission, visible_or_404, visible_sensor
from sensors.models import Role
from telemetry.queries import visible_rejected


class ReingestedSerializer(serializers.Serializer):
    """What went in."""

    stored = serializers.IntegerField(help_text="Entries that are new.")
    duplicates = serializers.IntegerField(help_text="Entries that were stored already.")
    entries_refused = serializers.IntegerField(help_text="Entries that are now rejected messages of their own.")


class ReingestView(APIView):
    """One rejected message, taken in again."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="Take a rejected message in again, once the cause is mended (operators)",
        description="Of no known sensor: staff. Stores what it holds as received when it first came, and deletes it"
        " from the list. It is history: no sign of life, no alert, no answer to a configuration. 409 when it is"
        " refused again or was not kept whole; then it stays.",
        operation_id="rejected_messages_reingest",
        request=None,
        responses=ReingestedSerializer,
        examples=[OpenApiExample("One entry", value={"stored": 1, "duplicates": 0, "entries_refused": 0})],
    )
    def post(self, request: Request, number: int) -> Response:
        """Take it in."""
        rejected = visible_or_404(visible_rejected(request.user), "rejected message", pk=number)
        if rejected.sensor is not None:
            # Without one only staff can see it.
            visible_sensor(request, rejected.sensor, role=Role.OPERATOR)
        report = reingest_one(number, now=timezone.now())
        return Response(ReingestedSerializer(report).data)
