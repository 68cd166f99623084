"""Simulated sensors in the database: without a row there, the service refuses what they send."""

from collections.abc import Sequence
from typing import Final

from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from fleet.simulator.configuration import HEARTBEAT_INTERVAL_S
from sensors.errors import DomainError, IdentifierTaken
from sensors.models import Network, Sensor
from sensors.services import create_sensor

GRACE_S: Final = 30
# A replayed sensor is heard during a replay only; its silence for a day says nothing.
REPLAY_PERIOD_S: Final = 86_400
MAX_LISTED: Final = 10


class RegistryError(Exception):
    """Sensors that cannot be simulated as asked; the text says which, why and what to do."""


def unregistered(identifiers: Sequence[str]) -> list[str]:
    """Return those of `identifiers` that are no sensor of the database, in their order."""
    known = set(Sensor.objects.filter(identifier__in=identifiers).values_list("identifier", flat=True))
    return [identifier for identifier in identifiers if identifier not in known]


def find_network(slug: str) -> Network:
    """Return the network; raise RegistryError with those that there are."""
    network = Network.objects.filter(slug=slug).first()
    if network is None:
        there = ", ".join(Network.objects.order_by("slug").values_list("slug", flat=True)[:MAX_LISTED]) or "none yet"
        raise RegistryError(
            f"there is no network {slug!r}; there are: {there}. Make it on the pages or by POST /api/v1/networks/, "
            "or use --demo"
        )
    return network


def register_sensors(network: Network, identifiers: Sequence[str], *, interval_s: float) -> int:
    """Create those of `identifiers` that are missing in `network`; return how many were.

    Raises RegistryError if one of them is a sensor of another network: nobody wants simulated values there.
    """
    check_network(network, identifiers)
    missing = unregistered(identifiers)
    for identifier in missing:
        _create(
            network,
            identifier,
            name=f"Simulated sensor {identifier}",
            labels={"simulated": True},
            period_s=expected_period_s(interval_s),
        )
    return len(missing)


def register_replayed(network: Network, identifier: str, *, file_name: str) -> bool:
    """Create the sensor of a replay in `network` if it is missing; return whether it was."""
    check_network(network, [identifier])
    if not unregistered([identifier]):
        return False
    _create(
        network,
        identifier,
        name=f"Replayed {file_name}"[:200],
        labels={"replayed": True},
        period_s=REPLAY_PERIOD_S,
    )
    return True


def check_network(network: Network, identifiers: Sequence[str]) -> None:
    """Raise RegistryError if one of `identifiers` is a sensor of another network than `network`."""
    elsewhere = Sensor.objects.filter(identifier__in=identifiers).exclude(network=network)
    taken = list(elsewhere.order_by("identifier").values_list("identifier", flat=True)[:MAX_LISTED])
    if taken:
        raise RegistryError(
            f"{', '.join(taken)}: already in another network than {network.slug!r}; choose another --prefix or --sensor"
        )


def expected_period_s(interval_s: float) -> int:
    """Return how often a simulated sensor with this interval is heard at least, in whole seconds."""
    return max(1, round(max(HEARTBEAT_INTERVAL_S, interval_s)))


def forget_database() -> None:
    """Give the database connections back; a simulation that runs for days needs none."""
    wrapper = connections["default"]
    if isinstance(wrapper, DatabaseWrapper) and not wrapper.in_atomic_block:
        wrapper.close()
        wrapper.close_pool()


def _create(
    network: Network, identifier: str, *, name: str, labels: dict[str, str | int | float | bool], period_s: int
) -> None:
    try:
        create_sensor(network, identifier=identifier, name=name, labels=labels, period_s=period_s, grace_s=GRACE_S)
    except IdentifierTaken:
        # Another simulator was quicker; in which network is looked at next time.
        return
    except DomainError as error:
        raise RegistryError(f"{identifier}: {error.detail}") from error
