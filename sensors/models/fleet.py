"""The fleet itself: networks, gateways, sensors, and what changes with every message."""

from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from sensors.wire import IDENTIFIER_PATTERN, MAX_KEY_CHARACTERS, SLUG_PATTERN

identifier_is_valid = RegexValidator(
    rf"^{IDENTIFIER_PATTERN}\Z",
    "Start with a letter or digit, then up to 63 letters, digits, hyphens or underscores.",
)
slug_is_valid = RegexValidator(
    rf"^{SLUG_PATTERN}\Z", "Start with a lower-case letter or digit, then up to 49 of those or hyphens."
)


class NewSensors(models.TextChoices):
    """What becomes of sensors that are registered and were never heard."""

    IGNORE = "ignore"  # they are watched from their first message on
    ALERT = "alert"  # after the network's time they count as silent


class Network(models.Model):
    """A set of sensors that belong together; the unit of access. Any user may make one and then owns it."""

    slug = models.CharField(max_length=50, unique=True, validators=[slug_is_valid])
    name = models.CharField(max_length=200)
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How long telemetry is kept, in days; empty: as the server is set, by default for ever.",
    )
    rollup_retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=(
            "How long summaries of measurements (by hour and minute) are kept, in days, at least as long as the"
            " measurements; empty: for ever."
        ),
    )
    # What silence is judged by where neither a rule nor a sensor says it better: see docs/alerts.md.
    interval_attribute = models.CharField(
        max_length=MAX_KEY_CHARACTERS,
        default="interval_s",
        db_default="interval_s",
        blank=True,
        help_text="The key of a configuration that says how often a sensor measures, in seconds; empty: none does.",
    )
    interval_factor = models.FloatField(
        default=3,
        db_default=3,
        validators=[MinValueValidator(1)],
        help_text="So many of those intervals are the period within which the sensor is expected to be heard.",
    )
    new_sensors = models.CharField(
        max_length=8,
        choices=NewSensors.choices,
        default=NewSensors.IGNORE,
        db_default=NewSensors.IGNORE,
        help_text="Whether a sensor that was registered and never heard is silent.",
    )
    new_after_s = models.PositiveIntegerField(
        # A day: who mounts sensors registers them in the morning and is done by the evening.
        default=86_400,
        db_default=86_400,
        validators=[MinValueValidator(1)],
        help_text="How long after its registration, in seconds.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    members = models.ManyToManyField("sensors.User", through="sensors.Membership", related_name="networks")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(slug__regex=f"^{SLUG_PATTERN}$"), name="network_slug_is_valid"),
            models.CheckConstraint(condition=Q(retention_days__gte=1), name="network_retention_is_positive"),
            models.CheckConstraint(
                condition=Q(rollup_retention_days__gte=1)
                & (Q(retention_days__isnull=True) | Q(rollup_retention_days__gte=F("retention_days"))),
                name="network_rollups_outlive_telemetry",
            ),
            # PostgreSQL orders NaN above everything, so this refuses it too.
            models.CheckConstraint(
                condition=Q(interval_factor__gte=1, interval_factor__lte=1_000), name="network_factor_is_sensible"
            ),
            models.CheckConstraint(condition=Q(new_sensors__in=NewSensors.values), name="network_policy_is_known"),
            models.CheckConstraint(condition=Q(new_after_s__gte=1), name="network_new_after_is_positive"),
        ]
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug


class Gateway(models.Model):
    """A box through which several sensors of one network reach the broker. It sends nothing itself."""

    identifier = models.CharField(max_length=64, unique=True, validators=[identifier_is_valid])
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="gateways")
    name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(identifier__regex=f"^{IDENTIFIER_PATTERN}$"), name="gateway_identifier_is_valid"
            ),
        ]
        ordering = ["identifier"]

    def __str__(self) -> str:
        return self.name or self.identifier


class Sensor(models.Model):
    """One device; its identifier is the last level of its MQTT topics and never changes (a trigger holds it).

    Written by operators. Deleting it leaves a `SensorTombstone` and inserting it makes its `SensorState`, both
    by triggers of the first migration, so that no path around the services can forget them.
    """

    identifier = models.CharField(max_length=64, unique=True, validators=[identifier_is_valid])
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="sensors")
    gateway = models.ForeignKey(Gateway, on_delete=models.SET_NULL, null=True, blank=True, related_name="sensors")
    name = models.CharField(max_length=200, blank=True)
    labels = models.JSONField(default=dict, blank=True, help_text='Flat, like {"floor": "2"}.')
    period_s = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1)],
        help_text="How often the sensor is expected to be heard, in seconds.",
    )
    grace_s = models.PositiveIntegerField(
        default=30, help_text="How much later than that it may be before it counts as down, in seconds."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(identifier__regex=f"^{IDENTIFIER_PATTERN}$"), name="sensor_identifier_is_valid"
            ),
            models.CheckConstraint(condition=Q(period_s__gte=1), name="sensor_period_is_positive"),
            # labels is an object: see the first migration (jsonb_typeof has no ORM form).
        ]
        indexes = [
            models.Index(fields=["network", "identifier"], name="sensor_by_network"),
            models.Index(fields=["updated_at"], name="sensor_by_update"),
            GinIndex(fields=["labels"], opclasses=["jsonb_path_ops"], name="sensor_by_label"),
        ]
        ordering = ["identifier"]

    def __str__(self) -> str:
        return self.name or self.identifier


class SensorState(models.Model):
    """What one sensor's messages move on: when it was heard, what it measured last, which revision it runs.

    A row of its own, so that ingest never waits for someone who edits the sensor. Made by a trigger with the
    sensor; written by ingest (`record_activity`) and by the sweep (`sweep_silent_sensors`), in sensor order.
    """

    sensor = models.OneToOneField(Sensor, on_delete=models.CASCADE, primary_key=True, related_name="state")
    last_seen_at = models.DateTimeField(null=True, help_text="When the bridge last received something new.")
    # The sweep's alarm clock: never later than the moment the sensor's status may worsen next. Ingest moves
    # it by steps only, because every move costs an index entry; the sweep looks at last_seen_at when it is due.
    overdue_at = models.DateTimeField(null=True)
    # The status that was last told to live views, which are told only of changes.
    announced_status = models.CharField(max_length=4, default="new")
    latest_measured_at = models.DateTimeField(null=True)
    latest_received_at = models.DateTimeField(null=True)
    latest_revision = models.IntegerField(null=True)
    latest_value = models.JSONField(null=True)
    running_revision = models.IntegerField(null=True)
    running_success = models.BooleanField(null=True)
    running_at = models.DateTimeField(null=True, help_text="The sensor's time of the newest heartbeat.")

    class Meta:
        indexes = [
            models.Index(fields=["overdue_at"], name="sensor_overdue", condition=Q(overdue_at__isnull=False)),
        ]


class SensorTombstone(models.Model):
    """A deleted sensor whose traces remain: a retained message at the broker, telemetry in the database.

    Written by a trigger in the deleting transaction. The bridge sets `cleared_at` once the broker has
    confirmed that the retained message is gone; `purge_deleted_sensors` deletes the telemetry, then the row.
    """

    identifier = models.CharField(max_length=64)
    sensor_id = models.BigIntegerField()
    deleted_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="tombstone_to_clear", condition=Q(cleared_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.identifier
