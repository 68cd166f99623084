"""One sensor's newest measurement, its attributes, their series, and the export of its measurements."""

from collections.abc import AsyncIterator

from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sensors.api.permissions import NetworkPermission, visible_sensor
from sensors.api.renderers import AnyAccepted
from sensors.models import Sensor
from telemetry import queries
from telemetry.api import examples, serializers
from telemetry.api.parameters import (
    RANGE,
    RANGE_NAMES,
    Range,
    read_attribute,
    read_choice,
    read_number,
    read_range,
    refuse_unknown,
)
from telemetry.export import Format, stream_measurements
from telemetry.queries.series import DEFAULT_POINTS, MAX_POINTS


class LatestView(APIView):
    """A sensor's newest measurement."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="The newest measurement of a sensor",
        operation_id="latest_measurement_retrieve",
        responses=serializers.NewestSerializer,
        examples=examples.LATEST,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return it, or 404 while there is none."""
        refuse_unknown(request)
        state = queries.latest_of(visible_sensor(request, identifier))
        if state is None:
            raise NotFound(f"The sensor {identifier!r} has measured nothing so far.")
        return Response(serializers.NewestSerializer(state).data)


class AttributesView(APIView):
    """What a sensor measures."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="The attributes of a sensor's newest measurements",
        description="Those of its newest 200 measurements, by name, with the JSON types that they had.",
        operation_id="attributes_list",
        responses=serializers.AttributesSerializer,
        examples=examples.ATTRIBUTES,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return all of them on one page."""
        refuse_unknown(request)
        found = queries.attributes_of(visible_sensor(request, identifier))
        results = [{"name": name, "kinds": kinds} for name, kinds in found]
        return Response({"next": None, "previous": None, "results": results})


class SeriesView(APIView):
    """One attribute over time, for a chart."""

    permission_classes = [NetworkPermission]

    @extend_schema(
        summary="One attribute over time: count, min, mean and max in buckets of equal length",
        description=(
            "The length of a bucket is the shortest of 1, 2, 5, 10, 15, 30 seconds or minutes, 1, 2, 3, 6, 12 hours, "
            "1, 2, 7, 14, 28 days and so on with which the range needs at most `points` buckets; they start at "
            "multiples of it in UTC. Only numbers count, and empty buckets are left out. Without `start` or `end` "
            "the range begins or ends with what is stored."
        ),
        operation_id="series_retrieve",
        parameters=[
            OpenApiParameter("attribute", str, required=True, description="Its name, as in `value`."),
            *RANGE,
            OpenApiParameter(
                "points", {"type": "integer", "minimum": 1, "maximum": MAX_POINTS, "default": DEFAULT_POINTS}
            ),
        ],
        responses=serializers.SeriesSerializer,
        examples=examples.SERIES,
    )
    def get(self, request: Request, identifier: str) -> Response:
        """Return the series; that of an attribute that never was has no points."""
        refuse_unknown(request, "attribute", "points", *RANGE_NAMES)
        sensor = visible_sensor(request, identifier)
        attribute, bounds = read_attribute(request), read_range(request).bounds()
        points = read_number(request, "points", default=DEFAULT_POINTS, least=1, most=MAX_POINTS)
        found = queries.series(sensor, attribute, points=points, **bounds)
        # As it is: the serializer, which describes it, took longer for 300 points than the database.
        return Response({"attribute": found.attribute, "bucket_s": found.bucket_s, "points": found.points})


class _CsvRenderer(BaseRenderer):
    """Only for the document: the view writes its stream itself."""

    media_type = "text/csv"
    format = "csv"


class _NdjsonRenderer(BaseRenderer):
    media_type = "application/x-ndjson"
    format = "ndjson"


class ExportView(APIView):
    """A sensor's measurements as a file."""

    permission_classes = [NetworkPermission]
    content_negotiation_class = AnyAccepted

    @extend_schema(
        summary="Measurements of a sensor as CSV or NDJSON, oldest first",
        description=(
            "A stream, for any range. CSV has a column for each attribute that occurs in the range; the range is read "
            "once for that before the first row, unless `attribute` names the columns. Strings in CSV that a "
            "spreadsheet would take for a formula start with an apostrophe. A connection that is closed before the "
            "end of the chunked answer means that it is not complete."
        ),
        operation_id="measurements_export",
        parameters=[
            OpenApiParameter("format", str, enum=[form.value for form in Format], default=Format.CSV.value),
            *RANGE,
            OpenApiParameter(
                "attribute", str, many=True, description="Repeatable: only these, as columns in this order."
            ),
        ],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
        },
        examples=examples.EXPORT,
    )
    def get(self, request: Request, identifier: str) -> StreamingHttpResponse:
        """Return the stream."""
        sensor, form, period, attributes = self._read(request, identifier)
        # Back to the pool now: the request holds its connection until the last byte is sent, which may take
        # minutes, and a few exports would leave none for anybody else. The stream has one of its own.
        if not connection.in_atomic_block:
            connection.close()
        response = StreamingHttpResponse(_bytes(sensor, form, period, attributes))
        _set_headers(response, sensor, form)
        return response

    @extend_schema(exclude=True)
    def head(self, request: Request, identifier: str) -> HttpResponse:
        """Return what the stream's headers would be, and read no measurement."""
        sensor, form, _, _ = self._read(request, identifier)
        response = HttpResponse()
        _set_headers(response, sensor, form)
        return response

    def _read(self, request: Request, identifier: str) -> tuple[Sensor, Format, Range, list[str]]:
        refuse_unknown(request, "format", "attribute", *RANGE_NAMES)
        sensor = visible_sensor(request, identifier)
        form = read_choice(request, "format", [each.value for each in Format]) or Format.CSV
        attributes = [text for text in request.query_params.getlist("attribute") if text]
        if any("\x00" in text for text in attributes):
            raise ValidationError({"attribute": ["A NUL character is not allowed."]})
        return sensor, Format(form), read_range(request), list(dict.fromkeys(attributes))


async def _bytes(sensor: Sensor, form: Format, period: Range, attributes: list[str]) -> AsyncIterator[bytes]:
    async for data, _ in stream_measurements([sensor], form=form, attributes=attributes, **period.bounds()):
        yield data


def _set_headers(response: HttpResponse | StreamingHttpResponse, sensor: Sensor, form: Format) -> None:
    response["Content-Type"] = form.content_type
    # An identifier needs no quoting: letters, digits, hyphens and underscores.
    response["Content-Disposition"] = f'attachment; filename="{sensor.identifier}-measurements.{form.value}"'
    # A proxy that collects the answer first would make it neither prompt nor bounded.
    response["X-Accel-Buffering"] = "no"
    response["Cache-Control"] = "no-store"
