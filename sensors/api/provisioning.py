"""Many sensors at once, over HTTP."""

from collections.abc import Mapping
from typing import IO, Any, Final

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sensors.api.filters import refuse_unknown_parameters
from sensors.api.parsers import StrictJSONParser
from sensors.api.permissions import NetworkPermission, caller, visible_network
from sensors.api.serializers import StrictSerializer
from sensors.models import Role
from sensors.provisioning import MAX_ROWS, provision_sensors, read_csv

_FLAGS: Final = {"true": True, "false": False}


class CSVParser(BaseParser):
    """Rows of sensors as CSV."""

    media_type = "text/csv"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the rows as a JSON body would name them."""
        try:
            return {"sensors": read_csv(stream.read().decode())}
        except UnicodeDecodeError as error:
            raise ParseError("The body is no UTF-8.") from error


class ImportSerializer(StrictSerializer):
    """Sensors to be made; each row is judged for itself."""

    sensors = serializers.ListField(
        child=serializers.JSONField(),
        allow_empty=False,
        max_length=MAX_ROWS,
        help_text="Objects with `identifier`, and optionally `name`, `gateway`, `labels`, `period_s`, `grace_s`.",
    )


class ImportedLoginSerializer(serializers.Serializer):
    """A new credential; the password is shown this once."""

    username = serializers.CharField()
    client_id = serializers.CharField()
    password = serializers.CharField()


class ImportedRowSerializer(serializers.Serializer):
    """What became of one row."""

    row = serializers.IntegerField(help_text="Counted from 1, without the head of CSV.")
    identifier = serializers.CharField(allow_blank=True)
    created = serializers.BooleanField()
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), allow_null=True
    )
    credential = ImportedLoginSerializer(allow_null=True)


class ImportedSerializer(serializers.Serializer):
    """What became of all rows."""

    created = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = ImportedRowSerializer(many=True)


_EXAMPLE = OpenApiExample(
    "Two sensors",
    value={"sensors": [{"identifier": "boiler-1", "labels": {"floor": "2"}}, {"identifier": "boiler-2"}]},
    request_only=True,
    media_type="application/json",
)


class ImportView(APIView):
    """Many sensors of one network at once."""

    permission_classes = [NetworkPermission]
    parser_classes = [StrictJSONParser, CSVParser]

    @extend_schema(
        summary="Make many sensors at once (operators)",
        description="From JSON, or from CSV with a head: identifier, name, gateway, period_s, grace_s, label:KEY. A row"
        " that is wrong is refused with its reason and costs only itself; the answer says what became of each.",
        operation_id="networks_sensors_import",
        parameters=[
            OpenApiParameter(
                "credentials", bool, description="`true`: also issue their credentials, shown in the answer this once."
            )
        ],
        request={"application/json": ImportSerializer, "text/csv": OpenApiTypes.STR},
        responses=ImportedSerializer,
        examples=[_EXAMPLE],
    )
    def post(self, request: Request, slug: str) -> Response:
        """Make them."""
        network = visible_network(request, slug, role=Role.OPERATOR)
        refuse_unknown_parameters(request, ("credentials",))
        flag = request.query_params.get("credentials", "false")
        if flag not in _FLAGS:
            raise serializers.ValidationError({"credentials": ["true or false."]})
        serializer = ImportSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        results = list(
            provision_sensors(
                network,
                serializer.validated_data["sensors"],
                with_credentials=_FLAGS[flag],
                author=caller(request),
                now=timezone.now(),
            )
        )
        created = sum(result.errors is None for result in results)
        return Response(
            {
                "created": created,
                "refused": len(results) - created,
                "results": [result.as_dict() for result in results],
            }
        )
