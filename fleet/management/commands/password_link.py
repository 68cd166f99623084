"""`manage.py password_link`: a link by which a user sets a password."""

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from fleet.accounts.links import password_link
from sensors.errors import DomainError
from sensors.management.lookups import user_named


class Command(BaseCommand):
    """Print a link by which a user sets a password, the first one or another; it works once, for three days.

    For who cannot log in and has no e-mail address. Without PUBLIC_URL it is a path only: put the service's address
    before it. A second factor stays on; `manage.py reset_second_factor` ends it.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("username", metavar="USER")

    def handle(self, *, username: str, **options: object) -> None:
        """Make the link and print it."""
        try:
            self.stdout.write(password_link(user_named(username)))
        except DomainError as error:
            raise CommandError(error.detail) from error
