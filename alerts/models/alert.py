"""What was violated, and what is not to disturb anybody."""

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from alerts.models.rule import AlertSeverity, Rule
from sensors.models import Gateway, Network, Sensor


class AlertState(models.TextChoices):
    """Where an episode is."""

    PENDING = "pending"  # violated, but not yet for long enough
    FIRING = "firing"
    RESOLVED = "resolved"


class Resolution(models.TextChoices):
    """Why an episode ended. No data is never a reason."""

    CLEARED = "cleared"  # the value is back inside, or so many log messages came no more
    HEARD = "heard"  # the sensor, enough of the gateway's sensors, or the bridges were heard again
    APPLIED = "applied"  # the sensor acknowledged the revision after all
    SUPERSEDED = "superseded"  # a newer revision came, which has a time of its own
    BY_HAND = "by_hand"  # an operator said so
    RULE_EDITED = "rule_edited"
    RULE_DISABLED = "rule_disabled"
    RULE_DELETED = "rule_deleted"
    SENSOR_EDITED = "sensor_edited"  # by the period or grace that now hold for the sensor it is not silent
    SENSOR_DELETED = "sensor_deleted"
    GATEWAY_DELETED = "gateway_deleted"
    OUT_OF_SCOPE = "out_of_scope"  # the rule does not cover the sensor any more, or no sensor of the gateway


# An alert about neither a sensor nor a gateway, also none that was deleted: their identifiers would stay.
ABOUT_NEITHER: Final = Q(sensor__isnull=True, gateway__isnull=True, sensor_identifier="", gateway_identifier="")
# An alert whose sensor or gateway was deleted.
SUBJECT_IS_GONE: Final = Q(sensor__isnull=True, gateway__isnull=True) & (
    Q(sensor_identifier__gt="") | Q(gateway_identifier__gt="")
)


class Alert(models.Model):
    """One episode in which a rule was violated by one sensor or gateway, or by the bridges (then it has neither).

    Opened and moved by the evaluation and the sweep, acknowledged and resolved by operators, never deleted but
    with its network; only a pending episode that ends by itself leaves no row. The text fields keep what it was
    about when its rule, sensor or gateway is gone.
    """

    # What becomes of an alert when these are deleted is done by the database (second migration): the alert goes
    # with its network and is left without the others. It locks the parent first, as everybody does here.
    network = models.ForeignKey(
        Network, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="alerts"
    )
    rule = models.ForeignKey(
        Rule,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # `alert_by_subject` serves
        null=True,
        related_name="alerts",
    )
    rule_name = models.CharField(max_length=200)
    # The rule as it was when the episode began, by field name.
    rule_snapshot = models.JSONField(default=dict)
    sensor = models.ForeignKey(
        Sensor, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="alerts"
    )
    sensor_identifier = models.CharField(max_length=64, blank=True)
    gateway = models.ForeignKey(
        Gateway, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="alerts"
    )
    gateway_identifier = models.CharField(max_length=64, blank=True)
    # Of a gateway's alert: the identifiers of its silent sensors.
    members = models.JSONField(default=list)
    # Of an alert about the bridges: what is wrong with which of them, in words.
    detail = models.CharField(max_length=500, blank=True, default="", db_default="")

    state = models.CharField(max_length=8, choices=AlertState.choices)
    severity = models.CharField(max_length=8, choices=AlertSeverity.choices)
    value = models.FloatField(null=True, help_text="The newest violating value.")
    started_at = models.DateTimeField(help_text="When the violation began, on the sensor's clock.")
    fired_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=16, choices=Resolution.choices, blank=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    backfilled = models.BooleanField(default=False, help_text="Known only from data that came late.")
    flapping = models.BooleanField(
        default=False, db_default=False, help_text="Its rule and sensor or gateway fire and resolve too often."
    )
    # While it flaps: until when it does if nothing else happens.
    flapping_until = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    acknowledgement = models.CharField(max_length=500, blank=True, help_text="The comment.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "sensor"],
                condition=Q(resolved_at__isnull=True, sensor__isnull=False),
                name="one_open_alert_per_rule_and_sensor",
            ),
            models.UniqueConstraint(
                fields=["rule", "gateway"],
                condition=Q(resolved_at__isnull=True, gateway__isnull=False),
                name="one_open_alert_per_rule_and_gateway",
            ),
            models.UniqueConstraint(
                fields=["rule"],
                condition=Q(resolved_at__isnull=True) & ABOUT_NEITHER,
                name="one_open_alert_per_rule_about_bridges",
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at__isnull=True)),
                name="resolved_alert_says_when",
            ),
            models.CheckConstraint(
                condition=~Q(state="firing") | Q(fired_at__isnull=False), name="firing_alert_says_when"
            ),
            models.CheckConstraint(
                condition=Q(flapping=False) | Q(flapping_until__isnull=False), name="flapping_alert_says_until_when"
            ),
        ]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="alert_by_time"),
            models.Index(fields=["network", "-started_at"], name="alert_by_network"),
            models.Index(fields=["sensor", "-started_at"], name="alert_by_sensor"),
            # The newest episodes of one rule and sensor, which say whether they flap.
            models.Index(fields=["rule", "sensor", "-started_at"], name="alert_by_subject"),
            models.Index(fields=["flapping_until"], name="alert_flapping", condition=Q(flapping=True)),
            models.Index(fields=["state", "network"], name="alert_open", condition=Q(resolved_at__isnull=True)),
            # What the sweep resolves because its subject is gone; nearly always empty.
            models.Index(
                fields=["id"],
                name="alert_orphaned",
                condition=Q(resolved_at__isnull=True) & (Q(rule__isnull=True) | SUBJECT_IS_GONE),
            ),
        ]
        ordering = ["-started_at", "-id"]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.sensor_identifier or self.gateway_identifier or 'bridges'}"


class Silence(models.Model):
    """A span of time in which matching alerts disturb nobody; they are still recorded. Written by operators.

    matchers: any of network, sensor, rule (id), severity, label ("key:value"); all of them must match.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="silences")
    matchers = models.JSONField(default=dict)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    comment = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="silence_ends_after_it_starts"),
        ]
        ordering = ["-starts_at", "-id"]

    def __str__(self) -> str:
        return self.comment or f"silence until {self.ends_at:%Y-%m-%d %H:%M} UTC"
