"""`manage.py claim_codes`: codes by which sensors may ask for a place in a network."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from sensors.errors import DomainError
from sensors.management.lookups import network_named
from sensors.management.output import time_text
from sensors.models import ClaimCode
from sensors.queries import with_waiting
from sensors.services import create_claim_code, revoke_claim_code
from sensors.services.claims import DEFAULT_DAYS


class Command(BaseCommand):
    """Make, list or revoke the codes by which sensors introduce themselves.

    `create` prints the code, this once; put it on the devices, which ask at POST /api/v1/claims/ and wait until
    somebody admits them (the page Claims of the dashboard, or `manage.py claims`). `revoke ID` ends a code and refuses
    what waits by it; who was admitted stays.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("action", choices=["create", "list", "revoke"])
        parser.add_argument("id", nargs="?", type=int, help="revoke: which, as `list` shows it")
        parser.add_argument("--network", metavar="SLUG", help="of a new code; or list those of this network only")
        parser.add_argument("--name", default="", help="what a new code is for")
        parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help=f"how long it is valid ({DEFAULT_DAYS})")
        parser.add_argument("--endless", action="store_true", help="valid until it is revoked")
        parser.add_argument("--max-sensors", type=int, metavar="N", help="admits so many at most; without: any number")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *, action: str, **options: Any) -> None:
        """Do it."""
        if options["id"] is not None and action != "revoke":
            raise CommandError(f"{action} takes no id")
        try:
            if action == "create":
                self._create(**options)
            elif action == "list":
                self._list(**options)
            else:
                self._revoke(options["id"])
        except DomainError as error:
            raise CommandError(error.detail) from error

    def _create(self, *, network: str | None, name: str, **options: Any) -> None:
        if not network or not name:
            raise CommandError("name its network and what it is for: create --network SLUG --name TEXT")
        home = network_named(network)
        row, code = create_claim_code(
            home,
            name=name,
            days=None if options["endless"] else options["days"],
            max_sensors=options["max_sensors"],
            author=None,
            now=timezone.now(),
        )
        if options["json"]:
            self.stdout.write(json.dumps({"code": code, **_row(row)}))
        else:
            self.stdout.write(code)

    def _list(self, *, network: str | None, **options: Any) -> None:
        codes = ClaimCode.objects.select_related("network")
        if network:
            codes = codes.filter(network=network_named(network))
        rows = [{**_row(code), "waiting": code.waiting} for code in with_waiting(codes.order_by("-pk"))]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            limit = f" of {row['max_sensors']}" if row["max_sensors"] else ""
            self.stdout.write(
                f"{row['id']} {row['prefix']}… {row['state']} {row['network']}: {row['name']}"
                f" ({row['used']}{limit} admitted, {row['waiting']} waiting)"
            )

    def _revoke(self, number: int | None) -> None:
        if number is None:
            raise CommandError("which? revoke ID, as `list` shows it")
        code = ClaimCode.objects.filter(pk=number).first()
        if code is None:
            raise CommandError(f"there is no claim code {number}")
        revoke_claim_code(code, author=None, now=timezone.now())


def _row(code: ClaimCode) -> dict[str, Any]:
    return {
        "id": code.pk,
        "network": code.network.slug,
        "name": code.name,
        "prefix": code.prefix,
        "state": str(code.state(now=timezone.now())),
        "used": code.used,
        "max_sensors": code.max_sensors,
        "expires_at": time_text(code.expires_at),
    }
