"""Every read of networks, gateways and sensors that is shown or judged."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth.models import AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual

from sensors.models import (
    AccessToken,
    AuditEntry,
    Claim,
    ClaimCode,
    ClaimState,
    Gateway,
    Invitation,
    InvitationState,
    Membership,
    Network,
    Role,
    Sensor,
    ServiceTick,
    TokenLimits,
    User,
    Watermark,
)

STATUSES: Final = ("new", "up", "late", "down")

if TYPE_CHECKING:
    AnyUser = User | AnonymousUser
else:
    AnyUser = Any


def visible_networks(user: AnyUser) -> QuerySet[Network]:
    """Return the networks that `user` may see: all for staff, else those with a membership; none for nobody."""
    return Network.objects.filter(_visible(user, "pk"))


def visible_sensors(user: AnyUser) -> QuerySet[Sensor]:
    """Return the sensors of the networks that `user` may see."""
    return Sensor.objects.filter(_visible(user, "network_id"))


def visible_gateways(user: AnyUser) -> QuerySet[Gateway]:
    """Return the gateways of the networks that `user` may see."""
    return Gateway.objects.filter(_visible(user, "network_id"))


def visible_claims(user: AnyUser) -> QuerySet[Claim]:
    """Return the claims in the networks that `user` may see, with what a list of them shows.

    is_known: whether a sensor of the network has the identifier; waiting_alike: how many claims in the network wait for
    it. Nothing is told of other networks.
    """
    same = {"network": OuterRef("network"), "identifier": OuterRef("identifier")}
    alike = Claim.objects.filter(state=ClaimState.WAITING, **same).order_by().values("network")
    return (
        Claim.objects.filter(_visible(user, "network_id"))
        .select_related("network", "code", "decided_by")
        .annotate(
            is_known=Exists(Sensor.objects.filter(**same)),
            waiting_alike=Coalesce(Subquery(alike.annotate(number=Count("pk")).values("number")), 0),
        )
    )


def visible_claim_codes(user: AnyUser) -> QuerySet[ClaimCode]:
    """Return the claim codes of the networks that `user` may see, with how many claims wait by each."""
    codes = ClaimCode.objects.filter(_visible(user, "network_id"))
    return with_waiting(codes.select_related("network", "created_by"))


def with_waiting(codes: QuerySet[ClaimCode]) -> QuerySet[Any]:
    """Return `codes` with `waiting`: how many claims wait by each."""
    return codes.annotate(waiting=Count("claims", filter=Q(claims__state=ClaimState.WAITING)))


def waiting_claims(user: AnyUser) -> int:
    """Return how many claims wait in the networks that `user` may see."""
    return Claim.objects.filter(_visible(user, "network_id"), state=ClaimState.WAITING).count()


def matching(rows: QuerySet, text: str, *fields: str) -> QuerySet:
    """Return the rows with `text` in one of `fields`, whatever its case."""
    condition = Q()
    for field in fields:
        condition |= Q(**{f"{field}__icontains": text})
    return rows.filter(condition)


def visible(user: AnyUser, queryset: QuerySet, *, network: str = "network_id") -> QuerySet:
    """Return the rows of `queryset` that `user` may see; `network` is the path to their network's id."""
    return queryset.filter(_visible(user, network))


def role_in(user: AnyUser, network: Network | int) -> Role | None:
    """Return what `user` may do in `network` (or its id): staff act as owners, others as their membership says.

    Who came by a token may do no more than the token.
    """
    if not user.is_active or not user.is_authenticated:
        return None
    limits = limits_of(user)
    network_id = network.pk if isinstance(network, Network) else network
    if limits is not None and limits.network_ids is not None and network_id not in limits.network_ids:
        return None
    role: Role | str | None = Role.OWNER
    if not user.is_staff:
        role = Membership.objects.filter(user=user, network_id=network_id).values_list("role", flat=True).first()
    return None if role is None else limited(Role(role), user)


def limited(role: Role, user: AnyUser) -> Role:
    """Return `role`, or the lesser one of the token by which `user` came."""
    limits = limits_of(user)
    return role if limits is None else min(role, limits.role, key=lambda each: each.rank)


def limits_of(user: AnyUser) -> TokenLimits | None:
    """Return what the token allows by which `user` came; None for who came by a session."""
    return user.limits if isinstance(user, User) else None


def sees_everything(user: AnyUser) -> bool:
    """Return whether `user` may see what belongs to no network, and all networks at once: staff."""
    limits = limits_of(user)
    return bool(user.is_active and user.is_staff and (limits is None or limits.network_ids is None))


def visible_audit_entries(user: AnyUser) -> QuerySet[AuditEntry]:
    """Return the entries of the audit log that `user` may see: of networks that they own; all for staff.

    What they did to their own account and tokens belongs to no network; they see that too, and nothing else of their
    doing in networks that they left. A token bound to networks sees only those, and one without its user's whole
    rights nothing.
    """
    limits = limits_of(user)
    if not user.is_active or (limits is not None and limits.role is not Role.OWNER):
        return AuditEntry.objects.none()
    if sees_everything(user):
        return AuditEntry.objects.all()
    memberships = Membership.objects.filter(user_id=user.pk, role=Role.OWNER)
    owned = Network.objects.all() if user.is_staff else Network.objects.filter(memberships__in=memberships)
    condition = Q(network_id__in=visible(user, owned, network="pk").values("pk"))
    if limits is None or limits.network_ids is None:
        personal = ContentType.objects.get_for_models(User, AccessToken).values()
        condition |= Q(network_id=None, actor_id=user.pk, content_type__in=personal)
    return AuditEntry.objects.filter(condition)


