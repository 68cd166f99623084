"""The demo network: gateways, sensors with first configurations, and rules. Made once, kept as people change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from alerts.demo import create_demo_rules
from config.models import Revision
from config.services import create_revision
from fleet.simulator.registry import GRACE_S, RegistryError, check_network, expected_period_s
from fleet.simulator.signals import ATTRIBUTE_NAMES
from sensors.errors import DomainError, IdentifierTaken
from sensors.models import Gateway, Network, Role, Sensor, User
from sensors.services import create_gateway, create_network, create_sensor, set_member

SLUG: Final = "demo"
NAME: Final = "Demo network"
OWNER: Final = "admin"
GATEWAYS: Final = (("demo-gateway-1", "Simulated gateway, north"), ("demo-gateway-2", "Simulated gateway, south"))
ROOMS_PER_FLOOR: Final = 10


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was created; zeros when all of it was there."""

    sensors: int
    gateways: int
    revisions: int
    rules: int

    def line(self) -> str:
        """Return one line for people."""
        if not (self.sensors or self.gateways or self.revisions or self.rules):
            return f"The network {SLUG} is there already."
        return (
            f"Network {SLUG}: created {self.gateways} gateways, {self.sensors} sensors, "
            f"{self.revisions} first configurations, {self.rules} rules."
        )


def seed_demo(identifiers: Sequence[str], *, interval_s: float, now: datetime) -> Seeded:
    """Make what is missing of the demo network, with a sensor for each identifier; return what was made.

    Safe to repeat and to run twice at once. Nothing that exists is changed: names, configurations and rules stay
    as people made them, and a rule that somebody deleted comes back only when all are gone. The user `admin` becomes
    the owner if the network has no member. Raises RegistryError if an identifier belongs to another network.
    """
    try:
        try:
            return _seed(identifiers, interval_s=interval_s, now=now)
        except IdentifierTaken:
            # Another simulator started at the same moment and was quicker; now its rows are there.
            return _seed(identifiers, interval_s=interval_s, now=now)
    except DomainError as error:
        raise RegistryError(f"the demo network cannot be made: {error.detail}") from error


@transaction.atomic
def _seed(identifiers: Sequence[str], *, interval_s: float, now: datetime) -> Seeded:
    network = _network()
    check_network(network, identifiers)
    gateways, gateways_made = _gateways(network)
    sensors = {sensor.identifier: sensor for sensor in Sensor.objects.filter(identifier__in=identifiers)}
    missing = [identifier for identifier in identifiers if identifier not in sensors]
    for identifier in missing:
        number = identifiers.index(identifier)
        floor, room = divmod(number, ROOMS_PER_FLOOR)
        sensors[identifier] = create_sensor(
            network,
            identifier=identifier,
            name=f"Simulated room sensor {number + 1}",
            gateway=gateways[number % len(gateways)] if gateways else None,
            labels={"floor": str(floor + 1), "room": f"{floor + 1}{room + 1:02d}", "simulated": True},
            period_s=expected_period_s(interval_s),
            grace_s=GRACE_S,
        )
    return Seeded(
        sensors=len(missing),
        gateways=gateways_made,
        revisions=_revisions(list(sensors.values()), interval_s=interval_s, now=now),
        rules=len(create_demo_rules(network)),
    )


def _network() -> Network:
    owner = User.objects.filter(username=OWNER).first()
    network = Network.objects.filter(slug=SLUG).first()
    if network is None:
        network = create_network(slug=SLUG, name=NAME, owner=owner)
    elif owner is not None and not network.memberships.exists():
        set_member(network, user=owner, role=Role.OWNER)
    # A second simulator that starts at the same moment waits here and then finds everything.
    return Network.objects.select_for_update(no_key=True).get(pk=network.pk)


def _gateways(network: Network) -> tuple[list[Gateway], int]:
    there = list(network.gateways.order_by("identifier"))
    if there:
        return there, 0
    return [create_gateway(network, identifier=identifier, name=name) for identifier, name in GATEWAYS], len(GATEWAYS)


def _revisions(sensors: Sequence[Sensor], *, interval_s: float, now: datetime) -> int:
    configured = set(Revision.objects.filter(sensor__in=sensors).values_list("sensor_id", flat=True))
    bare = [sensor for sensor in sensors if sensor.pk not in configured]
    for sensor in bare:
        create_revision(
            sensor,
            values={"interval_s": interval_s, "attributes": ",".join(ATTRIBUTE_NAMES)},
            comment="First configuration of a simulated sensor",
            author=None,
            now=now,
        )
    return len(bare)
