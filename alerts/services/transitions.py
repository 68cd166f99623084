"""What goes with every transition of an alert, and the alerts that begin by firing."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from alerts.models import Alert, AlertState, Rule
from alerts.rendering import rule_snapshot
from alerts.services.announce import announce, announce_transitions
from alerts.services.flapping import mark_flapping
from alerts.services.outbox import owe_notifications


def record_transitions(alert_ids: Collection[int], *, now: datetime) -> None:
    """Mark what flaps of the alerts, which have just begun to fire or were resolved, and tell of all of them.

    Inside the transaction of the transition; the mark comes first, because it decides who is told.
    """
    mark_flapping(alert_ids)
    announce_transitions(alert_ids, now=now)


def record_new(alerts: Sequence[Alert], *, now: datetime) -> None:
    """Do the same for `alerts` that were just stored, with their networks, and that nobody can have moved since.

    What is at hand is not read again: that took a third of what opening an alert costs.
    """
    flapping = mark_flapping([alert.pk for alert in alerts])
    for alert in alerts:
        alert.flapping = alert.pk in flapping
    announce(alerts, now=now)
    owe_notifications(alerts, now=now)


def firing_alert(rule: Rule, *, started_at: datetime, fired_at: datetime, now: datetime, **subject: Any) -> Alert:
    """Return an alert by `rule` that fires, for `open_alerts`; subject: the fields that say whom and what it is about.

    rule: with its network, which would otherwise be read for each. fired_at: when it could be known; a
    violation that begins later fires when it begins.
    """
    return Alert(
        network=rule.network,
        rule=rule,
        rule_name=rule.name,
        rule_snapshot=rule_snapshot(rule),
        state=AlertState.FIRING,
        severity=rule.severity,
        started_at=started_at,
        fired_at=max(started_at, fired_at),
        created_at=now,
        updated_at=now,
        **subject,
    )


def open_alerts(alerts: Sequence[Alert], *, now: datetime) -> int:
    """Store `alerts`, each of which begins by firing, and tell of them; return how many they are."""
    record_new(Alert.objects.bulk_create(alerts), now=now)
    return len(alerts)