def owner_ids(network_id: int) -> frozenset[int]:
    """Return the ids of the users who own the network."""
    owners = Membership.objects.filter(network_id=network_id, role=Role.OWNER)
    return frozenset(owners.values_list("user_id", flat=True))


def invitation_state(invitation: Invitation, *, now: datetime, owners: frozenset[int] | None = None) -> InvitationState:
    """Return what became of the invitation; owners: `owner_ids` of its network, where they are known.

    Nobody gives what they do not have any more. An ownership that ends withdraws it for good; while its maker is
    deactivated, or no staff any more, it only looks so.
    """
    if invitation.accepted_at is not None:
        return InvitationState.ACCEPTED
    if invitation.revoked_at is not None or not _may_invite(invitation, owners):
        return InvitationState.REVOKED
    return InvitationState.OPEN if now < invitation.expires_at else InvitationState.EXPIRED


def judged_at(now: datetime) -> datetime:
    """Return the moment up to which silence may be judged: `now`, or the least watermark if that is earlier.

    While a bridge is away or behind, what its sensors sent may wait at the broker, so nobody becomes silent.
    A bridge that has never caught up judges nobody: the year 1. Without any bridge it is `now`.
    """
    return least_mark(Watermark.objects.values_list("drained_until", flat=True), now=now)


def least_mark(drained_until: Iterable[datetime | None], *, now: datetime) -> datetime:
    """Return what `judged_at` says where these are the bridges' watermarks; None: it has never caught up."""
    return min([now, *(datetime.min.replace(tzinfo=UTC) if at is None else at for at in drained_until)])


@dataclass(frozen=True, slots=True)
class BridgeMark:
    """How far the bridge of one shard (I/N) is.

    drained_until: up to when it has stored everything; None if it never caught up. seen_at: when it was last at work,
    None if it does not say; is_connected: whether it had its connection to the broker then.
    """

    shard: str
    drained_until: datetime | None
    seen_at: datetime | None
    is_connected: bool


def bridge_marks() -> list[BridgeMark]:
    """Return how far the bridges are, by shard; two queries."""
    marks = dict(Watermark.objects.order_by("shard").values_list("shard", "drained_until"))
    ticks = {tick.name: tick for tick in ServiceTick.objects.filter(name__in=[f"bridge {shard}" for shard in marks])}
    found = []
    for shard, drained_until in marks.items():
        tick = ticks.get(f"bridge {shard}")
        is_connected = tick is not None and bool(tick.detail.get("connected"))
        found.append(BridgeMark(shard, drained_until, tick.at if tick else None, is_connected))
    return found


def status_of(last_seen_at: datetime | None, period_s: int, grace_s: int, *, at: datetime) -> str:
    """Return new (never heard), up (heard within its period), late (within its grace) or down, judged at `at`.

    The same rule as `with_status`; both bounds are still inside.
    """
    if last_seen_at is None:
        return "new"
    silent_for = at - last_seen_at
    if silent_for <= timedelta(seconds=period_s):
        return "up"
    return "late" if silent_for <= timedelta(seconds=period_s + grace_s) else "down"


def with_status(sensors: QuerySet[Sensor], *, at: datetime) -> QuerySet[Any]:
    """Return `sensors` with `status` as `status_of` gives it, computed and therefore filterable in SQL."""
    last_seen_at = F("state__last_seen_at")
    moment = Value(at, output_field=DateTimeField())

    def after(seconds: Any) -> ExpressionWrapper:
        length = ExpressionWrapper(seconds * Value(timedelta(seconds=1)), output_field=DurationField())
        return ExpressionWrapper(last_seen_at + length, output_field=DateTimeField())

    return sensors.annotate(
        status=Case(
            When(state__last_seen_at__isnull=True, then=Value("new")),
            When(GreaterThanOrEqual(after(F("period_s")), moment), then=Value("up")),
            When(GreaterThanOrEqual(after(F("period_s") + F("grace_s")), moment), then=Value("late")),
            default=Value("down"),
            output_field=CharField(),
        )
    )


def status_counts(sensors: QuerySet[Sensor], *, at: datetime) -> dict[str, int]:
    """Return how many of `sensors` are new, up, late and down; each key is there, also with 0."""
    counted = with_status(sensors, at=at).order_by().values_list("status").annotate(number=Count("pk"))
    return dict.fromkeys(STATUSES, 0) | dict(counted)


def _may_invite(invitation: Invitation, owners: frozenset[int] | None) -> bool:
    author = invitation.created_by
    if author is None:
        return True
    if not author.is_active or author.is_staff:
        return author.is_active
    return author.pk in (owner_ids(invitation.network_id) if owners is None else owners)


def _visible(user: AnyUser, path: str) -> Q:
    if not user.is_active or not user.is_authenticated:
        return Q(pk__in=[])
    limits = limits_of(user)
    bound = Q()
    if limits is not None and limits.network_ids is not None:
        bound = Q(**{f"{path}__in": sorted(limits.network_ids)})
    if user.is_staff:
        return bound
    return bound & Q(**{f"{path}__in": Membership.objects.filter(user=user).values("network_id")})
