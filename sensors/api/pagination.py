"""Pages of lists: `{"next", "previous", "results"}`, each found by where the one before it ended."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Field, Model, Q, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

PAGE_SIZE: Final = 100
# A page of 1,000 sensors is about 400 KiB and a tenth of a second of rendering.
MAX_PAGE_SIZE: Final = 1000


class Pages(BasePagination):
    """Keyset pages: as fast on the last page as on the first, and no row twice while others are inserted.

    A view names its order as `page_order`, for example `("identifier",)` or `("-measured_at", "-digest")`: fields
    of the model (relations with `__`) or annotations. Together they are unique, never null, and all in the same
    direction, so that one index serves them. Without it the order is by primary key, newest first.
    """

    limit_param: Final = "limit"
    cursor_param: Final = "cursor"
    default_order: tuple[str, ...] = ("-pk",)

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """Return the rows of the page that the request's `limit` and `cursor` name."""
        self.request = request
        self.order: tuple[str, ...] = tuple(getattr(view, "page_order", self.default_order))
        self.limit = read_limit(request, self.limit_param)
        backwards, position = self._read_cursor(request, queryset)

        descending = self.order[0].startswith("-")
        rows = queryset.order_by(*(_turned(self.order) if backwards else self.order))
        if position is not None:
            names = [name.removeprefix("-") for name in self.order]
            rows = rows.filter(_beyond(names, position, "lt" if descending != backwards else "gt"))
        # One more than asked for tells whether there is another page.
        page = self.read(rows[: self.limit + 1])
        more = len(page) > self.limit
        page = page[: self.limit]
        if backwards:
            page.reverse()
        self.has_next = more if not backwards else True
        self.has_previous = position is not None if not backwards else more
        self.page = page
        return page

    def read(self, rows: QuerySet[Any, Any]) -> list[Any]:
        """Return the rows of the page and, if there is one, the row after it."""
        return list(rows)

    def value_at(self, row: Any, path: str) -> Any:
        """Return what a row has in a field of the order."""
        return _value_at(row, path)

    def get_paginated_response(self, data: Any) -> Response:
        """Return `data` between the links to its neighbours."""
        return Response({"next": self.next_link(), "previous": self.previous_link(), "results": data})

    def next_link(self) -> str | None:
        """Return the address of the page after this one, or None."""
        return self._link(self.page[-1], backwards=False) if self.has_next and self.page else None

    def previous_link(self) -> str | None:
        """Return the address of the page before this one, or None."""
        return self._link(self.page[0], backwards=True) if self.has_previous and self.page else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the OpenAPI schema of a page whose results have `schema`."""
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "example": "https://fleet.example.org/api/v1/…?cursor=WzAsImJvaWxlci0xIl0"},
                "previous": {**link, "example": None},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the OpenAPI parameters of a page."""
        return [
            {
                "name": self.limit_param,
                "in": "query",
                "required": False,
                "description": f"Rows a page, {PAGE_SIZE} by default.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE},
            },
            {
                "name": self.cursor_param,
                "in": "query",
                "required": False,
                "description": "Where the page starts; take it from `next` or `previous`.",
                "schema": {"type": "string"},
            },
        ]

    def _link(self, row: Any, *, backwards: bool) -> str:
        position = [self.value_at(row, name.removeprefix("-")) for name in self.order]
        text = json.dumps([int(backwards), *position], default=_as_text, separators=(",", ":"))
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return replace_query_param(self.request.build_absolute_uri(), self.cursor_param, cursor)

    def _read_cursor(self, request: Request, rows: QuerySet[Any, Any]) -> tuple[bool, list[Any] | None]:
        cursor = request.query_params.get(self.cursor_param)
        if not cursor:
            return False, None
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            backwards, *position = json.loads(text)
            fields = [_field_at(rows, name.removeprefix("-")) for name in self.order]
            values = [_value_of(field, item) for field, item in zip(fields, position, strict=True)]
        except (binascii.Error, ValueError, TypeError, RecursionError, ModelValidationError) as error:
            message = "No such page. Take the address from `next` or `previous`, with the same filters."
            raise ValidationError({self.cursor_param: [message]}) from error
        return bool(backwards), values


def read_limit(request: Request, name: str = "limit") -> int:
    """Return how many rows the request asks for; ValidationError naming the parameter unless 1 to 1000."""
    text = request.query_params.get(name)
    if text is None:
        return PAGE_SIZE
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_PAGE_SIZE):
        raise ValidationError({name: [f"{text[:50]!r} is no whole number from 1 to {MAX_PAGE_SIZE}."]})
    return int(text)


def _turned(order: Sequence[str]) -> list[str]:
    return [name[1:] if name.startswith("-") else f"-{name}" for name in order]


def _beyond(names: Sequence[str], position: Sequence[Any], than: str) -> Q:
    """Return the condition for rows that come after `position` in lexicographic order."""
    first, value = names[0], position[0]
    if len(names) == 1:
        return Q(**{f"{first}__{than}": value})
    rest = _beyond(names[1:], position[1:], than)
    # The outer bound looks redundant: it is what an index and the pruning of partitions can use.
    return Q(**{f"{first}__{than}e": value}) & (Q(**{f"{first}__{than}": value}) | Q(**{first: value}) & rest)


def _field_at(rows: QuerySet[Any, Any], path: str) -> Field:
    """Return the field, or that of the annotation, that `path` leads to."""
    annotation = rows.query.annotations.get(path)
    if annotation is not None:
        return annotation.output_field
    model: type[Model] = rows.model
    *relations, last = path.split("__")
    for name in relations:
        related = model._meta.get_field(name).related_model
        if not isinstance(related, type):
            raise FieldDoesNotExist(f"{model.__name__}.{name} leads nowhere")
        model = related
    field = model._meta.pk if last == "pk" else model._meta.get_field(last)
    if not isinstance(field, Field):
        raise FieldDoesNotExist(f"{model.__name__}.{last} is no column")
    return field


def _value_of(field: Field, item: Any) -> Any:
    if item is None or isinstance(item, (bool, list, dict)):
        raise ValueError("a cursor holds texts and numbers")
    if isinstance(item, str) and "\x00" in item:
        raise ValueError("a cursor holds no NUL characters")
    return field.to_python(item)


def _value_at(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = row[name] if isinstance(row, dict) else getattr(row, name)
    return row


def _as_text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
