"""What the audit log holds of a row, and how an entry reads."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.db.models import Model, QuerySet
from django.utils.text import slugify

from sensors import spreadsheets
from sensors.spreadsheets import csv_cell

if TYPE_CHECKING:
    from sensors.models import AuditEntry

# Some 200 KiB when they are written out.
ENTRIES_AT_ONCE: Final = 500
_COLUMNS: Final = ("at", "actor", "token", "address", "action", "kind", "object", "network")
_FIELD_COLUMNS: Final = ("field", "before", "after")


def own_fields(model: type[Model], *, without: Collection[str] = ()) -> list[str]:
    """Return the names of the model's own columns but for `without`, for auditlog.

    Left to itself it also looks at whatever points at a new row, with a query for each.
    """
    return [field.name for field in model._meta.concrete_fields if field.name not in without]


def masked(_text: str) -> str:
    """Return what the history shows of a secret: that there is one."""
    return "(hidden)"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What one field was and what it became. Of a set of relations: what was taken away, and what was added."""

    field: str
    before: Any
    after: Any


def field_changes(entry: "AuditEntry") -> list[FieldChange]:
    """Return what an entry of the audit log changed, by field."""
    return [_field_change(name, change) for name, change in entry.changes_dict.items()]


def _field_change(name: str, change: Any) -> FieldChange:
    if isinstance(change, dict):
        names = list(change.get("objects", []))
        is_added = change.get("operation") == "add"
        return FieldChange(name, None if is_added else names, names if is_added else None)
    before, after = [*change, None, None][:2]
    return FieldChange(name, before, after)


def entry_as_dict(entry: "AuditEntry") -> dict[str, Any]:
    """Return an entry as it is shown over HTTP."""
    return {
        "id": entry.pk,
        "at": entry.timestamp,
        "actor": entry.actor_name or None,
        "token": entry.token_name or None,
        "address": entry.remote_addr,
        "action": entry.get_action_display(),
        "kind": slugify(str(entry.content_type.name)),
        "object": entry.object_repr,
        "network": entry.network_slug or None,
        "changes": [
            {"field": change.field, "before": change.before, "after": change.after} for change in field_changes(entry)
        ],
    }


def next_entries(rows: "QuerySet[AuditEntry]", *, after: int | None) -> "list[AuditEntry]":
    """Return the next ENTRIES_AT_ONCE of `rows`, newest first, after the one with the id `after`."""
    rows = rows.select_related("content_type").order_by("-pk")
    return list((rows if after is None else rows.filter(pk__lt=after))[:ENTRIES_AT_ONCE])


def ndjson_lines(entries: "Iterable[AuditEntry]") -> Iterator[bytes]:
    """Yield a line for each entry, as over HTTP."""
    for entry in entries:
        yield msgspec.json.encode(entry_as_dict(entry)) + b"\n"


def csv_head() -> bytes:
    """Return the names of the columns of `csv_lines`."""
    return spreadsheets.csv_lines([[*_COLUMNS, *_FIELD_COLUMNS]])


def csv_lines(entries: "Iterable[AuditEntry]") -> Iterator[bytes]:
    """Yield the lines of each entry: one for each changed field, or one for an entry without any."""
    for entry in entries:
        values = entry_as_dict(entry)
        first = [csv_cell(values[name]) for name in _COLUMNS]
        changes = values["changes"] or [{}]
        yield spreadsheets.csv_lines(
            [*first, *(csv_cell(change.get(name)) for name in _FIELD_COLUMNS)] for change in changes
        )
