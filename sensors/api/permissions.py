"""Who may do what over HTTP: an object of somebody else's network is 404, one's own with too low a role 403."""

from typing import Any, cast

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from sensors import queries
from sensors.models import Network, Role, Sensor, User


class NetworkPermission(BasePermission):
    """Lets members do what their role in the object's network allows; staff may do all.

    Reading needs membership, which the view's queryset already demands (`sensors.queries.visible`: 404). Any other
    method needs the view's `write_role` (operator), DELETE its `delete_role` (by default the same). The network is
    `obj.network`, or what the view's `network_of(obj)` returns.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return whether there is a user at all (otherwise the answer is 401); a token may be for reading only."""
        if not (request.user and request.user.is_authenticated):
            return False
        limits = queries.limits_of(request.user)
        if limits is not None and limits.role is Role.VIEWER and request.method not in SAFE_METHODS:
            raise PermissionDenied("This token may only read.")
        return True

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """Return True, or raise PermissionDenied that names the role that is missing."""
        if request.method in SAFE_METHODS:
            return True
        network_of = getattr(view, "network_of", None)
        network = network_of(obj) if network_of else obj.network
        role = getattr(view, "write_role", Role.OPERATOR)
        if request.method == "DELETE":
            role = getattr(view, "delete_role", role)
        require_role(request, network, role)
        return True


def require_role(request: Request, network: Network | int, role: Role) -> None:
    """Raise PermissionDenied unless the caller has at least `role` in `network` (or its id)."""
    actual = queries.role_in(request.user, network)
    if actual is None or actual.rank < role.rank:
        have = "no role" if actual is None else f"the role {actual.value}"
        by = "" if queries.limits_of(request.user) is None else ", as far as this token goes"
        raise PermissionDenied(f"This needs the role {role.value} in the network; you have {have}{by}.")


def require_whole(request: Request) -> None:
    """Raise PermissionDenied for who came by a token that does not have all of its user's rights."""
    limits = queries.limits_of(request.user)
    if limits is not None and not limits.is_whole:
        raise PermissionDenied("This needs a token with the scope admin that is bound to no network.")


def caller(request: Request) -> User:
    """Return the user of a request that a permission has let through, and who is therefore not anonymous."""
    return cast(User, request.user)


def visible_or_404(queryset: QuerySet, what: str, **lookup: Any) -> Any:
    """Return the one row of `queryset` (already limited to what the caller may see); NotFound names `what`."""
    name = str(next(iter(lookup.values())))
    # A NUL in a path names nothing, and the database would not even take the question.
    row = None if "\x00" in name else queryset.filter(**lookup).first()
    if row is None:
        raise NotFound(f"No {what} {name[:100]!r} that you may see.")
    return row


def visible_sensor(request: Request, identifier: str, *, role: Role = Role.VIEWER) -> Sensor:
    """Return the sensor for a nested route: 404 if invisible, 403 if `role` is not reached.

    With its network where more than reading is asked; who only reads has no use for it.
    """
    sensors = queries.visible_sensors(request.user)
    if role is not Role.VIEWER:
        sensors = sensors.select_related("network")
    sensor: Sensor = visible_or_404(sensors, "sensor", identifier=identifier)
    if role is not Role.VIEWER:
        require_role(request, sensor.network, role)
    return sensor


def visible_network(request: Request, slug: str, *, role: Role = Role.VIEWER) -> Network:
    """Return the network for a nested route: 404 if invisible, 403 if `role` is not reached."""
    network: Network = visible_or_404(queries.visible_networks(request.user), "network", slug=slug)
    if role is not Role.VIEWER:
        require_role(request, network, role)
    return network
