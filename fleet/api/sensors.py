"""Sensors over HTTP: their own fields composed with the state of their configuration."""

from datetime import UTC, datetime
from typing import Any, Final

import django_filters
from django.db.models import Case, DateTimeField, IntegerField, QuerySet, Value, When
from django.db.models.functions import Coalesce
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

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return what the fields declare, by hand: asking each of them takes half of the time of a page."""
        state, gateway = instance.state, instance.gateway
        return {
            "identifier": instance.identifier,
            "network": instance.network.slug,
            "gateway": None if gateway is None else gateway.identifier,
            "name": instance.name,
            "labels": instance.labels,
            "period_s": instance.period_s,
            "grace_s": instance.grace_s,
            "status": instance.status,
            "last_seen_at": state.last_seen_at,
            "latest": self.get_latest(instance),
            "created_at": instance.created_at,
            "updated_at": instance.updated_at,
            "configuration": self.get_configuration(instance),
        }


# What a list of sensors can be ordered by: what its pages go by, the identifier last so that no two are equal.
# Never null: sensors that were never heard are older than all others, and a status is worse than those before it.
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_ORDERS: Final[dict[str, tuple[str, ...]]] = {
    "identifier": ("identifier",),
    "name": ("name", "identifier"),
    "last_seen_at": ("heard_at", "identifier"),
    "status": ("status_rank", "identifier"),
}
ORDERINGS: Final = [*_ORDERS, *(f"-{name}" for name in _ORDERS)]


class OrderedSensorFilters(SensorFilters):
    """The filters of sensors, and `ordering`."""

    ordering = django_filters.ChoiceFilter(
        choices=[(name, name) for name in ORDERINGS],
        method="order",
        label="`identifier` (the default), `name`, `last_seen_at` (never: first) or `status` (new, up, late, down); "
        "with a minus sign the other way round.",
    )

    def order(self, rows: QuerySet, _name: str, ordering: str) -> QuerySet:
        """Return the rows with what their order goes by; pages put them into it."""
        if ordering.endswith("last_seen_at"):
            return rows.annotate(heard_at=Coalesce("state__last_seen_at", Value(_NEVER, output_field=DateTimeField())))
        if ordering.endswith("status"):
            ranks = [When(status=name, then=Value(rank)) for rank, name in enumerate(queries.STATUSES)]
            return rows.annotate(status_rank=Case(*ranks, output_field=IntegerField()))
        return rows


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
    filterset_class = OrderedSensorFilters
    lookup_field = "identifier"
    lookup_value_regex = IDENTIFIER_PATTERN

    @property
    def page_order(self) -> tuple[str, ...]:  # type: ignore[override]
        """Return what the pages go by; a value of `ordering` that is none was refused before."""
        ordering = self.request.query_params.get("ordering") or "identifier"
        order = _ORDERS[ordering.removeprefix("-")]
        return tuple(f"-{name}" for name in order) if ordering.startswith("-") else order

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
