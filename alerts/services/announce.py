"""Tells of alerts: live views after the commit, notification targets by the outbox."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from alerts.models import Alert
from alerts.queries import silenced_alerts
from alerts.rendering import ALERT_RELATIONS, alert_json
from alerts.services.outbox import owe_notifications, with_targets
from sensors import live


def announce_transitions(alert_ids: Collection[int], *, now: datetime) -> None:
    """Send the alerts, which have just begun to fire or were resolved, and owe them to whom they concern."""
    if alert_ids:
        loaded = Alert.objects.filter(pk__in=alert_ids).select_related(*ALERT_RELATIONS).order_by("pk")
        alerts: list[Alert] = list(with_targets(loaded))
        announce(alerts, now=now)
        owe_notifications(alerts, now=now)


def announce_alerts(alert_ids: Collection[int], *, now: datetime) -> None:
    """Send the alerts as they are now, once the caller's transaction is committed. Notifies nobody."""
    if alert_ids:
        announce(list(Alert.objects.filter(pk__in=alert_ids).select_related(*ALERT_RELATIONS).order_by("pk")), now=now)


def announce(alerts: Sequence[Alert], *, now: datetime) -> None:
    """Send `alerts`, which were loaded with ALERT_RELATIONS, once the caller's transaction is committed."""
    if not alerts:
        return
    silenced = silenced_alerts(alerts, at=now)
    events: list[dict[str, Any]] = [alert_json(alert, is_silenced=alert.pk in silenced) for alert in alerts]

    def send() -> None:
        for event in events:
            live.send_alert(event["network"], alert=event)

    transaction.on_commit(send)
