"""Revisioned configurations of sensors."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from sensors.models import Sensor


class RevisionState(models.TextChoices):
    """Where a revision is on its way to the sensor; derived from its timestamps, never stored."""

    PENDING = "pending"  # not yet confirmed by the broker
    PUBLISHED = "published"  # the broker holds it for the sensor
    ACKNOWLEDGED = "acknowledged"  # the sensor runs it
    FAILED = "failed"  # the sensor refused it; a later success still counts
    SUPERSEDED = "superseded"  # a newer one came before the sensor answered


class Revision(models.Model):
    """One numbered configuration of one sensor: 0, 1, 2, … without gaps. Written by `create_revision` alone.

    Sensor, number, values, comment, author and creation never change (a trigger holds it); the timestamps are
    set by the bridge and by the sensor's heartbeats. A row that is neither published nor superseded is the
    outbox from which the bridge publishes. It goes with its sensor and in no other way.
    """

    sensor = models.ForeignKey(Sensor, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    values = models.JSONField()
    comment = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    superseded_at = models.DateTimeField(null=True, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    failed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sensor", "number"], name="one_revision_per_sensor_and_number"),
        ]
        indexes = [
            # The outbox, and what is published again after the broker lost its memory.
            models.Index(
                fields=["sensor"],
                name="revision_to_publish",
                condition=Q(published_at__isnull=True, superseded_at__isnull=True),
            ),
            models.Index(
                fields=["sensor", "-number"],
                name="revision_acknowledged",
                condition=Q(acknowledged_at__isnull=False),
            ),
        ]
        ordering = ["sensor_id", "-number"]

    def __str__(self) -> str:
        return f"revision {self.number} of {self.sensor}"

    @property
    def state(self) -> RevisionState:
        """Return the state that the timestamps give: answered, else superseded, else published, else pending."""
        if self.acknowledged_at is not None:
            return RevisionState.ACKNOWLEDGED
        if self.failed_at is not None:
            return RevisionState.FAILED
        if self.superseded_at is not None:
            return RevisionState.SUPERSEDED
        if self.published_at is not None:
            return RevisionState.PUBLISHED
        return RevisionState.PENDING
