"""The admin page of the audit log: who changed what, when; read-only. Other pages of this package: fleet/adminsite/."""

from typing import Any

from auditlog.admin import LogEntryAdmin as AuditlogLogEntryAdmin
from auditlog.models import LogEntry
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from fleet.adminsite.rejected import RejectedAdmin
from sensors.admin_base import ReadOnlyAdmin

__all__ = ["AuditlogLogEntryAdmin", "RejectedAdmin"]

# Imported above, so that it is registered and can be replaced by one in the site's looks.
admin.site.unregister(LogEntry)


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """The audit log."""

    list_display = ("timestamp", "who", "action_label", "content_type", "object_repr", "fields_changed")
    list_filter = ("action", ("content_type", admin.RelatedOnlyFieldListFilter), "timestamp")
    list_select_related = ("content_type", "actor")
    search_fields = ("object_repr", "actor__username")
    fields = ("timestamp", "who", "action_label", "content_type", "object_repr", "remote_addr", "changes_table")
    readonly_fields = fields
    ordering = ("-timestamp", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """Return the entries."""
        return super().get_queryset(request).select_related("content_type", "actor")

    @display(description="who", ordering="actor__username")
    def who(self, entry: LogEntry) -> str:
        """Return the user, or that it was no person."""
        return str(entry.actor) if entry.actor else "the service"

    @display(description="did", label={"create": "success", "update": "info", "delete": "danger"})
    def action_label(self, entry: LogEntry) -> str:
        """Return create, update, delete."""
        return str(entry.get_action_display())

    @display(description="fields")
    def fields_changed(self, entry: LogEntry) -> str:
        """Return the names of the changed fields."""
        return ", ".join(list(entry.changes_dict)[:8])

    @display(description="changes")
    def changes_table(self, entry: LogEntry) -> SafeString:
        """Return each field with what it was and what it became."""
        rows = [(name, *_before_and_after(change)) for name, change in entry.changes_dict.items()]
        return render_to_string("fleet/admin/changes.html", {"rows": rows})


def _before_and_after(change: Any) -> tuple[str, str]:
    if isinstance(change, dict):
        # Of a set of relations: what was added or taken away.
        return "", f"{change.get('operation', '')}: {', '.join(map(str, change.get('objects', [])))}"
    before, after = [*change, "", ""][:2]
    return str(before), str(after)
