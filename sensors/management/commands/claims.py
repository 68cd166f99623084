"""`manage.py claims`: sensors that introduced themselves, and what becomes of them."""

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from sensors.management.lookups import network_named
from sensors.management.output import time_text
from sensors.models import Claim, ClaimState
from sensors.services import decide_claims


class Command(BaseCommand):
    """List, approve or refuse the claims of sensors that wait to be admitted.

    Each stands alone; ends with 1 if one could not be decided. An admitted device fetches its login itself when it asks
    next, within seconds.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("action", choices=["list", "approve", "refuse"])
        parser.add_argument(
            "ids", nargs="*", type=int, metavar="ID", help="approve, refuse: which, as `list` shows them"
        )
        parser.add_argument("--network", metavar="SLUG", help="list: of this network only")
        parser.add_argument("--all", action="store_true", help="list: also those that were decided")
        parser.add_argument(
            "--replace", action="store_true", help="approve: where there is such a sensor, the device becomes it"
        )
        parser.add_argument("--json", action="store_true", help="print a list of objects")

    def handle(self, *, action: str, ids: list[int], **options: Any) -> None:
        """Do it."""
        if options["replace"] and action != "approve":
            raise CommandError("--replace belongs to approve")
        if action == "list":
            if ids:
                raise CommandError("list takes no ids")
            self._list(**options)
            return
        if not ids:
            raise CommandError(f"which? {action} ID …, as `list` shows them")
        rows = Claim.objects.in_bulk(ids)
        for number in ids:
            if number not in rows:
                raise CommandError(f"there is no claim {number}")
        results = decide_claims(
            [rows[number] for number in dict.fromkeys(ids)],
            approve=action == "approve",
            replace=options["replace"],
            author=None,
            now=timezone.now(),
        )
        if options["json"]:
            shown = [
                {"id": each.id, "identifier": each.identifier, "state": each.state, "error": each.error}
                for each in results
            ]
            self.stdout.write(json.dumps(shown))
        else:
            for each in results:
                if each.error is None:
                    self.stdout.write(f"{each.id} {each.identifier} {each.state}")
                else:
                    self.stderr.write(f"{each.id} {each.identifier}: {each.error}")
        if any(each.error is not None for each in results):
            sys.exit(1)

    def _list(self, *, network: str | None, **options: Any) -> None:
        claims = Claim.objects.select_related("network", "code")
        if not options["all"]:
            claims = claims.filter(state=ClaimState.WAITING)
        if network:
            claims = claims.filter(network=network_named(network))
        rows = [
            {
                "id": claim.pk,
                "identifier": claim.identifier,
                "state": claim.state,
                "network": claim.network.slug,
                "code": claim.code.name,
                "address": claim.address,
                "name": claim.name,
                "first_asked_at": time_text(claim.first_asked_at),
                "last_asked_at": time_text(claim.last_asked_at),
            }
            for claim in claims
        ]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            self.stdout.write(
                f"{row['id']} {row['identifier']} {row['state']} {row['network']}, by {row['code']!r} from"
                f" {row['address'] or 'an unknown address'}, last asked {row['last_asked_at']}"
            )
