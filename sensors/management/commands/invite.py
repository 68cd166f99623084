"""`manage.py invite`: a link by which somebody joins a network."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from sensors import mail
from sensors.errors import DomainError
from sensors.invitations import invitation_path, mail_invitation
from sensors.management.lookups import network_named
from sensors.management.output import time_text
from sensors.models import Role
from sensors.services import create_invitation
from sensors.services.invitations import DEFAULT_DAYS, MAX_DAYS


class Command(BaseCommand):
    """Invite somebody into a network: print a link that works once, for who has an account and who has none.

    Without PUBLIC_URL it is a path only, which is not mailed: put the service's address before it. Invitations are
    listed and withdrawn in the dashboard (Networks, Members, Invite by a link) and over REST.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("network", metavar="NETWORK", help="Short name of the network.")
        parser.add_argument("--role", choices=Role.values, default=Role.VIEWER, help="What they may do in it.")
        parser.add_argument("--email", default="", help="The link is sent there, too, where there is a mail server.")
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help=f"How long it is good: 1 to {MAX_DAYS}.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object with url, token, expires_at.")

    def handle(self, *, network: str, role: str, email: str, days: int, **options: Any) -> None:
        """Make the invitation and print its link."""
        found = network_named(network)
        if email and not settings.PUBLIC_URL:
            raise CommandError("Set PUBLIC_URL, or the mail would not say at which address the link is; or go without.")
        try:
            invitation, secret = create_invitation(
                found, role=role, author=None, email=email, days=days, now=timezone.now()
            )
        except DomainError as error:
            raise CommandError(error.detail) from error
        url = mail.link(invitation_path(secret))
        mailed = mail_invitation(invitation, url)
        if email and not mailed:
            self.stderr.write(
                "Nothing was mailed: there is no mail server (EMAIL_URL). Give the link to them yourself."
            )
        if options["json"]:
            expires_at = time_text(invitation.expires_at)
            body = {"url": url, "token": secret, "role": role, "expires_at": expires_at, "mailed": mailed}
            self.stdout.write(json.dumps(body))
        else:
            self.stdout.write(url)
