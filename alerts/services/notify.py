"""Delivers what targets are owed: claimed and counted in one transaction, sent in none, closed in another.

A target is claimed by one deliverer at a time. Whoever is killed between its claim and the end leaves rows that wait;
when the claim has run out they are sent again, in one message, and that is all that can ever be sent twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q

from alerts.delivery import keys
from alerts.delivery.message import Entry, Message, compose
from alerts.delivery.send import SendError, send
from alerts.models import (
    AlertState,
    Notification,
    NotificationEvent,
    NotificationState,
    NotificationTarget,
)
from alerts.queries import silenced_alerts
from alerts.services.locks import queue_for_claims
from alerts.services.outbox import RESOLVED_EARLY
from alerts.services.targets import error_text
from sensors.models import Network

log = structlog.get_logger(__name__)

# Twice what one delivery may take (alerts.delivery.send): a claim that is older is that of a killed process.
CLAIM_S: Final = 60
# One that hangs takes a thread of a worker for half a minute. With two of them the other threads stay for evaluation,
# and with one a network those of the others are told meanwhile.
CLAIMS: Final = 2
# One message says how many they are and lists the first.
ROWS_PER_MESSAGE: Final = 1_000
# How soon after the end of a silence its alerts are told.
LOOK_AGAIN_AFTER_S: Final = 10
# After each failure in a row; then always the last one.
RETRY_AFTER_S: Final = (10, 30, 60, 300, 900, 3_600)
GIVE_UP_AFTER: Final = timedelta(days=1)

_GROUPED: Final = (NotificationEvent.FIRING, NotificationEvent.RESOLVED)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a round did: messages that were taken and that were not, notifications told and given up."""

    messages: int = 0
    failed_messages: int = 0
    sent: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """One message to one target, counted as an attempt of all that it tells."""

    target_id: int
    claimed_until: datetime
    notification_ids: tuple[int, ...]
    encrypted_url: str
    message: Message


def deliver_notifications(*, clock: Callable[[], datetime]) -> Delivered:
    """Send everything that is due and that nobody else is sending; return what became of it.

    clock: asked before and after each message. May run any number of times at once.
    """
    done = Delivered()
    while (claim := claim_message(now=clock())) is not None:
        try:
            send(keys.decrypt(claim.encrypted_url), claim.message)
        except (SendError, keys.Unreadable) as error:
            given_up = record_failure(claim, error_text(error), now=clock())
            done = replace(done, failed_messages=done.failed_messages + 1, given_up=done.given_up + given_up)
        else:
            sent = record_sent(claim, now=clock())
            done = replace(done, messages=done.messages + 1, sent=done.sent + sent)
    return done


def claim_message(*, now: datetime) -> Claim | None:
    """Return the next message to send, claimed and its attempt counted and committed; None if there is none now."""
    if not Notification.objects.filter(state=NotificationState.WAITING, due_at__lte=now).exists():
        return None
    # A target may turn out to have nothing to tell; then the next one is looked at.
    while True:
        with transaction.atomic():
            target = _next_target(now)
            if target is None:
                return None
            claim = _claim(target, now=now)
            if claim is not None:
                return claim


def record_sent(claim: Claim, *, now: datetime) -> int:
    """Close what the message told, and plan repeats; return how many notifications that were."""
    with transaction.atomic():
        target = _end_claim(claim, last_sent_at=now, last_error="", failures=0, retry_at=None)
        told = Notification.objects.filter(pk__in=claim.notification_ids, state=NotificationState.WAITING)
        sent = told.update(state=NotificationState.SENT, sent_at=now, last_error="")
        if target is not None and target.repeat_interval_s is not None:
            _plan_repeats(target, claim.notification_ids, now=now)
    return sent


def record_failure(claim: Claim, error: str, *, now: datetime) -> int:
    """Keep what was said and when to try again; return how many notifications were given up."""
    with transaction.atomic():
        target = _end_claim(claim, last_failed_at=now, last_error=error)
        if target is not None:
            pause_s = RETRY_AFTER_S[min(target.failures, len(RETRY_AFTER_S) - 1)]
            NotificationTarget.objects.filter(pk=target.pk).update(
                failures=F("failures") + 1, retry_at=now + timedelta(seconds=pause_s)
            )
            log.warning("notifications were not taken", target=target.pk, reason=error)
        told = Notification.objects.filter(pk__in=claim.notification_ids, state=NotificationState.WAITING)
        given_up = told.filter(due_at__lte=now - GIVE_UP_AFTER).update(state=NotificationState.FAILED, last_error=error)
        told.update(last_error=error)
    return given_up


