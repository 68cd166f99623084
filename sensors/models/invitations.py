"""Links by which people come into a network."""

from django.db import models
from django.db.models import Q

from sensors.models.access import Role, User
from sensors.models.fleet import Network


class InvitationState(models.TextChoices):
    """What became of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"  # also when who made it may not invite any more
    EXPIRED = "expired"


class Invitation(models.Model):
    """A link that makes whoever opens it a member of a network, once. Stored as a hash of its secret.

    Made and revoked by owners of the network, staff and `manage.py invite`. It counts no more than who made it: with
    their ownership it ends for good, while they are deactivated it lets nobody in, and with their user it goes.
    A sweep deletes what was over long ago.
    """

    network = models.ForeignKey(Network, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=8, choices=Role.choices)
    # SHA-256 of the secret, which is random and therefore needs no slower hash.
    digest = models.CharField(max_length=64, unique=True)
    email = models.EmailField(blank=True)
    # None: made in a shell.
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(role__in=Role.values), name="invitation_role_is_known"),
            models.CheckConstraint(
                condition=Q(accepted_at__isnull=True) | Q(revoked_at__isnull=True),
                name="invitation_is_accepted_or_revoked",
            ),
        ]
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.role} of {self.network}"
