"""How alerts and what belongs to them look to programs: over HTTP, in live events, in what is kept. No database."""

from typing import Any, Final

from alerts.models import Alert, Notification, NotificationTarget, Rule, RuleKind, RuleScope, Silence
from sensors.models import User

# What must be loaded with an alert so that `alert_json` needs no query.
ALERT_RELATIONS: Final = ("network", "acknowledged_by", "resolved_by")


def alert_json(alert: Alert, *, is_silenced: bool) -> dict[str, Any]:
    """Return `alert` as the API and the live event `alert` show it; load it with ALERT_RELATIONS.

    is_silenced: whether a silence matches it now. Times are datetimes; both encoders write them as the same
    ISO 8601 text.
    """
    return {
        "id": alert.pk,
        "rule": alert.rule_id,
        "rule_name": alert.rule_name,
        "network": alert.network.slug,
        "sensor": alert.sensor_identifier or None,
        "gateway": alert.gateway_identifier or None,
        "members": alert.members,
        "detail": alert.detail,
        "state": alert.state,
        "severity": alert.severity,
        "value": alert.value,
        "started_at": alert.started_at,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "resolution": alert.resolution,
        "resolved_by": _name(alert.resolved_by),
        "acknowledged_at": alert.acknowledged_at,
        "acknowledged_by": _name(alert.acknowledged_by),
        "acknowledgement": alert.acknowledgement,
        "backfilled": alert.backfilled,
        "flapping": alert.flapping,
        "silenced": is_silenced,
        "rule_snapshot": alert.rule_snapshot,
    }


_LIMITS: Final = ("attribute", "above", "below", "hysteresis", "for_s", "keep_firing_s")
# By kind: the fields that say what is watched, besides the scope.
RULE_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    RuleKind.THRESHOLD: _LIMITS,
    RuleKind.RATE_OF_CHANGE: _LIMITS,
    RuleKind.STALENESS: ("period_s", "grace_s"),
    RuleKind.GATEWAY_SILENCE: ("share", "window_s", "period_s", "grace_s"),
    RuleKind.BRIDGE_AWAY: ("period_s",),
    RuleKind.LOG_SEVERITY: ("log_severity", "count", "window_s"),
    RuleKind.CONFIGURATION_FAILURE: ("timeout_s",),
}


def rule_snapshot(rule: Rule) -> dict[str, Any]:
    """Return what an alert keeps of its rule: the fields that count for its kind, as JSON."""
    snapshot: dict[str, Any] = {"name": rule.name, "kind": rule.kind, "severity": rule.severity, "scope": rule.scope}
    if rule.scope == RuleScope.LABELS:
        snapshot["labels"] = rule.labels
    return snapshot | {name: getattr(rule, name) for name in RULE_FIELDS[rule.kind]}


# What must be loaded with a rule so that `rule_json` needs no query; `sensors` are prefetched.
RULE_RELATIONS: Final = ("network", "created_by")


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return `rule` as the API shows it: every field, null for what its kind or scope does not use."""
    used = RULE_FIELDS[rule.kind]
    listed = None
    if rule.scope == RuleScope.SENSORS:
        listed = sorted(sensor.identifier for sensor in rule.sensors.all())
    shown: dict[str, Any] = {
        "id": rule.pk,
        "name": rule.name,
        "kind": rule.kind,
        "enabled": rule.enabled,
        "severity": rule.severity,
        "network": rule.network.slug,
        "scope": rule.scope,
        "sensors": listed,
        "labels": rule.labels if rule.scope == RuleScope.LABELS else None,
    }
    for names in RULE_FIELDS.values():
        shown |= {name: getattr(rule, name) if name in used else None for name in names}
    return shown | {
        "created_at": rule.created_at,
        "created_by": _name(rule.created_by),
        "updated_at": rule.updated_at,
    }


def silence_json(silence: Silence) -> dict[str, Any]:
    """Return `silence` as the API shows it; load it with its network and author."""
    return {
        "id": silence.pk,
        "network": silence.network.slug,
        "matchers": silence.matchers,
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "comment": silence.comment,
        "created_at": silence.created_at,
        "created_by": _name(silence.created_by),
    }


# What must be loaded with a target so that `target_json` needs no query.
TARGET_RELATIONS: Final = ("network", "created_by")


def target_json(target: NotificationTarget) -> dict[str, Any]:
    """Return `target` as the API shows it, without its address; load it with TARGET_RELATIONS."""
    return {
        "id": target.pk,
        "network": target.network.slug,
        "name": target.name,
        "address": target.address,
        "url_changed_at": target.url_changed_at,
        "enabled": target.enabled,
        "least_severity": target.least_severity,
        "tell_resolved": target.tell_resolved,
        "group_wait_s": target.group_wait_s,
        "repeat_interval_s": target.repeat_interval_s,
        "escalate_after_s": target.escalate_after_s,
        "last_sent_at": target.last_sent_at,
        "last_failed_at": target.last_failed_at,
        "last_error": target.last_error,
        "retry_at": target.retry_at,
        "created_at": target.created_at,
        "created_by": _name(target.created_by),
        "updated_at": target.updated_at,
    }


# What must be loaded with a notification so that `notification_json` needs no query.
NOTIFICATION_RELATIONS: Final = ("alert", "target__network")


def notification_json(notification: Notification) -> dict[str, Any]:
    """Return `notification` as the API shows it; load it with NOTIFICATION_RELATIONS."""
    target, alert = notification.target, notification.alert
    return {
        "id": notification.pk,
        "network": target.network.slug,
        "alert": alert.pk,
        "rule_name": alert.rule_name,
        "sensor": alert.sensor_identifier or None,
        "gateway": alert.gateway_identifier or None,
        "target": target.pk,
        "target_name": target.name,
        "event": notification.event,
        "number": notification.number,
        "state": notification.state,
        "created_at": notification.created_at,
        "due_at": notification.due_at,
        "sent_at": notification.sent_at,
        "attempts": notification.attempts,
        "last_error": notification.last_error,
    }


def _name(user: User | None) -> str | None:
    return user.get_username() if user else None
