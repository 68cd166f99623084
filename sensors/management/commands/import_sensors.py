"""`manage.py import_sensors`: many sensors at once, from a file."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from sensors.errors import DomainError
from sensors.management.lookups import network_named
from sensors.provisioning import Provisioned, provision_sensors, read_csv


class Command(BaseCommand):
    """Make the sensors that a CSV or JSON file lists, in one network.

    CSV has a head: identifier, name, gateway, period_s, grace_s, label:KEY; JSON is a list of objects with these names
    and labels. A row that is wrong is named with its reason and costs only itself. With --credentials each gets a
    login, printed this once. Ends with 0 if all were made, with 1 if some were refused.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("file", type=Path, metavar="FILE", help="ends in .csv or .json; - is CSV on standard input")
        parser.add_argument("--network", required=True, metavar="SLUG", help="the network of all of them")
        parser.add_argument("--credentials", action="store_true", help="issue a login for each and print it")
        parser.add_argument("--json", action="store_true", help="print a list with what became of each row")

    def handle(self, *, file: Path, network: str, credentials: bool, **options: Any) -> None:
        """Make them and print what became of each."""
        home = network_named(network)
        shown: list[Provisioned] = []
        try:
            rows = self._rows(file)
            for result in provision_sensors(home, rows, with_credentials=credentials, author=None, now=timezone.now()):
                shown.append(result)
                if not options["json"]:
                    self._print(result)
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            self.stdout.write(json.dumps([result.as_dict() for result in shown]))
        refused = sum(result.errors is not None for result in shown)
        self.stderr.write(f"{len(shown) - refused} sensors were made, {refused} rows refused.")
        if refused:
            sys.exit(1)

    def _rows(self, file: Path) -> list[Any]:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from error
        if file.suffix != ".json":
            return read_csv(text)
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise CommandError(f"{file} is no JSON: {error}") from error
        if not isinstance(rows, list):
            raise CommandError(f"{file} is no list of sensors")
        return rows

    def _print(self, result: Provisioned) -> None:
        if result.errors is not None:
            reasons = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in result.errors.items())
            self.stderr.write(f"row {result.number} ({result.identifier or 'without an identifier'}): {reasons}")
        elif result.login is not None:
            self.stdout.write(f"{result.login.username} {result.login.password}")
        else:
            self.stdout.write(result.identifier)
