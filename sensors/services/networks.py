"""Networks and who may do what in them."""

from typing import Any, Final

from django.db import transaction
from django.db.models.functions import Now

from sensors.errors import Conflict, Invalid, NotFound
from sensors.models import Invitation, Membership, Network, Role, Sensor, User
from sensors.services.checks import (
    MAX_INTERVAL_FACTOR,
    MAX_RETENTION_DAYS,
    check_span,
    clean,
    unique,
)

_RETENTIONS: Final = ("retention_days", "rollup_retention_days")
# What may be said of a network besides its names.
SETTINGS: Final = (*_RETENTIONS, "interval_attribute", "interval_factor", "new_sensors", "new_after_s")


def create_network(*, slug: str, name: str = "", owner: User | None, **settings: Any) -> Network:
    """Return the new network, owned by `owner` if given; its name defaults to its slug.

    settings: any of SETTINGS. Raises Invalid and IdentifierTaken, naming the field.
    """
    network = Network(slug=slug, name=name or slug, **settings)
    _clean_network(network, "slug", "name", *SETTINGS)
    with unique("slug", slug):
        network.save(force_insert=True)
        if owner is not None:
            Membership.objects.create(network=network, user=owner, role=Role.OWNER)
    return network


def update_network(network: Network, **changes: Any) -> Network:
    """Return the network with its name and SETTINGS changed as given. The slug never changes.

    What alters how long its sensors may be silent is applied by the next sweep (a trigger notes the sensors).
    """
    _refuse_others(changes, {"name", *SETTINGS})
    for field, value in changes.items():
        setattr(network, field, value)
    _clean_network(network, *changes)
    if changes:
        network.save(update_fields=list(changes))
    return network


def delete_network(network: Network) -> None:
    """Delete the network with all that belongs to it; its sensors leave tombstones, telemetry is purged later."""
    with transaction.atomic():
        # First and by id, as the evaluation does: rows that point at the sensors come after them.
        list(Sensor.objects.select_for_update().filter(network=network).order_by("pk").values_list("pk"))
        network.delete()


def set_member(network: Network, *, user: User, role: Role | str) -> tuple[Membership, bool]:
    """Return the user's membership with `role`, and whether it is new.

    An owner's open invitations end with their ownership. Raises Conflict where the network would be left without an
    owner. Safe against two owners who demote each other at once.
    """
    if role not in Role.values:
        raise Invalid(f"{role!r} is none of {', '.join(Role.values)}.", field="role")
    with transaction.atomic():
        lock_members(network)
        membership = Membership.objects.filter(network=network, user=user).first()
        if membership is None:
            return Membership.objects.create(network=network, user=user, role=role), True
        if membership.role != role:
            if membership.role == Role.OWNER:
                _keep_an_owner(network, without=user)
            membership.role = Role(role)
            membership.save(update_fields=["role"])
            end_invitations(network)
        return membership, False


def remove_member(network: Network, *, user: User) -> None:
    """End the user's membership, and an owner's open invitations with it.

    Raises NotFound without one, Conflict for the last owner.
    """
    with transaction.atomic():
        lock_members(network)
        membership = Membership.objects.filter(network=network, user=user).first()
        if membership is None:
            raise NotFound(f"{user} is no member of {network.slug}.")
        if membership.role == Role.OWNER:
            _keep_an_owner(network, without=user)
        membership.delete()
        end_invitations(network)


def end_invitations(network: Network) -> None:
    """Withdraw the open invitations of those who do not own the network any more and are no staff.

    For good: they would be open again as soon as their maker is an owner again, with nobody to know of them.
    """
    owners = Membership.objects.filter(network=network, role=Role.OWNER).values("user")
    rows = Invitation.objects.filter(network=network, accepted_at=None, revoked_at=None, created_by__is_staff=False)
    rows.exclude(created_by__in=owners).update(revoked_at=Now())


def hand_over_network(network: Network, *, from_user: User, to_user: User) -> tuple[Membership, Membership | None]:
    """Make `to_user` an owner and `from_user`, who was one, an operator; return their memberships.

    Staff who own nothing have nothing to give away: for them the second is None. Raises Conflict for others who do
    not own it (any more), Invalid where it is handed to oneself or to somebody inactive.
    """
    if to_user.pk == from_user.pk:
        raise Invalid("You own it already; hand it over to somebody else.", field="user")
    if not to_user.is_active:
        raise Invalid(f"{to_user.get_username()} is inactive and could do nothing with it.", field="user")
    with transaction.atomic():
        lock_members(network)
        owns = Membership.objects.filter(network=network, user=from_user, role=Role.OWNER).exists()
        if not owns and not from_user.is_staff:
            raise Conflict(f"{from_user.get_username()} does not own {network.slug}.")
        taken, _ = set_member(network, user=to_user, role=Role.OWNER)
        given = set_member(network, user=from_user, role=Role.OPERATOR)[0] if owns else None
        return taken, given


def _clean_network(network: Network, *fields: str) -> None:
    clean(network, *fields)
    for field in _RETENTIONS:
        if (getattr(network, field) or 0) > MAX_RETENTION_DAYS:
            raise Invalid(f"At most {MAX_RETENTION_DAYS} days; null keeps for ever.", field=field)
    telemetry, rollups = network.retention_days, network.rollup_retention_days
    if telemetry is not None and rollups is not None and rollups < telemetry:
        raise Invalid(
            f"{rollups} is less than the {telemetry} days of retention_days; summaries are kept at least as long.",
            field="rollup_retention_days",
        )
    # NaN is refused too: it compares as false.
    if not 1 <= network.interval_factor <= MAX_INTERVAL_FACTOR:
        raise Invalid(
            f"{network.interval_factor} is not from 1 to {MAX_INTERVAL_FACTOR}; it multiplies the measuring interval.",
            field="interval_factor",
        )
    check_span(network.new_after_s, field="new_after_s", least=1)


def lock_members(network: Network) -> None:
    """Let changes of one network's members wait for each other."""
    if Network.objects.select_for_update(no_key=True).filter(pk=network.pk).first() is None:
        raise NotFound(f"The network {network.slug} was deleted.")


def _keep_an_owner(network: Network, *, without: User) -> None:
    others = Membership.objects.filter(network=network, role=Role.OWNER).exclude(user=without)
    if not others.exists():
        raise Conflict("A network keeps at least one owner; make somebody else an owner first.")


def _refuse_others(changes: dict[str, Any], allowed: set[str]) -> None:
    for field in changes.keys() - allowed:
        raise Invalid("This never changes.", field=field)
