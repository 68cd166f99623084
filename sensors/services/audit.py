"""The audit log's one write besides new entries: letting the old ones go."""

from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from sensors.models import AuditEntry


def prune_audit_log(*, before: datetime) -> int:
    """Delete the entries from before `before` and return how many; a new entry says so.

    The only way to delete one: a trigger refuses every other.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL fleet.prunes_audit_log = 'on'")
        number, _ = AuditEntry.objects.filter(timestamp__lt=before).delete()
        cursor.execute("SET LOCAL fleet.prunes_audit_log = 'off'")
        if number:
            AuditEntry.objects.create(
                content_type=ContentType.objects.get_for_model(AuditEntry),
                object_pk="",
                object_repr=f"entries from before {before.isoformat()}",
                action=AuditEntry.Action.DELETE,
                changes={"entries": [number, 0]},
            )
    return number
