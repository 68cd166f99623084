"""Lists of what sensors reported, page by page, newest first."""

from typing import Any, ClassVar

from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from sensors.api.pagination import Pages
from sensors.api.permissions import NetworkPermission, visible_or_404, visible_sensor
from sensors.wire import Reason
from telemetry import queries
from telemetry.api import examples, serializers
from telemetry.api.parameters import (
    NETWORK,
    PAGE_NAMES,
    RANGE,
    RANGE_NAMES,
    SENSOR,
    SEVERITY,
    read_choice,
    read_range,
    read_severities,
    read_text,
    refuse_unknown,
)

REASON = OpenApiParameter("reason", str, enum=[reason.value for reason in Reason])


class ListView(APIView):
    """A list: `page_order` is the order of its pages, `row` renders one of its rows."""

    permission_classes = [NetworkPermission]
    pagination_class = Pages
    page_order: tuple[str, ...] = ("-measured_at", "-digest")
    row: ClassVar[type[BaseSerializer]]

    def answer(self, request: Request, rows: QuerySet[Any, Any]) -> Response:
        """Return the page of `rows` that the request asks for."""
        pages = Pages()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(self.row(page, many=True).data)


class MeasurementsView(ListView):
    """A sensor's measurements."""

    row = serializers.MeasurementSerializer

    @extend_schema(
        summary="Measurements of a sensor, newest first",
        operation_id="measurements_list",
        parameters=RANGE,
        responses=serializers.MeasurementSerializer(many=True),
        examples=examples.MEASUREMENTS,
        filters=True,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return a page; rows that arrive meanwhile change none of the pages after it."""
        refuse_unknown(request, *RANGE_NAMES, *PAGE_NAMES)
        sensor = visible_sensor(request, identifier)
        return self.answer(request, queries.measurements_of(sensor, **read_range(request).bounds()))


class HeartbeatsView(ListView):
    """A sensor's heartbeats."""

    row = serializers.HeartbeatSerializer

    @extend_schema(
        summary="Heartbeats of a sensor, newest first",
        operation_id="heartbeats_list",
        parameters=RANGE,
        responses=serializers.HeartbeatSerializer(many=True),
        examples=examples.HEARTBEATS,
        filters=True,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return a page."""
        refuse_unknown(request, *RANGE_NAMES, *PAGE_NAMES)
        sensor = visible_sensor(request, identifier)
        return self.answer(request, queries.heartbeats_of(sensor, **read_range(request).bounds()))


class SensorLogMessagesView(ListView):
    """A sensor's log messages."""

    row = serializers.LogMessageSerializer

    @extend_schema(
        summary="Log messages of a sensor, newest first",
        operation_id="sensor_log_messages_list",
        parameters=[SEVERITY, *RANGE],
        responses=serializers.LogMessageSerializer(many=True),
        examples=examples.LOG_MESSAGES,
        filters=True,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return a page."""
        refuse_unknown(request, "severity", *RANGE_NAMES, *PAGE_NAMES)
        sensor = visible_sensor(request, identifier)
        severities, bounds = read_severities(request), read_range(request).bounds()
        with queries.time_limit():
            return self.answer(request, queries.log_messages_of(sensor, severities=severities, **bounds))


class SensorLogSummaryView(ListView):
    """What a sensor logs, by severity and subject."""

    row = serializers.LogGroupSerializer
    page_order = ("severity", "subject")

    @extend_schema(
        summary="Log messages of a sensor, counted by severity and subject",
        operation_id="sensor_log_messages_summary",
        parameters=[SEVERITY, *RANGE],
        responses=serializers.LogGroupSerializer(many=True),
        examples=examples.LOG_SUMMARY,
        filters=True,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return a page of groups."""
        refuse_unknown(request, "severity", *RANGE_NAMES, *PAGE_NAMES)
        sensor = visible_sensor(request, identifier)
        severities, bounds = read_severities(request), read_range(request).bounds()
        with queries.time_limit():
            logs = queries.log_messages_of(sensor, severities=severities, **bounds)
            return self.answer(request, queries.log_summary(logs))


class LogMessagesView(ListView):
    """The log messages of all visible sensors."""

    row = serializers.SensorLogMessageSerializer
    page_order = ("-measured_at", "-sensor_id", "-digest")

    @extend_schema(
        summary="Log messages of all sensors, newest first",
        operation_id="log_messages_list",
        parameters=[NETWORK, SENSOR, SEVERITY, *RANGE],
        responses=serializers.SensorLogMessageSerializer(many=True),
        examples=examples.LOG_MESSAGES_OF_ALL,
        filters=True,
    )
    def get(self, request: Request) -> Response:
        """Return a page."""
        with queries.time_limit():
            return self.answer(request, queries.with_identifier(_visible_logs(request)))


class LogSummaryView(ListView):
    """What all visible sensors log, by severity and subject."""

    row = serializers.LogGroupSerializer
    page_order = ("severity", "subject")

    @extend_schema(
        summary="Log messages of all sensors, counted by severity and subject",
        operation_id="log_messages_summary",
        parameters=[NETWORK, SENSOR, SEVERITY, *RANGE],
        responses=serializers.LogGroupSerializer(many=True),
        examples=examples.LOG_SUMMARY,
        filters=True,
    )
    def get(self, request: Request) -> Response:
        """Return a page of groups."""
        with queries.time_limit():
            return self.answer(request, queries.log_summary(_visible_logs(request)))


class AllLatestView(ListView):
    """The newest measurement of each visible sensor."""

    row = serializers.SensorNewestSerializer
    page_order = ("sensor__identifier",)

    @extend_schema(
        summary="The newest measurement of every sensor, by identifier",
        operation_id="latest_measurements_list",
        parameters=[NETWORK],
        responses=serializers.SensorNewestSerializer(many=True),
        examples=examples.LATEST_OF_ALL,
        filters=True,
    )
    def get(self, request: Request) -> Response:
        """Return a page; sensors that have measured nothing are left out."""
        refuse_unknown(request, "network", *PAGE_NAMES)
        return self.answer(request, queries.visible_latest(request.user, network=read_text(request, "network")))


class RejectedMessagesView(ListView):
    """What came in and could not be stored."""

    row = serializers.RejectedSerializer
    page_order = ("-last_at", "-id")

    @extend_schema(
        summary="Rejected messages, those seen last first",
        description="Those of no known sensor are for staff. `payload` is how it begins; its own page has more.",
        operation_id="rejected_messages_list",
        parameters=[REASON, SENSOR, *RANGE],
        responses=serializers.RejectedSerializer(many=True),
        examples=examples.REJECTED,
        filters=True,
    )
    def get(self, request: Request) -> Response:
        """Return a page; a row is in the range if it was seen in it at least once."""
        refuse_unknown(request, "reason", "sensor", *RANGE_NAMES, *PAGE_NAMES)
        rejected = queries.visible_rejected(
            request.user,
            reason=read_choice(request, "reason", [reason.value for reason in Reason]),
            sensor=read_text(request, "sensor"),
            **read_range(request).bounds(),
        )
        shown = Substr("payload", 1, serializers.SHOWN_BYTES, output_field=BinaryField())
        return self.answer(request, rejected.defer("payload").annotate(shown_payload=shown))


class RejectedMessageView(APIView):
    """One rejected message."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="One rejected message, with all of its payload that was kept",
        operation_id="rejected_messages_retrieve",
        responses=serializers.RejectedSerializer,
        examples=examples.REJECTED,
    )
    def get(self, request: Request, number: int) -> Response:
        """Return the rejected message; the first 64 KiB of its payload are kept."""
        refuse_unknown(request)
        rejected = visible_or_404(queries.visible_rejected(request.user), "rejected message", pk=number)
        return Response(serializers.RejectedSerializer(rejected).data)


def _visible_logs(request: Request) -> QuerySet[Any, Any]:
    refuse_unknown(request, "network", "sensor", "severity", *RANGE_NAMES, *PAGE_NAMES)
    return queries.visible_log_messages(
        request.user,
        severities=read_severities(request),
        network=read_text(request, "network"),
        sensor=read_text(request, "sensor"),
        **read_range(request).bounds(),
    )
