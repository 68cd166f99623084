"""Sensors that introduce themselves: codes that let them ask, and what they asked."""

from datetime import datetime

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from sensors.models.access import User
from sensors.models.fleet import Network, Sensor, identifier_is_valid


class ClaimCodeState(models.TextChoices):
    """Whether a code still lets devices ask."""

    ACTIVE = "active"
    EXPIRED = "expired"  # its time is over
    USED_UP = "used_up"  # as many sensors as it is for were admitted
    REVOKED = "revoked"  # ended by hand


class ClaimCode(models.Model):
    """What a device must know to ask for a place in a network; it admits nobody by itself.

    Made and revoked by operators through `sensors.services.claims`; shown once and kept as a hash.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="claim_codes")
    name = models.CharField(max_length=100, help_text="What the code is for.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The first group, by which people tell codes apart.
    prefix = models.CharField(max_length=8, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    max_sensors = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="So many are admitted at most; empty: any."
    )
    # Sensors that were admitted by it.
    used = models.PositiveIntegerField(default=0)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(max_sensors__isnull=True) | Q(max_sensors__gte=F("used")), name="claim_code_within_limit"
            ),
        ]
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def state(self, *, now: datetime) -> ClaimCodeState:
        """Return whether it still lets devices ask."""
        if self.revoked_at is not None:
            return ClaimCodeState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return ClaimCodeState.EXPIRED
        if self.max_sensors is not None and self.used >= self.max_sensors:
            return ClaimCodeState.USED_UP
        return ClaimCodeState.ACTIVE


class ClaimState(models.TextChoices):
    """How far a claim is."""

    WAITING = "waiting"  # for somebody to decide
    APPROVED = "approved"  # admitted; its login was not fetched yet
    REFUSED = "refused"
    COLLECTED = "collected"  # its login was fetched


class Claim(models.Model):
    """One device that asked for a place in a network under an identifier, and what became of it.

    Made and moved on by `sensors.services.claims`; deleted by its sweep. Who shows the same identifier and proof is
    the same device; several may ask for one identifier, and a person decides which it is.
    """

    code = models.ForeignKey(ClaimCode, on_delete=models.CASCADE, related_name="claims")
    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="claims")
    identifier = models.CharField(max_length=64, validators=[identifier_is_valid])
    name = models.CharField(max_length=200, blank=True)
    labels = models.JSONField(default=dict, blank=True)
    proof_hash = models.CharField(max_length=64, editable=False)
    # From where it asked last; empty if a proxy said nothing that is an address.
    address = models.CharField(max_length=45, blank=True)
    first_asked_at = models.DateTimeField()
    last_asked_at = models.DateTimeField()
    state = models.CharField(max_length=9, choices=ClaimState.choices, default=ClaimState.WAITING)
    decided_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    # Without a constraint: sensors are deleted on many paths, and an id that is gone says the same as none.
    sensor = models.ForeignKey(Sensor, on_delete=models.SET_NULL, db_constraint=False, null=True, related_name="+")
    # The password, encrypted, from the approval until the device has surely got it.
    sealed_password = models.TextField(blank=True, editable=False)
    collected_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "identifier", "proof_hash"], name="one_claim_per_device"),
            models.CheckConstraint(condition=Q(state__in=ClaimState.values), name="claim_state_is_known"),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at__isnull=True)
                | (~Q(state="waiting") & Q(decided_at__isnull=False)),
                name="claim_is_decided_or_waits",
            ),
            models.CheckConstraint(
                condition=Q(sealed_password="") | Q(state__in=["approved", "collected"]),
                name="claim_undecided_has_no_password",
            ),
        ]
        indexes = [
            models.Index(fields=["network", "identifier"], name="claim_waiting", condition=Q(state="waiting")),
            models.Index(fields=["first_asked_at", "id"], name="claim_by_time"),
            models.Index(fields=["id"], name="claim_with_password", condition=~Q(sealed_password="")),
        ]
        ordering = ["-first_asked_at", "-pk"]

    def __str__(self) -> str:
        return self.identifier
