"""Lists of what sensors reported, page by page, newest first."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, Final, TypeVar

from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from sensors.api.pagination import Pages
from sensors.api.permissions import NetworkPermission, visible_or_404, visible_sensor
from sensors.api.renderers import FastJSONRenderer
from sensors.api.rows import Columns, RawJSON, RowPages
from sensors.wire import Reason
from telemetry import queries
from telemetry.api import examples, serializers
from telemetry.api.parameters import (
    NETWORK,
    PAGE_NAMES,
    RANGE,
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
    """A list; subclasses say which rows it has, in which order and with which columns.

    `row` documents one of its rows, `columns` fills it. `parameters` are the only ones that it takes, besides those of
    pages. `is_limited`: the question may be a long one, and the database is given a limit (`queries.time_limit`).
    """

    permission_classes = [NetworkPermission]
    pagination_class = Pages
    renderer_classes = [FastJSONRenderer]
    page_order: tuple[str, ...] = ("-measured_at", "-digest")
    row: ClassVar[type[BaseSerializer]]
    columns: ClassVar[Columns]
    parameters: ClassVar[Sequence[OpenApiParameter]] = RANGE
    is_limited: ClassVar[bool] = False

    def get(self, request: Request, **where: str) -> Response:
        """Return a page; rows that arrive meanwhile change none of the pages after it."""
        refuse_unknown(request, *(parameter.name for parameter in self.parameters), *PAGE_NAMES)
        with queries.time_limit() if self.is_limited else nullcontext():
            return self.answer(request, self.rows(request, **where))

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return all rows that the request asks for; `where` is what its path names."""
        raise NotImplementedError

    def answer(self, request: Request, rows: QuerySet[Any, Any]) -> Response:
        """Return the page of `rows` that the request asks for."""
        pages = RowPages(self.columns)
        pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(pages.results())


AnyList = TypeVar("AnyList", bound=ListView)


def documented(
    summary: str, *, operation_id: str, examples: list[OpenApiExample], description: str | None = None
) -> Callable[[type[AnyList]], type[AnyList]]:
    """Return what describes a list in the OpenAPI document."""

    def describe(view: type[AnyList]) -> type[AnyList]:
        get = extend_schema(
            summary=summary,
            description=description,
            operation_id=operation_id,
            parameters=list(view.parameters),
            responses=view.row(many=True),
            examples=examples,
            filters=True,
        )
        return extend_schema_view(get=get)(view)

    return describe


_ENTRY: Final = {"measured_at": "measured_at", "received_at": "received_at", "revision": "revision"}
_LOG: Final = {**_ENTRY, "severity": "severity", "subject": "subject", "details": "details"}
_GROUP: Final = {name: name for name in ("severity", "subject", "count", "first", "last")}


@documented("Measurements of a sensor, newest first", operation_id="measurements_list", examples=examples.MEASUREMENTS)
class MeasurementsView(ListView):
    """A sensor's measurements."""

    row = serializers.MeasurementSerializer
    columns = {**_ENTRY, "value": RawJSON("value")}

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return those in the range."""
        return queries.measurements_of(visible_sensor(request, where["identifier"]), **read_range(request).bounds())


@documented("Heartbeats of a sensor, newest first", operation_id="heartbeats_list", examples=examples.HEARTBEATS)
class HeartbeatsView(ListView):
    """A sensor's heartbeats."""

    row = serializers.HeartbeatSerializer
    columns = {**_ENTRY, "success": "success"}

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return those in the range."""
        return queries.heartbeats_of(visible_sensor(request, where["identifier"]), **read_range(request).bounds())


@documented(
    "Log messages of a sensor, newest first", operation_id="sensor_log_messages_list", examples=examples.LOG_MESSAGES
)
class SensorLogMessagesView(ListView):
    """A sensor's log messages."""

    row: ClassVar[type[BaseSerializer]] = serializers.LogMessageSerializer
    columns = _LOG
    parameters = [SEVERITY, *RANGE]
    is_limited = True

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return those in the range."""
        return queries.log_messages_of(
            visible_sensor(request, where["identifier"]),
            severities=read_severities(request),
            **read_range(request).bounds(),
        )


@documented(
    "Log messages of a sensor, counted by severity and subject",
    operation_id="sensor_log_messages_summary",
    examples=examples.LOG_SUMMARY,
)
class SensorLogSummaryView(SensorLogMessagesView):
    """What a sensor logs, by severity and subject."""

    row = serializers.LogGroupSerializer
    columns = _GROUP
    page_order = ("severity", "subject")

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return the groups of the range."""
        return queries.log_summary(super().rows(request, **where))


