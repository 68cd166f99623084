"""Who may see and do what: users, their membership in networks, their tokens."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from knox.models import AbstractAuthToken


class User(AbstractUser):
    """One person or program that logs in. Made in the admin; staff see every network."""


class Role(models.TextChoices):
    """What a member may do, each including the one before it."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # also configures, handles alerts, manages sensors and rules
    OWNER = "owner"  # also manages members and deletes

    @property
    def rank(self) -> int:
        """The role's place in the order of rights, 0 for the least."""
        return list(Role).index(self)


class Membership(models.Model):
    """One user's role in one network. Written by the network's owners and in the admin."""

    network = models.ForeignKey("sensors.Network", on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["network", "user"], name="one_membership_per_network_and_user"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_is_known"),
        ]
        ordering = ["network_id", "user_id"]

    def __str__(self) -> str:
        return f"{self.user} as {self.role} of {self.network}"


class AccessToken(AbstractAuthToken):
    """One token of one user, stored as a hash. Made by a login over REST or by `create_token`."""

    name = models.CharField(max_length=100, blank=True, help_text="What the token is for.")

    class Meta:
        ordering = ["-created"]

    def __str__(self) -> str:
        return self.name or f"token of {self.user}"
