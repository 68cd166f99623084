"""Sensors over HTTP: their own fields composed with the state of their configuration."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from config.models import RevisionState
from config.queries import with_configuration
from sensors import queries, services
from sensors.api.filters import SensorFilters
from sensors.api.permissions import require_role
from sensors.api.serializers import SensorSerializer
from sensors.api.views import FleetViewSet
from sensors.models import Role, Sensor
from sensors.wire import IDENTIFIER_PATTERN


class ConfigurationStateSerializer(serializers.Serializer):
    """How far a sensor's configuration is; all null while there is none."""

    latest_revision = serializers.IntegerField(allow_null=True, help_text="The newest number.")
    acknowledged_revision = serializers.IntegerField(
        allow_null=True, help_text="The newest that the sensor has confirmed."
    )
    running_revision = serializers.IntegerField(allow_null=True, help_text="That of the newest heartbeat.")
    state = serializers.ChoiceField(
        choices=RevisionState.choices,
        allow_null=True,
        help_text="Of the newest revision.",
    )


class FleetSensorSerializer(SensorSerializer):
    """One sensor; rows need `with_status` and `with_configuration`."""

    configuration = serializers.SerializerMethodField()

    @extend_schema_field(ConfigurationStateSerializer)
    def get_configuration(self, sensor: Sensor) -> dict[str, Any]:
        """Return how far the sensor's configuration is."""
        row: Any = sensor
        return {
            "latest_revision": row.latest_revision,
            "acknowledged_revision": row.acknowledged_revision,
            "running_revision": row.state.running_revision,
            "state": row.configuration_state,
        }


_EXAMPLE = OpenApiExample(
    "A sensor in the boiler room",
    value={"identifier": "boiler-1", "network": "plant", "labels": {"floor": "2"}, "period_s": 60, "grace_s": 30},
    request_only=True,
)


@extend_schema_view(
    list=extend_schema(summary="Sensors that you may see"),
    retrieve=extend_schema(summary="One sensor"),
    create=extend_schema(summary="Make a sensor (operators)", examples=[_EXAMPLE]),
    partial_update=extend_schema(summary="Change a sensor (operators)"),
    destroy=extend_schema(summary="Delete a sensor with its revisions (operators)"),
)
class SensorViewSet(FleetViewSet):
    """Sensors, with their status, newest measurement and configuration."""

    queryset = Sensor.objects.all()
    serializer_class = FleetSensorSerializer
    filterset_class = SensorFilters
    lookup_field = "identifier"
    lookup_value_regex = IDENTIFIER_PATTERN
    page_order = ("identifier",)

    def get_queryset(self) -> QuerySet[Sensor]:
        """Return the visible sensors with all that is shown of them, in one query."""
        sensors = queries.visible_sensors(self.request.user).select_related("network", "gateway", "state")
        return with_configuration(queries.with_status(sensors, at=queries.judged_at(timezone.now())))

    def create(self, request: Request) -> Response:
        """Make a sensor in a network; its first messages are accepted from now on."""
        values = self.validated()
        require_role(request, values["network"], Role.OPERATOR)
        sensor = services.create_sensor(values.pop("network"), **values)
        return Response(self._shown(sensor), status=status.HTTP_201_CREATED)

    def partial_update(self, request: Request, identifier: str) -> Response:
        """Change what was sent."""
        sensor = self.get_object()
        services.update_sensor(sensor, now=timezone.now(), **self.validated(sensor))
        return Response(self._shown(sensor))

    def destroy(self, request: Request, identifier: str) -> Response:
        """Delete it; the broker's retained configuration is cleared and its telemetry purged."""
        services.delete_sensor(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _shown(self, sensor: Sensor) -> dict[str, Any]:
        return self.get_serializer(self.get_queryset().get(pk=sensor.pk)).data
