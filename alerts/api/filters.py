"""Filters of rules, alerts, silences and notifications."""

import django_filters
from django.db.models import QuerySet
from django.utils import timezone

from alerts.models import (
    Alert,
    AlertSeverity,
    AlertState,
    Notification,
    NotificationEvent,
    NotificationState,
    NotificationTarget,
    Rule,
    RuleKind,
    Silence,
)
from sensors.api.filters import TextsFilter, TimeFilter


def _id_filter(field_name: str, label: str) -> django_filters.NumberFilter:
    return django_filters.NumberFilter(
        field_name=field_name, min_value=1, max_value=2**63 - 1, decimal_places=0, label=label
    )


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
    rule = _id_filter("rule_id", "Id of a rule.")
    flapping = django_filters.BooleanFilter(label="Whether it is marked as flapping.")
    start = TimeFilter(field_name="started_at", lookup_expr="gte", label="Began then or later.")
    end = TimeFilter(field_name="started_at", lookup_expr="lt", label="Began before.")

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


class TargetFilters(django_filters.FilterSet):
    """`network` (repeatable), `enabled` and `search` of notification targets."""

    network = TextsFilter(field_name="network__slug", label="Slug; repeatable: any of them.")
    enabled = django_filters.BooleanFilter()
    search = django_filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name.")

    class Meta:
        model = NotificationTarget
        fields: list[str] = []


class NotificationFilters(django_filters.FilterSet):
    """`network`, `event`, `state` (all repeatable), `alert` and `target` of notifications."""

    network = TextsFilter(field_name="target__network__slug", label="Slug; repeatable: any of them.")
    alert = _id_filter("alert_id", "Id of an alert.")
    target = _id_filter("target_id", "Id of a target.")
    event = django_filters.MultipleChoiceFilter(choices=NotificationEvent.choices, label="Repeatable: any of them.")
    state = django_filters.MultipleChoiceFilter(choices=NotificationState.choices, label="Repeatable: any of them.")

    class Meta:
        model = Notification
        fields: list[str] = []
