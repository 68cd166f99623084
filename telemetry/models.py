"""What sensors reported. The three tables of entries are partitioned by month and written by SQL alone.

They are unmanaged: their migrations are hand-written SQL, because Django knows no partitions. None has a
foreign-key constraint, so that ingest locks no row of another table; `sensor_id` of a deleted sensor is purged later.
"""

from typing import Any

from django.db import models
from django.db.models.functions import Now


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

    Written by the bridge, deleted by retention and by `reingest_rejected`. `sensor_id` is a plain number, as in all
    telemetry; without one only staff see it. A database trigger gives what an unknown sensor sent to the sensor as soon
    as it is made. A row that is not `kept` stands for what came beyond the limit of one
    sensor (or of all unknown ones) in one UTC hour: its `topic` is a filter (`+/<sensor>` or `#`, which no message
    can have), its `count` says how many were not kept, and it has no payload.
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
    whole = models.BooleanField(
        default=True, db_default=True, help_text="Whether the payload is a whole message, or else one entry of one."
    )
    kept = models.BooleanField(default=True, db_default=True, help_text="Whether it was kept, or else only counted.")

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


class RejectedHour(models.Model):
    """How many different rejected messages one sensor brought in one UTC hour; what limits how many are kept.

    Written by the bridge, deleted by retention when the hour is long over. `sensor_id` 0 stands for all unknown ones.
    """

    pk = models.CompositePrimaryKey("hour", "sensor_id")
    hour = models.DateTimeField()
    sensor_id = models.BigIntegerField()
    number = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"{self.number} of sensor {self.sensor_id} from {self.hour}"


class NumericField(models.Field):
    """An exact number of any size, for the ORM a Decimal. `DecimalField` would limit its digits."""

    def db_type(self, connection: Any) -> str:
        """Return PostgreSQL's type without a limit."""
        return "numeric"


class Attribute(models.Model):
    """One attribute that a sensor ever stored. Written by ingest and, for older data, by rolling up; purged with it."""

    sensor_id = models.BigIntegerField()
    name = models.TextField()
    first_at = models.DateTimeField(help_text="When it was first stored.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sensor_id", "name"], name="one_attribute_per_sensor_and_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Rollup(models.Model):
    """What the numbers of one attribute were from `start` on; there is none where it had none.

    Written by `telemetry.rollups` alone, from measurements. `sum` is exact (numeric): no sum of doubles overflows.
    """

    pk = models.CompositePrimaryKey("attribute_id", "start")
    attribute_id = models.BigIntegerField()
    start = models.DateTimeField()
    count = models.IntegerField()
    min = models.FloatField()
    max = models.FloatField()
    sum = NumericField()

    class Meta:
        abstract = True


class HourRollup(Rollup):
    """One hour (UTC) of one attribute. `is_dense`: its minutes are rolled up too."""

    is_dense = models.BooleanField()

    class Meta(Rollup.Meta):
        abstract = False


class MinuteRollup(Rollup):
    """One minute of one attribute in an hour in which its sensor measured often."""

    class Meta(Rollup.Meta):
        abstract = False


class RollupMark(models.Model):
    """An hour of one sensor that is to be rolled up again, because something was stored in it late.

    Written by ingest, once a batch, in the transaction of the measurements; several rows may say the same. Deleted
    by whoever rolls the hour up, in the transaction that does.
    """

    sensor_id = models.BigIntegerField()
    hour = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["sensor_id", "hour"], name="rollup_mark_by_hour")]


class RollupState(models.Model):
    """How far one sensor is rolled up. A missing row says: not at all. Locked by who rolls the sensor up.

    Every hour before `rolled_before` is rolled up or marked. Measurements before `raw_before` were deleted by
    retention; hours that begin before it stay as they are.
    """

    sensor_id = models.BigIntegerField(primary_key=True)
    rolled_before = models.DateTimeField()
    raw_before = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["rolled_before"], name="rollup_state_by_progress")]


class RollupHorizon(models.Model):
    """The one row that says before which full hour measurements come late: ingest marks their hours.

    No sensor is rolled up beyond it. Moved by `advance_horizon` alone, under an advisory lock against ingest.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    late_before = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_rollup_horizon")]
