"""How notification targets and notifications look in JSON, and what may be sent."""

from typing import Any

from rest_framework import serializers

from alerts.api.serializers import SpanField
from alerts.delivery.urls import MAX_URL_CHARACTERS
from alerts.models import AlertSeverity, Notification, NotificationEvent, NotificationState, NotificationTarget
from alerts.rendering import notification_json, target_json
from alerts.services.targets import LEAST_REPEAT_S, MAX_GROUP_WAIT_S
from sensors.api.serializers import StrictSerializer, TextField, VisibleField
from sensors.models import Network


class TargetSerializer(StrictSerializer):
    """One place where people are told of a network's alerts. Its address is written and never shown."""

    constant_fields = ("network",)

    id = serializers.IntegerField(read_only=True)
    network = VisibleField(Network, "slug", help_text="Slug; never changes.")
    name = TextField(max_length=200, help_text="Unique in its network.")
    url = TextField(
        max_length=MAX_URL_CHARACTERS,
        write_only=True,
        help_text="An address as apprise writes them. Kept encrypted and never shown again.",
    )
    address = serializers.CharField(read_only=True, help_text="The scheme of `url`, and nothing of what follows.")
    url_changed_at = serializers.DateTimeField(read_only=True)
    enabled = serializers.BooleanField(required=False, help_text="True by default.")
    least_severity = serializers.ChoiceField(
        choices=AlertSeverity.choices, required=False, help_text="`info` by default: everything."
    )
    tell_resolved = serializers.BooleanField(
        required=False, help_text="Whether the end of an alert is told, true by default."
    )
    group_wait_s = SpanField(
        most=MAX_GROUP_WAIT_S, allow_null=False, help_text="How long an alert waits for others, 10 by default."
    )
    repeat_interval_s = SpanField(
        least=LEAST_REPEAT_S, help_text="How often an alert that nobody acknowledges is told again; null: never."
    )
    escalate_after_s = SpanField(
        least=1, help_text="Only what nobody acknowledged for so long is told; null: everything at once."
    )
    last_sent_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_failed_at = serializers.DateTimeField(read_only=True, allow_null=True)
    last_error = serializers.CharField(read_only=True, help_text="Why the last message was not taken; empty if it was.")
    retry_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="When the next attempt is made after a failure."
    )
    created_at = serializers.DateTimeField(read_only=True)
    created_by = serializers.CharField(read_only=True, allow_null=True, help_text="Username.")
    updated_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, target: NotificationTarget) -> dict[str, Any]:
        """Return the target's JSON."""
        return target_json(target)


class TargetTestSerializer(serializers.Serializer):
    """What became of a test."""

    sent = serializers.BooleanField(help_text="Whether the message was taken.")
    error = serializers.CharField(allow_blank=True, help_text="Why it was not.")


class NotificationSerializer(serializers.Serializer):
    """One thing that one target is, or was, to be told of one alert."""

    id = serializers.IntegerField()
    network = serializers.CharField(help_text="Slug.")
    alert = serializers.IntegerField(help_text="Id of the alert.")
    rule_name = serializers.CharField(help_text="Of the alert, as are the sensor or gateway.")
    sensor = serializers.CharField(allow_null=True)
    gateway = serializers.CharField(allow_null=True)
    target = serializers.IntegerField(help_text="Id of the target.")
    target_name = serializers.CharField()
    event = serializers.ChoiceField(choices=NotificationEvent.choices)
    number = serializers.IntegerField(help_text="Of repeats 1, 2, …; else 0.")
    state = serializers.ChoiceField(choices=NotificationState.choices)
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    attempts = serializers.IntegerField(help_text="How many messages it was in.")
    last_error = serializers.CharField(
        allow_blank=True, help_text="Why the last message was not taken, or why it was dropped."
    )

    def to_representation(self, notification: Notification) -> dict[str, Any]:
        """Return the notification's JSON."""
        return notification_json(notification)
