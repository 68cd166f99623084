"""What every written row goes through: the model's own validators, texts the database can hold, uniqueness."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from sensors.errors import IdentifierTaken, Invalid
from sensors.wire import PayloadError, check_text

# A year: whatever reports less often is not watched by its silence.
MAX_SPAN_S: Final = 366 * 24 * 3600
# A century, far above any duty to keep records.
MAX_RETENTION_DAYS: Final = 36_525
# A period of so many measuring intervals watches nothing.
MAX_INTERVAL_FACTOR: Final = 1_000
MAX_LABELS: Final = 64
MAX_LABEL_KEY: Final = 100
MAX_LABEL_VALUE: Final = 500

_UNIQUE_VIOLATION: Final = "23505"


def clean(row: models.Model, *fields: str) -> None:
    """Raise Invalid, naming the field, unless the row's `fields` hold what their validators and columns allow."""
    for name in fields:
        value = getattr(row, name)
        if isinstance(value, str):
            try:
                check_text(value, name)
            except PayloadError as error:
                raise Invalid(f"{error.detail}.", field=name) from error
    others = {field.name for field in row._meta.fields} - set(fields)
    try:
        row.clean_fields(exclude=others)
    except ValidationError as error:
        name, messages = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(messages), field=name) from error


def check_span(seconds: int, *, field: str, least: int) -> None:
    """Raise Invalid unless `seconds` is from `least` to a year."""
    if not least <= seconds <= MAX_SPAN_S:
        raise Invalid(f"{seconds} is not from {least} to {MAX_SPAN_S} seconds (a year).", field=field)


def check_labels(labels: object, *, field: str = "labels") -> dict[str, str | int | float | bool]:
    """Return `labels` if they are a flat object of strings, finite numbers and booleans; raise Invalid otherwise."""
    if not isinstance(labels, dict):
        raise Invalid('Labels are an object like {"floor": "2"}.', field=field)
    if len(labels) > MAX_LABELS:
        raise Invalid(f"There are {len(labels)} labels; at most {MAX_LABELS} are kept.", field=field)
    for key, value in labels.items():
        if not isinstance(key, str) or not 1 <= len(key) <= MAX_LABEL_KEY:
            raise Invalid(f"The label {str(key)[:50]!r} has no name of 1 to {MAX_LABEL_KEY} characters.", field=field)
        if type(value) not in (str, int, float, bool):
            raise Invalid(f"The label {key!r} is no string, number or boolean.", field=field)
        if isinstance(value, str) and len(value) > MAX_LABEL_VALUE:
            raise Invalid(f"The label {key!r} is longer than {MAX_LABEL_VALUE} characters.", field=field)
        if isinstance(value, (int, float)) and not abs(value) <= 1.7976931348623157e308:
            raise Invalid(f"The label {key!r} is no finite number.", field=field)
        try:
            check_text(key, "a label's name")
            if isinstance(value, str):
                check_text(value, f"the label {key!r}")
        except PayloadError as error:
            raise Invalid(f"{error.detail}.", field=field) from error
    return labels


@contextmanager
def unique(field: str, value: str) -> Iterator[None]:
    """Run the block in a transaction; IdentifierTaken names `field` if the row's value is somebody's already."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        cause = error.__cause__
        constraint = getattr(getattr(cause, "diag", None), "constraint_name", None) or ""
        if getattr(cause, "sqlstate", None) == _UNIQUE_VIOLATION and field in constraint:
            raise IdentifierTaken(f"{value!r} is taken; choose another one.", field=field) from error
        raise
