"""`manage.py create_token`: an API token for a user, for programs that cannot log in."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sensors.errors import DomainError
from sensors.management.lookups import user_named
from sensors.management.output import time_text
from sensors.models import TokenScope
from sensors.queries import visible_networks
from sensors.services import create_token


class Command(BaseCommand):
    """Make an API token for a user and print it; it is stored as a hash and cannot be shown again.

    Use it for programs, with no more rights than they need; a person logs in at POST /api/v1/auth/token/. End tokens in
    the admin, or by DELETE /api/v1/tokens/HANDLE/.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--user", required=True, help="Username of whom the token acts as.")
        parser.add_argument("--name", default="", help="What the token is for; shown in the admin.")
        parser.add_argument("--days", type=int, default=None, help="How long it is valid; without: until deleted.")
        parser.add_argument(
            "--scope",
            choices=TokenScope.values,
            default=TokenScope.ADMIN,
            help="How much of the user's rights it has: what viewers may, what operators may, or all.",
        )
        parser.add_argument(
            "--network", metavar="SLUG", action="append", help="It works in this network only; repeatable."
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object with token and expires_at.")

    def handle(self, *, user: str, name: str, days: int | None, scope: str, **options: Any) -> None:
        """Make the token and print it."""
        owner = user_named(user)
        networks = None
        if slugs := options["network"]:
            networks = list(visible_networks(owner).filter(slug__in=slugs))
            missing = set(slugs) - {network.slug for network in networks}
            if missing:
                raise CommandError(f"{user} sees no network {', '.join(sorted(missing))}")
        try:
            token, secret = create_token(owner, name=name, days=days, scope=scope, networks=networks)
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            self.stdout.write(json.dumps({"token": secret, "expires_at": time_text(token.expiry)}))
        else:
            self.stdout.write(secret)
