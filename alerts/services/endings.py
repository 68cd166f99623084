"""Ends open alerts for a reason that is not in the data."""

from collections.abc import Collection
from datetime import datetime

from django.db.models import QuerySet, Value
from django.db.models.functions import Greatest

from alerts.models import Alert, AlertState, Resolution, Rule, RuleState
from alerts.services.episodes import drop_pending
from alerts.services.transitions import record_transitions
from sensors.models import User


def end_rule(rule: Rule, *, reason: Resolution, now: datetime) -> None:
    """End everything that is open by `rule`, and forget how far it is with its sensors.

    Inside the transaction that holds the rule FOR UPDATE, so that no evaluation is under way.
    """
    # States before alerts, as everywhere.
    RuleState.objects.filter(rule=rule).delete()
    end_alerts(Alert.objects.filter(rule=rule), reason=reason, now=now)


def end_alerts(
    alerts: QuerySet[Alert],
    *,
    reason: Resolution,
    now: datetime,
    user: User | None = None,
    keep_pending: bool = False,
) -> list[int]:
    """Resolve those of `alerts` that are open, at `now`; return the ids of those that were resolved.

    Pending ones leave no row, except with keep_pending: what a person resolved stays to be read.
    """
    is_open = alerts.filter(resolved_at__isnull=True).order_by("pk")
    if not keep_pending:
        pending = is_open.filter(state=AlertState.PENDING)
        drop_pending(list(pending.values_list("pk", flat=True)), reason=reason, now=now)
        is_open = is_open.filter(state=AlertState.FIRING)
    return resolve(list(is_open.values_list("pk", flat=True)), reason=reason, now=now, user=user)


def resolve(
    alert_ids: Collection[int],
    *,
    reason: Resolution,
    now: datetime,
    at: datetime | None = None,
    user: User | None = None,
) -> list[int]:
    """Resolve these alerts unless somebody was quicker; return the ids of those that were, and tell live views.

    at: when the episode ended, by default now. A sensor's clock may be ahead: no alert ends before it fired.
    """
    if not alert_ids:
        return []
    claimed = Alert.objects.filter(pk__in=alert_ids, resolved_at__isnull=True)
    ids = list(claimed.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    Alert.objects.filter(pk__in=ids).update(
        state=AlertState.RESOLVED,
        resolved_at=Greatest("fired_at", Value(at or now)),
        resolution=reason,
        resolved_by=user,
        updated_at=now,
    )
    record_transitions(ids, now=now)
    return ids
