"""In which networks a caller may act."""

from sensors import queries as sensors_queries
from sensors.errors import Forbidden, Invalid
from sensors.models import Membership, Network, Role, User
from sensors.queries import AnyUser


def only_operated_network(user: AnyUser, *, field: str, why: str) -> Network:
    """Return the one network that `user` operates; Invalid, naming `field` and saying `why`, for none or several."""
    networks = sensors_queries.visible_networks(user)
    if sensors_queries.limited(Role.OWNER, user) is Role.VIEWER:
        networks = networks.none()
    if isinstance(user, User) and not user.is_staff:
        operated = Membership.objects.filter(user=user, role__in=[Role.OPERATOR, Role.OWNER])
        networks = networks.filter(pk__in=operated.values("network_id"))
    found = list(networks[:2])
    if len(found) != 1:
        have = "You operate no network" if not found else "You operate several networks"
        raise Invalid(f"{have}: {why}", field=field)
    return found[0]


def require_operator(user: AnyUser, network: Network) -> None:
    """Raise Forbidden unless `user` is at least operator in `network`."""
    role = sensors_queries.role_in(user, network)
    if role is None or role.rank < Role.OPERATOR.rank:
        have = "no role" if role is None else f"the role {role.value}"
        raise Forbidden(f"This needs the role operator in the network {network.slug}; you have {have}.")
