"""What the history of a row holds."""

from collections.abc import Collection

from django.db.models import Model


def own_fields(model: type[Model], *, without: Collection[str] = ()) -> list[str]:
    """Return the names of the model's own columns but for `without`, for auditlog.

    Left to itself it also looks at whatever points at a new row, with a query for each.
    """
    return [field.name for field in model._meta.concrete_fields if field.name not in without]
