"""Whom to tell of alerts, and the outbox of what is to be told."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

FORWARD = """
-- Not Django's: it would ask for these rows whenever a pending alert ends.
ALTER TABLE alerts_notification
    ADD CONSTRAINT notification_of_alert FOREIGN KEY (alert_id)
        REFERENCES alerts_alert ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT notification_to_target FOREIGN KEY (target_id)
        REFERENCES alerts_notificationtarget ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

-- Each row is written when it is claimed and when it is sent.
ALTER TABLE alerts_notification SET (fillfactor = 80);
"""

BACKWARD = """
ALTER TABLE alerts_notification DROP CONSTRAINT notification_of_alert, DROP CONSTRAINT notification_to_target;
"""


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("alerts", "0007_events"),
        ("sensors", "0002_invariants"),
    ]

    operations = [
        migrations.CreateModel(
            name="NotificationTarget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("scheme", models.CharField(max_length=32)),
                ("encrypted_url", models.TextField()),
                ("url_changed_at", models.DateTimeField()),
                ("enabled", models.BooleanField(default=True)),
                (
                    "least_severity",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")],
                        default="info",
                        max_length=8,
                    ),
                ),
                (
                    "tell_resolved",
                    models.BooleanField(default=True, help_text="Whether the end of an alert is told."),
                ),
                (
                    "group_wait_s",
                    models.PositiveIntegerField(
                        default=10, help_text="How long an alert waits for others, to be told in one message."
                    ),
                ),
                (
                    "repeat_interval_s",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="How often an alert that nobody acknowledges is told again; empty: never.",
                        null=True,
                    ),
                ),
                (
                    "escalate_after_s",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Tell only what nobody acknowledged for so long; empty: everything at once.",
                        null=True,
                    ),
                ),
                ("last_sent_at", models.DateTimeField(null=True)),
                ("last_failed_at", models.DateTimeField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("tested_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "network",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notification_targets",
                        to="sensors.network",
                    ),
                ),
            ],
            options={
                "ordering": ["network_id", "name", "id"],
                "indexes": [
                    models.Index(
                        condition=Q(enabled=True), fields=["network"], name="notification_target_enabled"
                    ),
                    models.Index(
                        condition=Q(claimed_until__isnull=False),
                        fields=["claimed_until"],
                        name="notification_target_claimed",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("network", "name"), name="one_notification_target_per_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("firing", "Firing"),
                            ("resolved", "Resolved"),
                            ("repeat", "Repeat"),
                            ("escalation", "Escalation"),
                        ],
                        max_length=10,
                    ),
                ),
                ("number", models.PositiveIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("sent", "Sent"),
                            ("failed", "Failed"),
                            ("dropped", "Dropped"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField()),
                ("sent_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                (
                    "alert",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="notifications",
                        to="alerts.alert",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="notifications",
                        to="alerts.notificationtarget",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=Q(state="waiting"), fields=["target", "due_at"], name="notification_waiting"
                    ),
                    models.Index(condition=Q(state="waiting"), fields=["due_at"], name="notification_due"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("alert", "target", "event", "number"),
                        name="one_notification_per_transition_and_target",
                    ),
                    models.CheckConstraint(
                        condition=Q(state="sent", sent_at__isnull=False)
                        | (~Q(state="sent") & Q(sent_at__isnull=True)),
                        name="sent_notification_says_when",
                    ),
                    models.CheckConstraint(
                        condition=Q(event="repeat", number__gt=0) | (~Q(event="repeat") & Q(number=0)),
                        name="only_repeats_are_numbered",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
