"""`manage.py reset_second_factor`: lets somebody in who lost phone and recovery codes."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from fleet.accounts.second_factor import turn_off
from sensors.management.lookups import user_named


class Command(BaseCommand):
    """Switch off a user's two-factor authentication, and end their sessions; the password alone logs them in.

    Make sure that it is them who asks: it takes away what protects them from who knows their password.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("username", metavar="USER")

    def handle(self, *, username: str, **options: object) -> None:
        """Switch it off."""
        user = user_named(username)
        ended = turn_off(user)
        if ended is None:
            raise CommandError(f"{username} has no second factor.")
        self.stdout.write(f"{username} logs in with the password alone; {ended} sessions ended.")
