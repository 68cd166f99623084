"""With what sensors log in at the broker."""

from django.db import models
from django.db.models import Q

from sensors.models.access import User
from sensors.models.fleet import Sensor


class CredentialState(models.TextChoices):
    """How far a credential is at the broker."""

    WAITING = "waiting"  # issued; the broker does not have it yet
    ACTIVE = "active"  # the broker has it
    MISSING = "missing"  # the broker had it and lost it; only the sensor knows the secret
    REVOKING = "revoking"  # the broker may still have it
    REVOKED = "revoked"  # the broker has it no more


class SensorCredential(models.Model):
    """A sensor's account at the broker: the username is the sensor's identifier, and so is the only client id.

    One row a sensor, kept when its secret is rotated or revoked. Written by `sensors.services.credentials`; a trigger
    revokes it with the sensor's deletion, on whatever path. `applied_at` empty is the outbox: a bridge brings the
    account to the broker as it is to be, and says so if `change` is still the one that it brought.
    """

    # Not by the sensor alone: the account must be taken from the broker after the sensor is gone.
    identifier = models.CharField(max_length=64, unique=True)
    sensor = models.OneToOneField(
        Sensor, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="credential"
    )
    # As in mosquitto's password file; empty once it is revoked.
    secret_hash = models.CharField(max_length=200, blank=True)
    # The secret itself, encrypted, until the broker has it: brokers take passwords and no hashes.
    sealed_secret = models.TextField(blank=True)
    change = models.UUIDField()
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    applied_at = models.DateTimeField(null=True)
    missing_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sealed_secret="") | Q(applied_at__isnull=True), name="credential_applied_is_not_readable"
            ),
            models.CheckConstraint(
                condition=Q(sensor__isnull=False) | Q(secret_hash=""), name="credential_without_sensor_is_revoked"
            ),
        ]
        indexes = [models.Index(fields=["id"], name="credential_to_apply", condition=Q(applied_at__isnull=True))]
        ordering = ["identifier"]

    def __str__(self) -> str:
        return self.identifier

    @property
    def state(self) -> CredentialState:
        """How far it is at the broker."""
        if not self.secret_hash:
            return CredentialState.REVOKED if self.applied_at else CredentialState.REVOKING
        if self.missing_at is not None:
            return CredentialState.MISSING
        return CredentialState.ACTIVE if self.applied_at else CredentialState.WAITING
