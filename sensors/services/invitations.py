"""Invitations: links by which people come into a network."""

import hashlib
import re
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from sensors.errors import Conflict, Forbidden, Invalid, NotFound
from sensors.models import Invitation, InvitationState, Membership, Network, Role, User
from sensors.queries import invitation_state
from sensors.secrets import new_secret
from sensors.services.checks import clean
from sensors.services.networks import lock_members, set_member

DEFAULT_DAYS: Final = 7
MAX_DAYS: Final = 90
# How long one that is over is listed, with the address that it was sent to, for those who ask what became of it.
REMEMBERED_FOR: Final = timedelta(days=30)
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{20,64}")
_REFUSALS: Final = {
    InvitationState.ACCEPTED: "This invitation was used already; each works once.",
    InvitationState.REVOKED: "This invitation was withdrawn.",
    InvitationState.EXPIRED: "This invitation has expired.",
}


def create_invitation(
    network: Network,
    *,
    role: Role | str,
    author: User | None,
    now: datetime,
    email: str = "",
    days: int = DEFAULT_DAYS,
) -> tuple[Invitation, str]:
    """Return the new invitation and its secret, which is stored nowhere and never shown again.

    author: whose rights stand behind it; None for a shell. Raises Invalid, naming the field.
    """
    if role not in Role.values:
        raise Invalid(f"{role!r} is none of {', '.join(Role.values)}.", field="role")
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} is not from 1 to {MAX_DAYS} days.", field="days")
    secret = new_secret()
    invitation = Invitation(
        network=network, role=Role(role), digest=_digest(secret), email=email, created_by=author, created_at=now,
        expires_at=now + timedelta(days=days),
    )  # fmt: skip
    clean(invitation, "email")
    with transaction.atomic():
        lock_members(network)
        invitation.save(force_insert=True)
    return invitation, secret


def revoke_invitation(invitation: Invitation, *, now: datetime) -> Invitation:
    """Return the invitation, which lets nobody in any more. Raises Conflict if somebody has accepted it."""
    with transaction.atomic():
        lock_members(invitation.network)
        row = Invitation.objects.filter(pk=invitation.pk).first()
        if row is None:
            raise NotFound("This invitation is not there any more.")
        if row.accepted_at is not None:
            raise Conflict("Somebody has accepted it; remove the member instead.")
        if row.revoked_at is None:
            row.revoked_at = now
            row.save(update_fields=["revoked_at"])
    return row


def find_invitation(secret: str) -> Invitation:
    """Return the invitation of a link, in whatever state; raises NotFound."""
    found = None
    if _SECRET.fullmatch(secret):
        rows = Invitation.objects.select_related("network", "created_by")
        found = rows.filter(digest=_digest(secret)).first()
    if found is None:
        raise NotFound("There is no such invitation. Links are long: perhaps a part of it is missing.")
    return found


def refuse_unless_open(invitation: Invitation, *, now: datetime) -> None:
    """Raise Conflict, which says why, unless somebody may still accept it."""
    refusal = _REFUSALS.get(invitation_state(invitation, now=now))
    if refusal:
        raise Conflict(f"{refusal} Ask an owner of the network for a new one.")


def accept_invitation(secret: str, *, user: User, now: datetime) -> tuple[Membership, bool]:
    """Return the user's membership after accepting, and whether the invitation was used for it.

    A role is never lowered: whoever has as much already keeps it, and leaves the invitation to whom it is for. Of two
    who accept at once one does. Raises NotFound, Conflict (expired, used, withdrawn) and Forbidden (inactive).
    """
    invitation = find_invitation(secret)
    if not user.is_active:
        raise Forbidden(f"{user.get_username()} is inactive.")
    with transaction.atomic():
        lock_members(invitation.network)
        # Again, behind the lock: another one may have been quicker.
        invitation = find_invitation(secret)
        refuse_unless_open(invitation, now=now)
        role = Role(invitation.role)
        membership = Membership.objects.filter(network=invitation.network, user=user).first()
        if membership is not None and Role(membership.role).rank >= role.rank:
            return membership, False
        membership, _ = set_member(invitation.network, user=user, role=role)
        invitation.accepted_by, invitation.accepted_at = user, now
        invitation.save(update_fields=["accepted_by", "accepted_at"])
        return membership, True


def forget_invitations(*, now: datetime) -> int:
    """Delete the invitations that were over REMEMBERED_FOR ago; return how many there were."""
    long_ago = now - REMEMBERED_FOR
    over = Q(accepted_at__lt=long_ago) | Q(revoked_at__lt=long_ago) | Q(expires_at__lt=long_ago)
    forgotten, _ = Invitation.objects.filter(over).delete()
    return forgotten


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
