"""Filters of rules, alerts and silences."""

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from alerts.models import Alert, AlertSeverity, AlertState, Rule, RuleKind, Silence
from sensors.api.filters import TextsFilter


class RuleFilters(django_filters.FilterSet):
    """`network`, `kind` (both repeatable), `enabled` and `attribute` of rules."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable: any of them.")
    kind = django_filters.MultipleChoiceFilter(choices=RuleKind.choices, label="Repeatable: any of them.")
    enabled = django_filters.BooleanFilter()
    attribute = TextsFilter(label="Repeatable: any of them.")

    class Meta:
        model = Rule
        fields: list[str] = []


class AlertFilters(django_filters.FilterSet):
    """`state`, `severity`, `network`, `sensor`, `gateway` (all repeatable), `rule`, `flapping`, `start`, `end`."""

    state = django_filters.MultipleChoiceFilter(choices=AlertState.choices, label="Repeatable: any of them.")
    severity = django_filters.MultipleChoiceFilter(choices=AlertSeverity.choices, label="Repeatable: any of them.")
    network = TextsFilter(field_name="network__slug", label="Slug; repeatable: any of them.")
    sensor = TextsFilter(field_name="sensor_identifier", label="Identifier; repeatable: any of them.")
    gateway = TextsFilter(field_name="gateway_identifier", label="Identifier; repeatable: any of them.")
    rule = django_filters.NumberFilter(
        field_name="rule_id", min_value=1, max_value=2**63 - 1, decimal_places=0, label="Id of a rule."
    )
    flapping = django_filters.BooleanFilter(label="Whether it is marked as flapping.")
    start = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte", label="Began then or later.")
    end = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt", label="Began before.")

    class Meta:
        model = Alert
        fields: list[str] = []


class SilenceFilters(django_filters.FilterSet):
    """`network` (repeatable) and `active` of silences."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable: any of them.")
    active = django_filters.BooleanFilter(method="find_active", label="Whether it holds at this moment.")

    class Meta:
        model = Silence
        fields: list[str] = []

    def find_active(self, rows: QuerySet, _name: str, is_active: bool) -> QuerySet:
        """Return the silences that hold now, or all others."""
        now = timezone.now()
        active = {"starts_at__lte": now, "ends_at__gt": now}
        return rows.filter(**active) if is_active else rows.exclude(**active)
