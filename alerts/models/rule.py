"""What to watch."""

from typing import Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from alerts.windows import MAX_COUNT
from sensors.models import Network, Sensor
from telemetry.models import Severity


class RuleKind(models.TextChoices):
    """What a rule looks at."""

    THRESHOLD = "threshold"  # a value beyond a limit
    RATE_OF_CHANGE = "rate_of_change"  # how much a value changes a minute
    STALENESS = "staleness"  # a sensor that is not heard
    GATEWAY_SILENCE = "gateway_silence"  # so many of a gateway's sensors that the gateway itself is meant
    BRIDGE_AWAY = "bridge_away"  # the service's own bridges, while which are away nobody's silence is known
    LOG_SEVERITY = "log_severity"  # so many log messages of a severity or worse within a span of time
    CONFIGURATION_FAILURE = "configuration_failure"  # a newest revision that is refused or not acknowledged


# Kinds that look at the values of an attribute; the others look at when something was heard.
VALUE_KINDS: Final = (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE)


# After how long without news from a bridge its absence is one, unless a rule says otherwise: a restart takes less.
BRIDGE_AWAY_AFTER_S: Final = 60
# Within how long log messages make an alert, unless a rule says otherwise.
LOG_WINDOW_S: Final = 300


class RuleScope(models.TextChoices):
    """Which sensors of its network a rule holds for."""

    NETWORK = "network"  # all
    SENSORS = "sensors"  # the listed ones
    LABELS = "labels"  # those that carry all of the rule's labels


class AlertSeverity(models.TextChoices):
    """How much an alert matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Rule(models.Model):
    """One thing to watch in one network. Written by its operators; evaluated by the workers.

    Which fields count depends on the kind: threshold and rate_of_change use attribute, above, below, hysteresis, for_s
    and keep_firing_s (limits of a rate are per minute); staleness uses period_s and grace_s (empty: see
    docs/alerts.md); gateway_silence uses these, share and window_s; bridge_away uses period_s and holds for a network;
    log_severity uses log_severity, count and window_s; configuration_failure uses timeout_s.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="rules")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=24, choices=RuleKind.choices)
    enabled = models.BooleanField(default=True)
    severity = models.CharField(max_length=8, choices=AlertSeverity.choices, default=AlertSeverity.WARNING)
    scope = models.CharField(max_length=8, choices=RuleScope.choices, default=RuleScope.NETWORK)
    sensors = models.ManyToManyField(Sensor, blank=True, related_name="rules", help_text="For the scope sensors.")
    labels = models.JSONField(default=dict, blank=True, help_text="For the scope labels: all must match.")

    attribute = models.CharField(max_length=200, blank=True)
    above = models.FloatField(null=True, blank=True)
    below = models.FloatField(null=True, blank=True)
    hysteresis = models.FloatField(
        default=0, validators=[MinValueValidator(0)], help_text="How far inside a value must be to clear."
    )
    for_s = models.PositiveIntegerField(default=0, help_text="How long a value must be beyond before it fires.")
    keep_firing_s = models.PositiveIntegerField(
        default=0, help_text="How long a value must be inside before it clears."
    )
    period_s = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    grace_s = models.PositiveIntegerField(null=True, blank=True)
    share = models.FloatField(default=1, validators=[MinValueValidator(0.01), MaxValueValidator(1)])
    window_s = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Of log messages: within how many seconds (300). Of a gateway: within which its sensors must have"
        " been heard last; empty: at any time.",
    )
    log_severity = models.CharField(
        max_length=7,
        choices=Severity.choices,
        default=Severity.ERROR,
        blank=True,
        help_text="Messages of this severity or worse count.",
    )
    count = models.PositiveIntegerField(
        default=1,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_COUNT)],
        help_text="How many messages make an alert.",
    )
    timeout_s = models.PositiveIntegerField(
        default=300,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How long a sensor may take to acknowledge a revision.",
    )

    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(kind__in=["threshold", "rate_of_change"])
                | (~Q(attribute="") & (Q(above__isnull=False) | Q(below__isnull=False))),
                name="value_rule_has_attribute_and_limit",
            ),
            models.CheckConstraint(
                condition=Q(above__isnull=True) | Q(below__isnull=True) | Q(above__gte=F("below")),
                name="rule_limits_are_ordered",
            ),
            models.CheckConstraint(condition=Q(hysteresis__gte=0), name="rule_hysteresis_is_not_negative"),
            models.CheckConstraint(condition=Q(share__gt=0, share__lte=1), name="rule_share_is_a_share"),
            models.CheckConstraint(condition=Q(count__gte=1, count__lte=MAX_COUNT), name="rule_count_can_be_counted"),
            models.CheckConstraint(
                condition=Q(window_s__gte=1) | (Q(window_s__isnull=True) & ~Q(kind="log_severity")),
                name="rule_window_is_positive",
            ),
            models.CheckConstraint(condition=Q(timeout_s__gte=1), name="rule_timeout_is_positive"),
            models.CheckConstraint(condition=Q(log_severity__in=Severity.values), name="rule_log_severity_is_known"),
        ]
        indexes = [
            models.Index(fields=["network", "kind"], name="rule_enabled", condition=Q(enabled=True)),
            # What every sweep looks for, in whatever network; there are few.
            models.Index(fields=["id"], name="rule_about_bridges", condition=Q(kind="bridge_away")),
        ]
        ordering = ["network_id", "name", "id"]

    def __str__(self) -> str:
        return self.name
