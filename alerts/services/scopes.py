"""From what a caller names (network, sensors or labels) to the scope of a rule, within what they operate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from alerts.models import Rule, RuleScope
from alerts.queries import sensors_in_scope
from alerts.services.operated import only_operated_network, require_operator
from sensors import queries as sensors_queries
from sensors.errors import Invalid
from sensors.models import Network, Sensor
from sensors.queries import AnyUser
from sensors.services.checks import check_labels


@dataclass(frozen=True, slots=True)
class Scope:
    """Which sensors of which network a rule is to cover."""

    network: Network
    scope: RuleScope
    sensors: Sequence[Sensor] = ()
    labels: Mapping[str, Any] | None = None

    def covered(self, *, kind: str) -> QuerySet[Sensor]:
        """Return the sensors that a rule of this kind would cover now."""
        return sensors_in_scope(
            self.network,
            kind=kind,
            scope=self.scope,
            labels=self.labels,
            listed=[sensor.pk for sensor in self.sensors],
        )


def find_scope(
    user: AnyUser,
    *,
    network: str | None = None,
    sensors: Sequence[str] | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Scope:
    """Return the scope that `network` (slug), `sensors` (identifiers) or `labels` name.

    Sensors are all of one network; labels need a network unless the caller operates exactly one. Raises Invalid
    naming the field, also for what the caller may not see, and Forbidden where they are no operator.
    """
    if sensors is not None and labels is not None:
        raise Invalid("Give sensors or labels, not both.", field="labels")
    place = None if network is None else _visible_network(user, network)
    if sensors is not None:
        found = _visible_sensors(user, sensors, place)
        require_operator(user, found[0].network)
        return Scope(found[0].network, RuleScope.SENSORS, sensors=found)
    if labels is not None:
        checked = check_scope_labels(labels)
        if place is None:
            why = "name the one whose sensors the labels select."
            place = only_operated_network(user, field="network", why=why)
        require_operator(user, place)
        return Scope(place, RuleScope.LABELS, labels=checked)
    if place is None:
        raise Invalid("Name a network, sensors or labels.", field="network")
    require_operator(user, place)
    return Scope(place, RuleScope.NETWORK)


def scope_of(rule: Rule) -> Scope:
    """Return the scope of a saved rule."""
    sensors = list(rule.sensors.all()) if rule.scope == RuleScope.SENSORS else []
    return Scope(rule.network, RuleScope(rule.scope), sensors=sensors, labels=rule.labels)


def check_scope_labels(labels: object) -> dict[str, Any]:
    """Return `labels` if they select something; raise Invalid otherwise."""
    checked = check_labels(labels)
    if not checked:
        raise Invalid("No label selects every sensor; name the network instead.", field="labels")
    return checked


def _visible_network(user: AnyUser, slug: str) -> Network:
    network = sensors_queries.visible_networks(user).filter(slug=slug).first()
    if network is None:
        raise Invalid(f"There is no network {slug[:100]!r} that you may see.", field="network")
    return network


def _visible_sensors(user: AnyUser, identifiers: Sequence[str], network: Network | None) -> list[Sensor]:
    if not identifiers:
        raise Invalid("Name at least one sensor.", field="sensors")
    wanted = set(identifiers)
    found = list(
        sensors_queries.visible_sensors(user)
        .filter(identifier__in=wanted)
        .select_related("network")
        .order_by("identifier")
    )
    missing = sorted(wanted - {sensor.identifier for sensor in found})
    if missing:
        raise Invalid(f"There is no sensor {missing[0][:100]!r} that you may see.", field="sensors")
    home = network or found[0].network
    for sensor in found:
        if sensor.network_id != home.pk:
            raise Invalid(
                f"All sensors of a rule are in one network; {sensor.identifier} is in {sensor.network.slug},"
                f" not in {home.slug}.",
                field="sensors",
            )
    return found
