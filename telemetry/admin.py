"""The admin page of rejected messages. Entries have pages of their own: their tables have composite keys."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from sensors.admin_base import ReadOnlyAdmin
from sensors.wire import Reason
from telemetry.models import RejectedMessage
from telemetry.queries import visible_rejected

# A page is for looking; the whole of what is kept is in the API.
SHOWN_BYTES = 16 * 1024


class ReasonFilter(admin.SimpleListFilter):
    """Rejected messages by reason."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the reasons."""
        return [(reason.value, reason.value) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Return those with the chosen reason."""
        return queryset.filter(reason=self.value()) if self.value() else queryset


@admin.register(RejectedMessage)
class RejectedMessageAdmin(ReadOnlyAdmin):
    """What came in and could not be stored, and why."""

    list_display = ("topic_text", "reason", "sensor", "count", "last_at", "detail_text")
    list_filter = (ReasonFilter,)
    search_fields = ("topic", "detail")
    fields = (
        "topic",
        "sensor",
        "reason",
        "detail",
        "count",
        "first_at",
        "last_at",
        "whole",
        "kept",
        "payload_bytes",
        "payload_text",
    )
    readonly_fields = fields
    ordering = ("-last_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[RejectedMessage]:
        """Return all of them, without the payloads until one is looked at."""
        return visible_rejected(request.user).defer("payload", "digest")

    @display(description="topic", ordering="topic")
    def topic_text(self, message: RejectedMessage) -> str:
        """Return the topic, cut to a line."""
        return _cut(message.topic, 60)

    @display(description="detail")
    def detail_text(self, message: RejectedMessage) -> str:
        """Return what was wrong, cut to a line."""
        return _cut(message.detail, 100)

    @display(description="sensor")
    def sensor(self, message: Any) -> str | None:
        """Return the identifier, if the sensor is known."""
        return message.sensor

    @display(description="payload")
    def payload_text(self, message: RejectedMessage) -> SafeString:
        """Return its first bytes as text; what is no text stands for itself as \\x…"""
        text = bytes(message.payload[:SHOWN_BYTES]).decode(errors="backslashreplace").replace("\x00", "\\x00")
        cut = message.payload_bytes > min(len(message.payload), SHOWN_BYTES)
        return render_to_string("telemetry/admin/payload.html", {"text": text, "cut": cut})


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
