"""Who may see and do what: users, their membership in networks, their tokens."""

import uuid
from dataclasses import dataclass

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from knox.models import AbstractAuthToken


class User(AbstractUser):
    """One person or program that logs in; staff see every network.

    Made in the admin, by commands, and by who accepts an invitation or, where that is allowed, registers; deleted in
    the admin.

    limits: what the token allows by which this very object was found; None for whoever logged in as a person.
    """

    limits: "TokenLimits | None" = None


class Role(models.TextChoices):
    """What a member may do, each including the one before it."""

    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # also configures, handles alerts, manages sensors and rules
    OWNER = "owner"  # also manages members and deletes

    @property
    def rank(self) -> int:
        """The role's place in the order of rights, 0 for the least."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How much of its user's rights a token has: at most `role`, in `network_ids` only (None: in all of them).

    name: the token's, for the audit log.
    """

    role: Role
    network_ids: frozenset[int] | None
    name: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it has all of them."""
        return self.role is Role.OWNER and self.network_ids is None


class TokenScope(models.TextChoices):
    """How much of its user's rights a token has in a network."""

    READ = "read"  # what a viewer may
    OPERATE = "operate"  # what an operator may, if its user is one
    ADMIN = "admin"  # whatever its user may

    @property
    def role(self) -> Role:
        """The role that it has at most."""
        return {"read": Role.VIEWER, "operate": Role.OPERATOR, "admin": Role.OWNER}[self.value]


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
    """One token of one user, stored as a hash. Made by a login over REST, by its user, or by `create_token`."""

    # Its name in addresses: the primary key is the hash.
    handle = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100, blank=True, help_text="What the token is for.")
    scope = models.CharField(
        max_length=7, choices=TokenScope.choices, default=TokenScope.ADMIN, db_default=TokenScope.ADMIN
    )
    # Of networks that were deleted too; ids are not used again.
    network_ids = ArrayField(models.BigIntegerField(), null=True, blank=True)
    # To the minute: not every request writes a row.
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created"]
        constraints = [
            models.CheckConstraint(condition=models.Q(scope__in=TokenScope.values), name="token_scope_is_known"),
        ]

    @property
    def limits(self) -> TokenLimits:
        """What it allows."""
        ids = None if self.network_ids is None else frozenset(self.network_ids)
        # What has no name of its own has its user's, which may be longer than an audit entry holds.
        return TokenLimits(TokenScope(self.scope).role, ids, name=str(self)[:100])

    def __str__(self) -> str:
        return self.name or f"token of {self.user}"
