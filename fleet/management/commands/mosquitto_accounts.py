"""Makes the accounts of a mosquitto broker: the bridge's and the sensors'."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleet.mqtt.accounts import Login, read_passwords, write_accounts
from fleet.mqtt.address import BrokerAddress
from sensors.models import Sensor


class Command(BaseCommand):
    help = (
        "Writes mosquitto's password file and access list into a directory. Always makes the bridge's"
        " account, with the login of MQTT_URL; with --sensor or --all also those of sensors (username ="
        " identifier), whose new secrets are printed once, on standard output, and kept nowhere. Afterwards"
        " send mosquitto SIGHUP."
    )
    # The bridge's account is made before the database is migrated.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", metavar="DIR", type=Path, required=True, help="where the two files live")
        parser.add_argument(
            "--sensor",
            metavar="ID",
            action="append",
            default=[],
            help="a sensor that needs an account; repeatable",
        )
        parser.add_argument("--all", action="store_true", help="every sensor that has none yet")
        parser.add_argument(
            "--rotate", action="store_true", help="a new secret also for those chosen that have an account"
        )
        parser.add_argument("--remove", metavar="ID", action="append", default=[], help="an account to end; repeatable")
        parser.add_argument(
            "--json",
            action="store_true",
            help='print [{"username", "password"}] instead of one line per account',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rotate"] and not (options["sensor"] or options["all"]):
            raise CommandError("--rotate needs --sensor ID or --all; the bridge's password is that of MQTT_URL")
        directory: Path = options["write"]
        try:
            address = BrokerAddress.from_url(settings.MQTT_URL)
            if not address.username or not address.password:
                raise CommandError("MQTT_URL names no user and password: mqtt://fleet-bridge:PASSWORD@HOST:PORT")
            bridge = Login(address.username, address.password)
            missing = set(options["remove"]) - read_passwords(directory).keys()
            if missing:
                raise CommandError(f"no account to remove: {', '.join(sorted(missing))}")
            wanted = self._identifiers(options["sensor"], every=options["all"])
            if options["all"] and bridge.username in wanted:
                self.stderr.write(f"Sensor {bridge.username!r} gets no account: the name is the bridge's.")
                wanted.remove(bridge.username)
            outcome = write_accounts(
                directory, bridge=bridge, wanted=wanted, unwanted=options["remove"], rotate=options["rotate"]
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{directory} cannot be written: {error}") from error

        if options["json"]:
            logins = [{"username": login.username, "password": login.password} for login in outcome.issued]
            self.stdout.write(json.dumps(logins))
        else:
            for login in outcome.issued:
                self.stdout.write(f"{login.username} {login.password}")
        if outcome.kept:
            self.stderr.write(f"{len(outcome.kept)} had an account already; --rotate gives new secrets.")
        if outcome.removed:
            self.stderr.write(f"Removed: {', '.join(outcome.removed)}")
        self.stderr.write(
            f"Wrote {directory}; send mosquitto SIGHUP to make it take them."
            if outcome.changed
            else f"{directory} was up to date."
        )

    def _identifiers(self, named: list[str], *, every: bool) -> list[str]:
        """Return the chosen sensors' identifiers; CommandError for one that does not exist."""
        if not named and not every:
            return []
        sensors = Sensor.objects.order_by("identifier")
        if not every:
            sensors = sensors.filter(identifier__in=named)
        found = list(sensors.values_list("identifier", flat=True))
        unknown = sorted(set(named) - set(found))
        if unknown:
            raise CommandError(f"no such sensor: {', '.join(unknown)}; create it first")
        return found