def _next_target(now: datetime) -> NotificationTarget | None:
    """Return a target with something due, locked; None if there is none, or as many are claimed as may be."""
    with connection.cursor() as cursor:
        queue_for_claims(cursor)
    claimed = NotificationTarget.objects.filter(claimed_until__gt=now)
    busy = set(claimed.values_list("network_id", flat=True))
    if len(busy) >= CLAIMS:
        return None
    due = Notification.objects.filter(target=OuterRef("pk"), state=NotificationState.WAITING, due_at__lte=now)
    return (
        NotificationTarget.objects.filter(Q(retry_at__isnull=True) | Q(retry_at__lte=now), Exists(due), enabled=True)
        .exclude(network_id__in=busy)
        # Who never failed goes first, so that those who hang hold up themselves.
        .order_by(F("last_failed_at").asc(nulls_first=True), "pk")
        .select_for_update(no_key=True, skip_locked=True)
        .first()
    )


def _claim(target: NotificationTarget, *, now: datetime) -> Claim | None:
    """Claim what `target` is to be told now; None if it turns out to be nothing."""
    # The first one opens the window; what came since then goes along.
    window = Q(event__in=_GROUPED, attempts=0, due_at__lte=now + timedelta(seconds=target.group_wait_s))
    rows = list(
        Notification.objects.filter(Q(due_at__lte=now) | window, target=target, state=NotificationState.WAITING)
        .select_related("alert")
        .select_for_update(of=("self",))
        .order_by("pk")[:ROWS_PER_MESSAGE]
    )
    silenced = silenced_alerts({row.alert.pk: row.alert for row in rows}.values(), at=now)
    told: list[Notification] = []
    held: list[Notification] = []
    for row in rows:
        reason = _needless(row)
        if reason:
            Notification.objects.filter(pk=row.pk).update(state=NotificationState.DROPPED, last_error=reason)
        elif row.alert_id in silenced:
            held.append(row)
        else:
            told.append(row)
    if held:
        again = now + timedelta(seconds=LOOK_AGAIN_AFTER_S)
        Notification.objects.filter(pk__in=[row.pk for row in held]).update(due_at=again)
    if not told:
        return None
    ids = tuple(row.pk for row in told)
    claimed_until = now + timedelta(seconds=CLAIM_S)
    Notification.objects.filter(pk__in=ids).update(attempts=F("attempts") + 1)
    NotificationTarget.objects.filter(pk=target.pk).update(claimed_until=claimed_until)
    network = Network.objects.get(pk=target.network_id)
    message = compose([_entry(row) for row in told], network=network.name, public_url=settings.PUBLIC_URL)
    return Claim(target.pk, claimed_until, ids, target.encrypted_url, message)


def _needless(row: Notification) -> str:
    """Return why the notification is not told any more, or ""."""
    if row.event == NotificationEvent.RESOLVED:
        return ""
    is_reminder = row.event in (NotificationEvent.REPEAT, NotificationEvent.ESCALATION)
    if is_reminder and row.alert.acknowledged_at is not None:
        return "The alert was acknowledged."
    # What was in a message already may have been read, and its end is told with it.
    if row.alert.state == AlertState.RESOLVED and (row.event == NotificationEvent.REPEAT or row.attempts == 0):
        return RESOLVED_EARLY
    return ""


def _entry(row: Notification) -> Entry:
    alert = row.alert
    assert alert.fired_at is not None
    return Entry(
        alert_id=alert.pk,
        event=row.event,
        severity=alert.severity,
        rule=alert.rule_name,
        about=alert.sensor_identifier or alert.gateway_identifier,
        value=alert.value,
        silent=len(alert.members),
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        resolution=alert.resolution,
    )


def _end_claim(claim: Claim, **told: Any) -> NotificationTarget | None:
    """Write what a delivery said, and free the target unless its claim had run out; None if it was deleted."""
    target = NotificationTarget.objects.select_for_update(no_key=True).filter(pk=claim.target_id).first()
    if target is not None:
        if target.claimed_until == claim.claimed_until:
            told["claimed_until"] = None
        NotificationTarget.objects.filter(pk=target.pk).update(**told)
    return target


def _plan_repeats(target: NotificationTarget, notification_ids: Sequence[int], *, now: datetime) -> None:
    """Plan the next repeat of each alert that was told, still fires, and is acknowledged by nobody."""
    assert target.repeat_interval_s is not None
    told = Notification.objects.filter(
        pk__in=notification_ids, alert__state=AlertState.FIRING, alert__acknowledged_at__isnull=True
    )
    Notification.objects.bulk_create(
        [
            Notification(
                alert_id=alert_id,
                target_id=target.pk,
                event=NotificationEvent.REPEAT,
                number=number + 1,
                created_at=now,
                due_at=now + timedelta(seconds=target.repeat_interval_s),
            )
            for alert_id, number in told.order_by("pk").values_list("alert_id", "number")
        ],
        ignore_conflicts=True,
    )
