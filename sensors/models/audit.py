"""Who changed what: the audit log."""

import sys
from pathlib import Path
from typing import Any

from auditlog.models import AbstractLogEntry, LogEntryManager
from django.db import models

from sensors.models.fleet import Network


def program_name() -> str:
    """Return the command that is running, like "manage.py create_token"; empty in a server."""
    return f"manage.py {sys.argv[1]}" if Path(sys.argv[0]).name == "manage.py" and len(sys.argv) > 1 else ""


class AuditManager(LogEntryManager):
    """Makes entries that know the network of what they record."""

    def log_create(self, instance: Any, force_log: bool = False, **kwargs: Any) -> Any:
        """Return the new entry, None where nothing changed."""
        return super().log_create(instance, force_log, **(_place_of(instance) | kwargs))

    def log_m2m_changes(
        self, changed_queryset: Any, instance: Any, operation: str, field_name: str, **kwargs: Any
    ) -> Any:
        """Return the new entry about relations, None where there are none."""
        return super().log_m2m_changes(
            changed_queryset, instance, operation, field_name, **(_place_of(instance) | kwargs)
        )


def _place_of(instance: Any) -> dict[str, Any]:
    if isinstance(instance, Network):
        return {"network_id": instance.pk, "network_slug": instance.slug}
    # The slug is looked up by a trigger: a deleted network's sensors would cost a query each.
    return {"network_id": getattr(instance, "network_id", None)}


class AuditEntry(AbstractLogEntry):
    """One change of one row: who, when, from where, what it was and what it became. Never a secret.

    Written by django-auditlog with the change, in its transaction; a trigger lets nobody change an entry and nobody but
    `prune_audit_log` delete one. It outlives what it records, its actor and its network, which it therefore names in
    its own words.
    """

    # No foreign key: see above. Ids are not used again.
    network_id = models.BigIntegerField(null=True)
    network_slug = models.CharField(max_length=50, blank=True, default="")
    # The username; of a command its name; empty: the service itself.
    actor_name = models.CharField(max_length=150, blank=True, default=program_name)
    # By which token of the actor it was done; empty: by a session.
    token_name = models.CharField(max_length=100, blank=True, default="")

    objects = AuditManager()

    class Meta(AbstractLogEntry.Meta):
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        indexes = [models.Index(fields=["network_id", "-id"], name="audit_entries_of_a_network")]
