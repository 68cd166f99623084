"""The admin page of the audit log: who changed what, when; read-only. Other pages of this package: fleet/adminsite/."""

from typing import Any

from auditlog.admin import LogEntryAdmin as AuditlogLogEntryAdmin
from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.decorators import display

from fleet.adminsite.people import PeopleAdmin
from fleet.adminsite.rejected import RejectedAdmin
from sensors.admin_base import ReadOnlyAdmin
from sensors.history import field_changes
from sensors.models import AuditEntry

__all__ = ["AuditlogLogEntryAdmin", "PeopleAdmin", "RejectedAdmin"]

# Imported above, so that it is registered and can be replaced by one in the site's looks.
admin.site.unregister(AuditEntry)


@admin.register(AuditEntry)
class AuditAdmin(ReadOnlyAdmin):
    """The audit log."""

    list_display = ("timestamp", "who", "action_label", "content_type", "object_repr", "network_slug", "fields_changed")
    list_filter = ("action", ("content_type", admin.RelatedOnlyFieldListFilter), "timestamp")
    list_select_related = ("content_type",)
    search_fields = ("object_repr", "actor_name", "network_slug")
    fields = (
        *("timestamp", "who", "token_name", "remote_addr", "action_label", "content_type", "object_repr"),
        *("network_slug", "changes_table"),
    )
    readonly_fields = fields
    ordering = ("-id",)

    @display(description="who", ordering="actor_name")
    def who(self, entry: AuditEntry) -> str:
        """Return the user's name as it was then, or that it was no person."""
        return entry.actor_name or "the service"

    @display(description="did", label={"create": "success", "update": "info", "delete": "danger"})
    def action_label(self, entry: AuditEntry) -> str:
        """Return create, update, delete."""
        return str(entry.get_action_display())

    @display(description="fields")
    def fields_changed(self, entry: AuditEntry) -> str:
        """Return the names of the changed fields."""
        return ", ".join(list(entry.changes_dict)[:8])

    @display(description="changes")
    def changes_table(self, entry: AuditEntry) -> SafeString:
        """Return each field with what it was and what it became."""
        rows = [(change.field, _text(change.before), _text(change.after)) for change in field_changes(entry)]
        return render_to_string("fleet/admin/changes.html", {"rows": rows})


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
