"""Filters of lists. A parameter that no filter knows is refused, so that a typo never returns everything."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import django_filters
from django import forms
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from sensors import queries
from sensors.models import Gateway, Sensor

_PAGE_PARAMETERS: Final = frozenset({"limit", "cursor"})


class Filters(DjangoFilterBackend):
    """Applies the view's `filterset_class`, if it has one, after refusing unknown parameters.

    own_parameters: those of the view that choose no rows.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        """Return the filtered rows; ValidationError names every parameter that is unknown or has a wrong value."""
        filterset = self.get_filterset_class(view, queryset)
        known = set(filterset.base_filters) if filterset else set()
        pages = _PAGE_PARAMETERS if getattr(view, "paginator", True) else frozenset[str]()
        refuse_unknown_parameters(request, known | pages | set(getattr(view, "own_parameters", ())))
        return super().filter_queryset(request, queryset, view)


def refuse_unknown_parameters(request: Request, known: Iterable[str]) -> None:
    """Raise ValidationError naming each query parameter that is not in `known`."""
    names = sorted(known)
    unknown = request.query_params.keys() - set(names)
    if unknown:
        message = f"Unknown parameter; there are {', '.join(names)}." if names else "There are no parameters."
        raise ValidationError({name: [message] for name in sorted(unknown)})


class _Texts(forms.Field):
    """All values of a parameter that may be repeated."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> list[str]:
        texts = [text for text in value or [] if text]
        for text in texts:
            ProhibitNullCharactersValidator()(text)
        return texts


class _Time(IsoDateTimeField):
    """A time of any offset, in UTC: the database takes none of sixteen hours or more."""

    def to_python(self, value: Any) -> datetime | None:
        time = super().to_python(value)
        try:
            return time and time.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None


class TimeFilter(django_filters.IsoDateTimeFilter):
    """A parameter that is a time."""

    field_class = _Time


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class TextsFilter(django_filters.Filter):
    """A repeatable parameter: rows whose `field_name` is one of its values."""

    field_class = _Texts

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, lookup_expr="in", **kwargs)


class GatewayFilters(django_filters.FilterSet):
    """`network` (repeatable) and `search` of gateways."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable.")
    search = django_filters.CharFilter(method="find", label="Part of the identifier or name.")

    class Meta:
        model = Gateway
        fields: list[str] = []

    def find(self, rows: QuerySet, _name: str, text: str) -> QuerySet:
        """Return the rows with `text` in identifier or name."""
        return rows.filter(Q(identifier__icontains=text) | Q(name__icontains=text))


class SensorFilters(django_filters.FilterSet):
    """`network`, `gateway`, `status`, `label` (all repeatable) and `search` of sensors.

    `status` needs a queryset `with_status`.
    """

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable: any of them.")
    gateway = TextsFilter(field_name="gateway__identifier", label="Identifier; repeatable: any of them.")
    status = django_filters.MultipleChoiceFilter(
        choices=[(name, name) for name in queries.STATUSES], label="Repeatable: any of them."
    )
    label = TextsFilter(method="find_labels", label="`key:value`; repeatable: all of them.")
    search = django_filters.CharFilter(method="find", label="Part of the identifier, the name or a label.")

    class Meta:
        model = Sensor
        fields: list[str] = []

    def find_labels(self, rows: QuerySet, name: str, pairs: list[str]) -> QuerySet:
        """Return the rows that carry all labels; `2` finds both the text and the number."""
        for pair in pairs:
            if ":" not in pair:
                raise ValidationError({name: [f"{pair[:100]!r} is not of the form key:value."]})
            rows = rows.filter(label_condition(pair))
        return rows

    def find(self, rows: QuerySet, _name: str, text: str) -> QuerySet:
        """Return the rows with `text` in identifier, name or labels, whatever its case."""
        rows = rows.alias(labels_text=Cast("labels", CharField()))
        return rows.filter(Q(identifier__icontains=text) | Q(name__icontains=text) | Q(labels_text__icontains=text))


def label_condition(pair: str) -> Q:
    """Return the condition for the label `key:value`, in a form that the index of labels serves.

    A key may hold colons itself, so every split is tried; a value is tried as text, number and boolean.
    """
    condition = Q()
    parts = pair.split(":")
    for index in range(1, len(parts)):
        key, text = ":".join(parts[:index]), ":".join(parts[index:])
        for value in _meanings(text):
            condition |= Q(labels__contains={key: value})
    return condition


def _meanings(text: str) -> list[str | float | bool]:
    meanings: list[str | float | bool] = [text]
    if text in ("true", "false"):
        meanings.append(text == "true")
    else:
        try:
            number = float(text)
        except ValueError:
            return meanings
        if abs(number) <= 1.7976931348623157e308:
            meanings.append(int(text) if text.lstrip("-").isdigit() else number)
    return meanings
