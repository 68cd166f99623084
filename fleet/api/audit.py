"""The audit log over HTTP: pages of it, and all of it as a file."""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Final

import django_filters
from asgiref.sync import sync_to_async
from auditlog.registry import auditlog
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import StreamingHttpResponse
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request

from sensors import queries
from sensors.api.filters import Filters, TextsFilter, TimeFilter
from sensors.api.renderers import AnyAccepted
from sensors.api.views import ListViewSet
from sensors.history import csv_head, csv_lines, entry_as_dict, ndjson_lines, next_entries
from sensors.models import AuditEntry, Claim
from telemetry.api.parameters import read_choice
from telemetry.export import Format

ACTIONS: Final = dict(AuditEntry.Action.choices)


@cache
def kinds() -> dict[str, type[Model]]:
    """Return the models whose changes are recorded, by the name that they have over HTTP."""
    # Entries of the latter two are written by the services that decide on claims and let old entries go.
    models = {*auditlog.get_models(), Claim, AuditEntry}
    return {str(slugify(str(model._meta.verbose_name))): model for model in sorted(models, key=str)}


class FieldChangeSerializer(serializers.Serializer):
    """What one field was and what it became."""

    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class AuditEntrySerializer(serializers.Serializer):
    """One change of one object."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(allow_null=True, help_text="The user, or the command; null: the service itself.")
    token = serializers.CharField(allow_null=True, help_text="By which of the user's tokens; null: by a session.")
    address = serializers.IPAddressField(allow_null=True, help_text="Where the request came from.")
    action = serializers.ChoiceField(choices=[(name, name) for name in ACTIONS.values()])
    kind = serializers.CharField(help_text="What was changed: sensor, membership, user, …")
    object = serializers.CharField(help_text="Its name then.")
    network = serializers.CharField(allow_null=True, help_text="Slug; null: it belongs to none.")
    changes = FieldChangeSerializer(many=True)

    def to_representation(self, instance: AuditEntry) -> dict[str, Any]:
        """Return the entry."""
        return entry_as_dict(instance)


class AuditFilters(django_filters.FilterSet):
    """`network`, `kind`, `action`, `actor` (all repeatable), `search`, `start`, `end`."""

    network = TextsFilter(field_name="network_slug", label="Slug; repeatable: any of them.")
    kind = TextsFilter(method="of_kinds", label="sensor, membership, user, …; repeatable: any of them.")
    action = django_filters.MultipleChoiceFilter(
        method="of_actions", choices=[(name, name) for name in ACTIONS.values()], label="Repeatable: any of them."
    )
    actor = TextsFilter(field_name="actor_name", label="Username; repeatable: any of them.")
    search = django_filters.CharFilter(method="find", label="Part of the object's, the actor's or the token's name.")
    start = TimeFilter(field_name="timestamp", lookup_expr="gte", label="Then or later.")
    end = TimeFilter(field_name="timestamp", lookup_expr="lt", label="Before.")

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def of_kinds(self, rows: QuerySet, name: str, wanted: list[str]) -> QuerySet:
        """Return the rows about these kinds of objects."""
        unknown = sorted(set(wanted) - kinds().keys())
        if unknown:
            known = ", ".join(kinds())
            raise serializers.ValidationError({name: [f"{unknown[0][:50]!r} is none of {known}."]})
        types = ContentType.objects.get_for_models(*(kinds()[each] for each in wanted))
        return rows.filter(content_type__in=types.values()) if wanted else rows

    def of_actions(self, rows: QuerySet, _name: str, wanted: list[str]) -> QuerySet:
        """Return the rows in which this was done."""
        return rows.filter(action__in=[key for key, name in ACTIONS.items() if name in wanted]) if wanted else rows

    def find(self, rows: QuerySet, _name: str, text: str) -> QuerySet:
        """Return the rows with `text` in a name, whatever its case."""
        return rows.filter(
            Q(object_repr__icontains=text) | Q(actor_name__icontains=text) | Q(token_name__icontains=text)
        )


_ENTRY: Final = {
    "id": 4711,
    "at": "2026-03-01T12:00:00.000000Z",
    "actor": "ana",
    "token": None,
    "address": "192.0.2.7",
    "action": "update",
    "kind": "membership",
    "object": "bob as operator of Plant",
    "network": "plant",
    "changes": [{"field": "role", "before": "viewer", "after": "operator"}],
}


@extend_schema_view(
    list=extend_schema(
        summary="Who changed what, newest first",
        description="Of networks that you own, and of your own account; staff see all. Entries are never changed.",
        examples=[OpenApiExample("A role was changed", value=_ENTRY, response_only=True)],
    ),
)
class AuditViewSet(ListViewSet):
    """The audit log."""

    http_method_names = ["get", "head", "options"]
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilters
    own_parameters: tuple[str, ...] = ()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Return the entries that the caller may see."""
        return queries.visible_audit_entries(self.request.user).select_related("content_type")

    @extend_schema(
        summary="The audit log as CSV or NDJSON, newest first",
        description="With the filters of the list. CSV has a line for each changed field; texts that a spreadsheet"
        " would take for a formula start with an apostrophe.",
        operation_id="audit_log_export",
        parameters=[
            OpenApiParameter("format", str, enum=[form.value for form in Format], default=Format.CSV.value),
        ],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
        filters=True,
    )
    @action(detail=False, pagination_class=None, content_negotiation_class=AnyAccepted, own_parameters=("format",))
    def export(self, request: Request) -> StreamingHttpResponse:
        """Return the stream."""
        form = Format(read_choice(request, "format", [each.value for each in Format]) or Format.CSV)
        rows = Filters().filter_queryset(request, self.get_queryset(), self)
        response = StreamingHttpResponse(_stream(rows, form), content_type=form.content_type)
        response["Content-Disposition"] = f'attachment; filename="audit-log.{form.value}"'
        response["X-Accel-Buffering"] = "no"
        response["Cache-Control"] = "no-store"
        return response


async def _stream(rows: QuerySet[AuditEntry], form: Format) -> AsyncIterator[bytes]:
    if form is Format.CSV:
        yield csv_head()
    last: int | None = None
    while chunk := await sync_to_async(_chunk)(rows, last):
        yield b"".join(csv_lines(chunk) if form is Format.CSV else ndjson_lines(chunk))
        last = chunk[-1].pk


def _chunk(rows: QuerySet[AuditEntry], last: int | None) -> list[AuditEntry]:
    try:
        return next_entries(rows, after=last)
    finally:
        # The stream may last for minutes, and its reader decides how long.
        if not connection.in_atomic_block:
            connection.close()
