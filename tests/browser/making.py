"""Rows that the pages show."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from alerts.models import Alert, Rule
from alerts.rendering import rule_snapshot
from sensors.models import Gateway, Sensor


def make_alert(rule: Rule, *, about: Sensor | Gateway | None = None, ago_s: float = 60.0, **fields: Any) -> Alert:
    """Return an alert by `rule` that fires since `ago_s` seconds ago; about None: the bridges."""
    now = timezone.now()
    since = now - timedelta(seconds=ago_s)
    values: dict[str, Any] = {
        "network": rule.network,
        "rule": rule,
        "rule_name": rule.name,
        "rule_snapshot": rule_snapshot(rule),
        "state": "firing",
        "severity": rule.severity,
        "started_at": since,
        "fired_at": since,
        "created_at": now,
        "updated_at": now,
    }
    if about is not None:
        name = type(about).__name__.lower()
        values |= {name: about, f"{name}_identifier": about.identifier}
    return Alert.objects.create(**values | fields)