@documented(
    "Log messages of all sensors, newest first", operation_id="log_messages_list", examples=examples.LOG_MESSAGES_OF_ALL
)
class LogMessagesView(ListView):
    """The log messages of all visible sensors."""

    row = serializers.SensorLogMessageSerializer
    columns = {**_LOG, "sensor": "sensor"}
    page_order = ("-measured_at", "-sensor_id", "-digest")
    parameters = [NETWORK, SENSOR, SEVERITY, *RANGE]
    is_limited = True

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return those in the range."""
        return queries.with_identifier(_visible_logs(request))


@documented(
    "Log messages of all sensors, counted by severity and subject",
    operation_id="log_messages_summary",
    examples=examples.LOG_SUMMARY,
)
class LogSummaryView(ListView):
    """What all visible sensors log, by severity and subject."""

    row = serializers.LogGroupSerializer
    columns = _GROUP
    page_order = ("severity", "subject")
    parameters = LogMessagesView.parameters
    is_limited = True

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return the groups of the range."""
        return queries.log_summary(_visible_logs(request))


@documented(
    "The newest measurement of every sensor, by identifier",
    operation_id="latest_measurements_list",
    examples=examples.LATEST_OF_ALL,
)
class AllLatestView(ListView):
    """The newest measurement of each visible sensor; those that have measured nothing are left out."""

    row = serializers.SensorNewestSerializer
    columns = {
        "measured_at": "latest_measured_at",
        "received_at": "latest_received_at",
        "revision": "latest_revision",
        "value": RawJSON("latest_value"),
        "sensor": "sensor__identifier",
    }
    page_order = ("sensor__identifier",)
    parameters = [NETWORK]

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return their states."""
        return queries.visible_latest(request.user, network=read_text(request, "network"))


@documented(
    "Rejected messages, those seen last first",
    description="Those of no known sensor are for staff. `payload` is how it begins; its own page has more.",
    operation_id="rejected_messages_list",
    examples=examples.REJECTED,
)
class RejectedMessagesView(ListView):
    """What came in and could not be stored."""

    row = serializers.RejectedSerializer
    page_order = ("-last_at", "-id")
    parameters = [REASON, SENSOR, *RANGE]

    def rows(self, request: Request, **where: str) -> QuerySet[Any, Any]:
        """Return those that were seen in the range at least once."""
        rejected = queries.visible_rejected(
            request.user,
            reason=read_choice(request, "reason", [reason.value for reason in Reason]),
            sensor=read_text(request, "sensor"),
            **read_range(request).bounds(),
        )
        shown = Substr("payload", 1, serializers.SHOWN_BYTES, output_field=BinaryField())
        return rejected.defer("payload").annotate(shown_payload=shown)

    def answer(self, request: Request, rows: QuerySet[Any, Any]) -> Response:
        """Return the page; payloads are bytes, of which the serializer makes text."""
        pages = Pages()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(self.row(page, many=True).data)


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
    return queries.visible_log_messages(
        request.user,
        severities=read_severities(request),
        network=read_text(request, "network"),
        sensor=read_text(request, "sensor"),
        **read_range(request).bounds(),
    )
