"""Whom to tell of alerts, and what is to be told."""

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q

from alerts.models.alert import Alert
from alerts.models.rule import AlertSeverity
from sensors.models import Network

# How long what a delivery said may be.
ERROR_CHARACTERS: Final = 500
# What deliveries write on a target; everything else is written by people.
DELIVERY_FIELDS: Final = (
    "last_sent_at", "last_failed_at", "last_error", "failures", "retry_at", "claimed_until", "tested_at",
)  # fmt: skip


class NotificationTarget(models.Model):
    """Where people are told of one network's alerts: a chat, a mailbox, a webhook. Written by the network's operators.

    The address holds passwords and tokens, and is kept encrypted; `alerts.delivery.keys` reads it. What the last
    delivery said is written by whoever delivers. Deleted by operators, with all that was told to it.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="notification_targets")
    name = models.CharField(max_length=200)
    # The only part of the address that is ever shown.
    scheme = models.CharField(max_length=32)
    encrypted_url = models.TextField()
    url_changed_at = models.DateTimeField()
    enabled = models.BooleanField(default=True)
    least_severity = models.CharField(max_length=8, choices=AlertSeverity.choices, default=AlertSeverity.INFO)
    tell_resolved = models.BooleanField(default=True, help_text="Whether the end of an alert is told.")
    group_wait_s = models.PositiveIntegerField(
        default=10, help_text="How long an alert waits for others, to be told in one message."
    )
    repeat_interval_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="How often an alert that nobody acknowledges is told again; empty: never."
    )
    escalate_after_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="Tell only what nobody acknowledged for so long; empty: everything at once."
    )

    last_sent_at = models.DateTimeField(null=True)
    last_failed_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=ERROR_CHARACTERS, blank=True)
    # Deliveries in a row that failed, and when the next one is tried.
    failures = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    # Until then somebody is delivering to it; later, that somebody was killed.
    claimed_until = models.DateTimeField(null=True)
    tested_at = models.DateTimeField(null=True)

    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["network", "name"], name="one_notification_target_per_name"),
        ]
        indexes = [
            # What every transition asks for; the claims of all networks.
            models.Index(fields=["network"], name="notification_target_enabled", condition=Q(enabled=True)),
            models.Index(
                fields=["claimed_until"],
                name="notification_target_claimed",
                condition=Q(claimed_until__isnull=False),
            ),
        ]
        ordering = ["network_id", "name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """The address as it is shown: its scheme and nothing of what follows."""
        return f"{self.scheme}://…"


class NotificationEvent(models.TextChoices):
    """What is told of an alert."""

    FIRING = "firing"
    RESOLVED = "resolved"
    REPEAT = "repeat"  # it still fires, and nobody acknowledged it
    ESCALATION = "escalation"  # it fired a while ago, and nobody acknowledged it


class NotificationState(models.TextChoices):
    """Where a notification is."""

    WAITING = "waiting"  # for its moment, for a silence to end, or to be tried again
    SENT = "sent"
    FAILED = "failed"  # given up after a day
    DROPPED = "dropped"  # before it was told there was nothing left to tell


class Notification(models.Model):
    """One thing that one target is to be told of one alert: the outbox, and what became of it.

    Written in the transaction of the alert's transition, claimed, sent and closed by whoever delivers. Repeats are
    numbered from 1; of everything else there is number 0. Deleted with its alert or target, by the database.
    """

    # As with alerts themselves the database deletes them (sixth migration), which costs the transitions no query.
    alert = models.ForeignKey(
        Alert,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # that of the unique constraint serves
        related_name="notifications",
    )
    target = models.ForeignKey(
        NotificationTarget,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="notifications",
    )
    event = models.CharField(max_length=10, choices=NotificationEvent.choices)
    number = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=8, choices=NotificationState.choices, default=NotificationState.WAITING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    # How many messages it was in; counted before each of them is sent.
    attempts = models.PositiveIntegerField(default=0)
    # What the last attempt said, or why it was dropped.
    last_error = models.CharField(max_length=ERROR_CHARACTERS, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "target", "event", "number"], name="one_notification_per_transition_and_target"
            ),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="sent_notification_says_when",
            ),
            models.CheckConstraint(
                condition=Q(event="repeat", number__gt=0) | (~Q(event="repeat") & Q(number=0)),
                name="only_repeats_are_numbered",
            ),
        ]
        indexes = [
            models.Index(fields=["target", "due_at"], name="notification_waiting", condition=Q(state="waiting")),
            models.Index(fields=["due_at"], name="notification_due", condition=Q(state="waiting")),
        ]
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.event} to {self.target}"
