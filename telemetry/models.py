"""What sensors reported. The three tables of entries are partitioned by month and written by SQL alone.

They are unmanaged: their migrations are hand-written SQL, because Django knows no partitions. None has a
foreign-key constraint, so that ingest locks no row of another table; `sensor_id` of a deleted sensor is purged later.
"""

from django.db import models


class Severity(models.TextChoices):
    """How bad a log message is, as the sensor sees it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Entry(models.Model):
    """One stored entry of a payload. Unique on sensor, time and content, so that a redelivery changes nothing.

    `digest` is the first 8 bytes of BLAKE2b over the revision and the canonical content, as a signed integer.
    """

    pk = models.CompositePrimaryKey("sensor_id", "measured_at", "digest")
    sensor_id = models.BigIntegerField()
    measured_at = models.DateTimeField()
    digest = models.BigIntegerField()
    received_at = models.DateTimeField()
    revision = models.IntegerField()

    class Meta:
        abstract = True
        managed = False


class Measurement(Entry):
    """One timestamped flat object of one sensor. Written by ingest, deleted by retention."""

    value = models.JSONField()

    class Meta(Entry.Meta):
        abstract = False
        db_table = "telemetry_measurement"


class Heartbeat(Entry):
    """One report of which revision a sensor runs and whether it could apply it."""

    success = models.BooleanField()

    class Meta(Entry.Meta):
        abstract = False
        db_table = "telemetry_heartbeat"


class LogMessage(Entry):
    """One message that a sensor logged about itself."""

    severity = models.CharField(max_length=7, choices=Severity.choices)
    subject = models.TextField()
    details = models.TextField(null=True)  # noqa: DJ001 - absent is not empty

    class Meta(Entry.Meta):
        abstract = False
        db_table = "telemetry_logmessage"


class RejectedMessage(models.Model):
    """What came in and could not be stored, with its reason; the same bytes on the same topic are one row.

    Written by the bridge. `sensor_id` is a plain number, as in all telemetry; without one only staff see it.
    """

    topic = models.CharField(max_length=512, help_text="Its first 512 characters.")
    digest = models.BinaryField(max_length=16)
    sensor_id = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=32)
    detail = models.TextField()
    count = models.PositiveBigIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    payload = models.BinaryField()
    payload_bytes = models.PositiveIntegerField(help_text="The whole length; `payload` holds the first part.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["topic", "digest"], name="one_rejected_message_per_topic_and_bytes"),
        ]
        indexes = [
            models.Index(fields=["-last_at", "-id"], name="rejected_by_time"),
            models.Index(fields=["sensor_id", "-last_at"], name="rejected_by_sensor"),
        ]
        ordering = ["-last_at", "-id"]

    def __str__(self) -> str:
        return f"{self.reason} on {self.topic}"
