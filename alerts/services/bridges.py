"""The alert about the service's own bridges. Judged by the clock, since the watermark is what is missing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Max

from alerts.models import ABOUT_NEITHER, BRIDGE_AWAY_AFTER_S, Alert, Resolution, Rule
from alerts.services.announce import announce_alerts
from alerts.services.endings import resolve
from alerts.services.transitions import firing_alert, open_alerts
from sensors.queries import BridgeMark, bridge_marks

# A bridge shows every two seconds that it works; a checkpoint of the database may hold it up for longer.
SHOWN_WITHIN_S: Final = 15
# So many bridges fit into an alert's detail in words; the others are counted.
MAX_DESCRIBED: Final = 4

# What somebody is editing is judged by the next sweep. Disabled ones are among them: their alerts end.
_LOCK: Final = "SELECT id FROM alerts_rule WHERE kind = 'bridge_away' ORDER BY id FOR SHARE SKIP LOCKED"


def judge_bridges(*, now: datetime) -> tuple[int, int]:
    """Open, update and resolve the alerts about the bridges; return how many were opened and resolved.

    A bridge is away by a rule when its watermark is older than the rule's period: while what its sensors sent may
    wait at the broker. Whether it runs at all, runs without its broker, or works through a backlog is said in the
    alert. Where no bridge has ever run there is nothing to miss.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK)
        ids = [rule_id for (rule_id,) in cursor.fetchall()]
    if not ids:
        return 0, 0
    marks = bridge_marks()
    alerts = {alert.rule_id: alert for alert in Alert.objects.filter(ABOUT_NEITHER, rule__in=ids, resolved_at=None)}
    opened = resolved = 0
    for rule in Rule.objects.filter(pk__in=ids).order_by("pk"):
        alert = alerts.get(rule.pk)
        behind = [mark for mark in marks if now > _away_after(mark, rule)] if rule.enabled else []
        if alert is None:
            opened += _open(rule, behind, now=now)
        elif behind:
            _update_detail(alert, _in_words(behind, now=now), now=now)
        else:
            reason = Resolution.HEARD if rule.enabled else Resolution.RULE_DISABLED
            resolved += len(resolve([alert.pk], reason=reason, now=now))
    return opened, resolved


def _known_until(mark: BridgeMark, rule: Rule) -> datetime:
    """Return up to when everything is stored; of a bridge that never caught up the rule has known since it was made."""
    return mark.drained_until or rule.created_at


def _away_after(mark: BridgeMark, rule: Rule) -> datetime:
    return _known_until(mark, rule) + timedelta(seconds=rule.period_s or BRIDGE_AWAY_AFTER_S)


def _open(rule: Rule, behind: Sequence[BridgeMark], *, now: datetime) -> int:
    """Open the rule's alert if bridges are behind, and not just as far as when an operator resolved the last one."""
    if not behind:
        return 0
    dismissed_at = Alert.objects.filter(rule=rule, resolution=Resolution.BY_HAND).aggregate(at=Max("resolved_at"))["at"]
    if dismissed_at is not None and min(_known_until(mark, rule) for mark in behind) <= dismissed_at:
        return 0
    alert = firing_alert(
        rule,
        detail=_in_words(behind, now=now),
        started_at=min(_away_after(mark, rule) for mark in behind),
        fired_at=now,
        now=now,
    )
    return open_alerts([alert], now=now)


def _update_detail(alert: Alert, detail: str, *, now: datetime) -> None:
    if alert.detail != detail:
        Alert.objects.filter(pk=alert.pk, resolved_at=None).update(detail=detail, updated_at=now)
        announce_alerts([alert.pk], now=now)


def _in_words(behind: Sequence[BridgeMark], *, now: datetime) -> str:
    """Return what is wrong; it changes only when that does, not with every second."""
    described = [f"Bridge {mark.shard} {_trouble(mark, now=now)}." for mark in behind[:MAX_DESCRIBED]]
    if len(behind) > MAX_DESCRIBED:
        described.append(f"{len(behind) - MAX_DESCRIBED} more are behind.")
    return " ".join(described)


def _trouble(mark: BridgeMark, *, now: datetime) -> str:
    if mark.seen_at is None:
        return "is away"
    if now - mark.seen_at > timedelta(seconds=SHOWN_WITHIN_S):
        return f"is away; it was last at work at {mark.seen_at:%Y-%m-%d %H:%M:%S} UTC"
    if not mark.is_connected:
        return "runs, but is not connected to the broker"
    return "runs and works through a backlog"
