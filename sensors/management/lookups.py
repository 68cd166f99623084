"""What commands are told by name: the row, or an error that says which names there are."""

from typing import Final

from django.core.management.base import CommandError

from sensors.models import Network, User

# A line that a person still reads.
_NAMED: Final = 10


def network_named(slug: str) -> Network:
    """Return the network; raises CommandError, which lists some that there are."""
    network = Network.objects.filter(slug=slug).first()
    if network is None:
        there = list(Network.objects.order_by("slug").values_list("slug", flat=True)[: _NAMED + 1])
        listed = ", ".join(there[:_NAMED]) or "none yet"
        raise CommandError(f"There is no network {slug!r}; there are: {listed}{', …' if len(there) > _NAMED else ''}.")
    return network


def user_named(username: str) -> User:
    """Return the user; raises CommandError."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r}; users are made in the admin or by createsuperuser.")
    return user
