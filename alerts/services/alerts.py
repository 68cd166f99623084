"""What people do with alerts."""

from datetime import datetime
from typing import Final

from django.db import transaction

from alerts.models import Alert, Resolution, RuleKind, RuleState
from alerts.rendering import ALERT_RELATIONS
from alerts.services.announce import announce_alerts
from alerts.services.endings import resolve
from sensors.errors import Conflict, Invalid, NotFound
from sensors.models import User
from sensors.wire import PayloadError, check_text

# The column's length.
MAX_COMMENT: Final = 500


def acknowledge_alert(alert: Alert, *, user: User, comment: str = "", now: datetime) -> Alert:
    """Return the alert with who saw it, when, and what they said; it stays so until the alert is resolved.

    The first word counts: the same user's repeat changes nothing, another's raises Conflict, and so does a resolved
    alert. Raises Invalid naming `comment`.
    """
    _check_comment(comment)
    with transaction.atomic():
        claimed = Alert.objects.filter(pk=alert.pk, resolved_at__isnull=True, acknowledged_at__isnull=True).update(
            acknowledged_at=now, acknowledged_by=user, acknowledgement=comment, updated_at=now
        )
        current = _current(alert)
        if claimed:
            announce_alerts([current.pk], now=now)
        elif current.resolved_at is not None:
            raise _already_resolved(current)
        elif current.acknowledged_by_id != user.pk:
            who = current.acknowledged_by or "Somebody"
            raise Conflict(f"{who} acknowledged it at {current.acknowledged_at:%Y-%m-%d %H:%M:%S} UTC.")
    return current


def resolve_alert(alert: Alert, *, user: User, now: datetime) -> Alert:
    """Return the alert, resolved by hand. Raises Conflict if it is resolved already.

    Only a new fact opens another one: the next violating sample, a sensor that is heard and then falls silent. With
    a gateway's alert, the alerts of its silent sensors that it held back are dismissed too.
    """
    with transaction.atomic():
        if alert.gateway_id is not None and alert.rule_id is not None:
            _dismiss_held_back(gateway_id=alert.gateway_id, rule_id=alert.rule_id)
        resolved = resolve([alert.pk], reason=Resolution.BY_HAND, now=now, user=user)
        current = _current(alert)
        if not resolved:
            raise _already_resolved(current)
    return current


def _dismiss_held_back(*, gateway_id: int, rule_id: int) -> None:
    held = RuleState.objects.filter(
        waiting=True,
        rule__kind=RuleKind.STALENESS,
        sensor__gateway_id=gateway_id,
        sensor__rule_states__rule_id=rule_id,
    )
    ids = list(held.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    RuleState.objects.filter(pk__in=ids).update(waiting=False)


def _already_resolved(alert: Alert) -> Conflict:
    return Conflict(f"The alert was resolved at {alert.resolved_at:%Y-%m-%d %H:%M:%S} UTC ({alert.resolution}).")


def _current(alert: Alert) -> Alert:
    current = Alert.objects.select_related(*ALERT_RELATIONS).filter(pk=alert.pk).first()
    if current is None:
        raise NotFound("The alert ended before it fired; nothing remains of it.")
    return current


def _check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise Invalid(f"A comment has at most {MAX_COMMENT} characters.", field="comment")
    try:
        check_text(comment, "comment")
    except PayloadError as error:
        raise Invalid(f"{error.detail}.", field="comment") from error
