"""Makes the files of accounts of a mosquitto broker."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleet.mqtt.accounts import Login, write_accounts
from fleet.mqtt.address import BrokerAddress
from sensors.services.credentials import hashed_secrets


class Command(BaseCommand):
    help = (
        "Writes mosquitto's password file, access list and the file of its dynamic-security plugin into a directory,"
        " with the bridge's account: the login of MQTT_URL. Run it before the broker starts. Sensors' accounts are made"
        " while it runs, by `manage.py credentials`, the API or the dashboard; only if the broker has lost them does"
        " --rebuild write them anew, from the hashes in the database. After changes to passwords or access list send"
        " mosquitto SIGHUP; after --rebuild restart it."
    )
    # The bridge's account is made before the database is migrated.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", metavar="DIR", type=Path, required=True, help="where the three files live")
        parser.add_argument(
            "--rebuild", action="store_true", help="also write the accounts of all sensors that have a credential"
        )
        parser.add_argument("--json", action="store_true", help='print {"reload", "restart", "accounts"}')

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["write"]
        try:
            address = BrokerAddress.from_url(settings.MQTT_URL)
            if not address.username or not address.password:
                raise CommandError("MQTT_URL names no user and password: mqtt://fleet-bridge:PASSWORD@HOST:PORT")
            outcome = write_accounts(
                directory,
                bridge=Login(address.username, address.password),
                accounts=hashed_secrets() if options["rebuild"] else None,
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{directory} cannot be written: {error}") from error
        if options["json"]:
            done = {"reload": outcome.reload, "restart": outcome.restart, "accounts": outcome.accounts}
            self.stdout.write(json.dumps(done))
        elif outcome.restart:
            self.stdout.write(f"Wrote {directory} with {outcome.accounts} sensors' accounts; (re)start mosquitto.")
        elif outcome.reload:
            self.stdout.write(f"Wrote {directory}; send mosquitto SIGHUP to make it take them.")
        else:
            self.stdout.write(f"{directory} was up to date.")
