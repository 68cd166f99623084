"""What others leave for this app to follow up; each note is written in the transaction of what it tells of."""

from django.db import models


class LogNote(models.Model):
    """A new log message that some rule of its network may count.

    Written by ingest in the transaction that stores the message, deleted in the transaction that counted it. Lanes are
    those of `EvaluationBatch`. Plain numbers, because the note may outlive its sensor.
    """

    lane = models.SmallIntegerField()
    sensor_id = models.BigIntegerField()
    # The place of its severity among them all, 0 for the mildest.
    rank = models.SmallIntegerField()
    # Microseconds since 1970, on the sensor's clock and on the bridge's.
    measured_us = models.BigIntegerField()
    received_us = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["lane", "id"], name="log_note_lane")]


class RevisionNote(models.Model):
    """A sensor that has a new revision, or answered its newest one.

    Written by triggers, for the reasons that `ScopeChange` has; deleted by the sweep that followed it up.
    """

    sensor_id = models.BigIntegerField()
