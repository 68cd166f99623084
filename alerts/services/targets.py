"""Notification targets as people write them."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from alerts.delivery import keys
from alerts.delivery.message import compose_test
from alerts.delivery.send import SendError, send
from alerts.delivery.urls import check_url
from alerts.models import (
    Notification,
    NotificationEvent,
    NotificationState,
    NotificationTarget,
)
from sensors.errors import Conflict, Invalid, NotFound
from sensors.models import Network, User
from sensors.services.checks import check_span, clean, unique

# Every transition writes a row for each.
MAX_TARGETS_PER_NETWORK: Final = 50
# Longer than anybody wants to wait for a first word.
MAX_GROUP_WAIT_S: Final = 3_600
# What comes more often is taken for noise, and each repeat is a row.
LEAST_REPEAT_S: Final = 60
# A test holds a web thread and leaves the machine.
TEST_EVERY_S: Final = 10

_CHANGEABLE: Final = (
    "name", "least_severity", "tell_resolved", "group_wait_s", "repeat_interval_s", "escalate_after_s", "enabled",
)  # fmt: skip


def create_target(
    network: Network, *, name: str, url: str, author: User | None, now: datetime, **options: Any
) -> NotificationTarget:
    """Return the new target, which is told of every transition from now on.

    url: an address as apprise writes them, of one of NOTIFICATION_SCHEMES; its host must be public. options: the
    model's fields that people set. Raises Invalid naming the field, Conflict when the network has too many.
    """
    _refuse_others(options)
    target = NotificationTarget(
        network=network, name=name, scheme=check_url(url), encrypted_url=keys.encrypt(url), url_changed_at=now,
        created_by=author, **options,
    )  # fmt: skip
    _check(target)
    if NotificationTarget.objects.filter(network=network).count() >= MAX_TARGETS_PER_NETWORK:
        raise Conflict(f"A network has at most {MAX_TARGETS_PER_NETWORK} notification targets.")
    with unique("name", name):
        target.save(force_insert=True)
    return target


def update_target(
    target: NotificationTarget, *, now: datetime, url: str | None = None, **changes: Any
) -> NotificationTarget:
    """Return the target with what was given changed; None leaves the address as it is.

    Disabled, it is not told of what still waits for it, also not later. With another address it is tried at once.
    Another repeat interval holds for what waits, too. Raises Invalid naming the field, NotFound if it was deleted.
    """
    _refuse_others(changes)
    # Before the lock: it looks up the host.
    scheme = None if url is None else check_url(url)
    with unique("name", str(changes.get("name", target.name))):
        locked = (
            NotificationTarget.objects.select_for_update(no_key=True, of=("self",))
            .select_related("network", "created_by")
            .filter(pk=target.pk)
            .first()
        )
        if locked is None:
            raise NotFound(f"The notification target {target.name} was deleted.")
        written = [name for name, value in changes.items() if getattr(locked, name) != value]
        for name in written:
            setattr(locked, name, changes[name])
        _check(locked)
        if url is not None and scheme is not None:
            locked.scheme, locked.encrypted_url, locked.url_changed_at = scheme, keys.encrypt(url), now
            locked.failures, locked.retry_at = 0, None
            written += ["scheme", "encrypted_url", "url_changed_at", "failures", "retry_at"]
        if written:
            locked.save(update_fields=[*written, "updated_at"])
        _follow(locked, written)
    return locked


def delete_target(target: NotificationTarget) -> None:
    """Delete the target with what was told to it; who made it and when stays in the audit log."""
    with transaction.atomic():
        target.delete()


def try_target(target: NotificationTarget, *, now: datetime) -> tuple[NotificationTarget, bool]:
    """Send a message that says what it is; return the target and whether it was taken, else its `last_error`.

    Takes up to DELIVERY_TIMEOUT_S, in no transaction. What is owed and was waiting to be tried again is tried at once
    if it was taken. Raises Conflict for a second test within TEST_EVERY_S.
    """
    earliest = now - timedelta(seconds=TEST_EVERY_S)
    claimed = NotificationTarget.objects.filter(pk=target.pk).exclude(tested_at__gt=earliest)
    if not claimed.update(tested_at=now):
        raise Conflict(f"It is tested already; try again in {TEST_EVERY_S} s.")
    target = NotificationTarget.objects.select_related("network", "created_by").get(pk=target.pk)
    try:
        send(keys.decrypt(target.encrypted_url), compose_test(target.name, network=target.network.name))
    except (SendError, keys.Unreadable) as error:
        told: dict[str, Any] = {"last_failed_at": now, "last_error": error_text(error)}
    else:
        told = {"last_sent_at": now, "last_error": "", "failures": 0, "retry_at": None}
    NotificationTarget.objects.filter(pk=target.pk).update(**told)
    for name, value in told.items():
        setattr(target, name, value)
    return target, "last_sent_at" in told


def error_text(error: Exception) -> str:
    """Return what a person is told of `error`, which `send` or `decrypt` raised."""
    if isinstance(error, keys.Unreadable):
        return "The address cannot be read with any of NOTIFICATION_KEYS; set it again."
    return str(error)


def reencrypt_targets() -> tuple[int, int]:
    """Encrypt all addresses with the first of NOTIFICATION_KEYS; return how many were, and how many no key opens."""
    done = unreadable = 0
    for pk in NotificationTarget.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            target = NotificationTarget.objects.select_for_update(no_key=True).filter(pk=pk).first()
            if target is None:
                continue
            try:
                target.encrypted_url = keys.rotate(target.encrypted_url)
            except keys.Unreadable:
                unreadable += 1
                continue
            # Past the audit log: nothing that a person set has changed.
            NotificationTarget.objects.filter(pk=pk).update(encrypted_url=target.encrypted_url)
            done += 1
    return done, unreadable


def _follow(target: NotificationTarget, written: list[str]) -> None:
    """Let what waits for the target follow its change."""
    waiting = Notification.objects.filter(target=target, state=NotificationState.WAITING)
    dropped: dict[str, Any] = {"state": NotificationState.DROPPED}
    if "enabled" in written and not target.enabled:
        waiting.update(**dropped, last_error="The target was disabled.")
    elif "repeat_interval_s" in written:
        repeats = waiting.filter(event=NotificationEvent.REPEAT)
        if target.repeat_interval_s is None:
            repeats.update(**dropped, last_error="Repeats were turned off.")
        else:
            # One is made when the one before is sent.
            repeats.update(due_at=F("created_at") + timedelta(seconds=target.repeat_interval_s))


def _check(target: NotificationTarget) -> None:
    clean(target, "name", "least_severity", "tell_resolved", "enabled")
    if not target.name.strip():
        raise Invalid("It needs a name.", field="name")
    if not 0 <= target.group_wait_s <= MAX_GROUP_WAIT_S:
        raise Invalid(f"{target.group_wait_s} is not from 0 to {MAX_GROUP_WAIT_S} seconds.", field="group_wait_s")
    if target.repeat_interval_s is not None:
        check_span(target.repeat_interval_s, field="repeat_interval_s", least=LEAST_REPEAT_S)
    if target.escalate_after_s is not None:
        check_span(target.escalate_after_s, field="escalate_after_s", least=1)


def _refuse_others(changes: dict[str, Any]) -> None:
    for field in changes.keys() - set(_CHANGEABLE):
        raise Invalid("This never changes.", field=field)
