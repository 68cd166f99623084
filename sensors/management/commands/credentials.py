"""`manage.py credentials`: with what sensors log in at the broker."""

import csv
import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db.models import QuerySet
from django.utils import timezone

from sensors.errors import DomainError
from sensors.management.lookups import network_named
from sensors.management.output import time_text
from sensors.models import Sensor, SensorCredential
from sensors.services import issue_credentials, revoke_credential

# Hashed, sealed and committed together; a second or so.
AT_ONCE: Final = 1_000


class Command(BaseCommand):
    """List, issue, rotate or revoke the credentials with which sensors log in at the broker.

    `issue` gives one to the chosen sensors that have none, and with --rotate a new one to all of them, which ends the
    older ones and their connections. Passwords are printed once, on standard output, and kept nowhere in clear:
    `identifier password` in each line, or with --json or --csv. The username and the only client id are the
    identifier. The broker takes them within seconds while the bridge runs, or at once if it asks (MQTT_ACCOUNTS);
    `list` says how far each is.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("action", choices=["list", "issue", "revoke"])
        parser.add_argument(
            "--sensor", metavar="ID", action="append", default=[], help="one sensor by its identifier; repeatable"
        )
        parser.add_argument("--network", metavar="SLUG", help="all sensors of this network")
        parser.add_argument("--all", action="store_true", help="all sensors")
        parser.add_argument("--rotate", action="store_true", help="issue: also to those that have one")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print a list of objects")
        form.add_argument("--csv", action="store_true", help="print a table with a head")

    def handle(self, *, action: str, **options: Any) -> None:
        """Choose the sensors and do it."""
        if options["rotate"] and action != "issue":
            raise CommandError("--rotate belongs to issue")
        sensors = self._chosen(options)
        if action == "list":
            self._list(sensors, **options)
        elif action == "issue":
            self._issue(sensors, **options)
        else:
            self._revoke(sensors, **options)

    def _chosen(self, options: dict[str, Any]) -> QuerySet[Sensor]:
        named, network = set(options["sensor"]), options["network"]
        if sum(map(bool, (named, network, options["all"]))) != 1:
            raise CommandError("choose the sensors by one of --sensor, --network and --all")
        sensors = Sensor.objects.select_related("credential").order_by("identifier")
        if network:
            sensors = sensors.filter(network=network_named(network))
        if named:
            sensors = sensors.filter(identifier__in=named)
            missing = named - set(sensors.values_list("identifier", flat=True))
            if missing:
                raise CommandError(f"no such sensor: {', '.join(sorted(missing))}; create it first")
        return sensors

    def _list(self, sensors: QuerySet[Sensor], **options: Any) -> None:
        rows = []
        for sensor in sensors.iterator(chunk_size=AT_ONCE):
            credential: SensorCredential | None = getattr(sensor, "credential", None)
            rows.append(
                {
                    "sensor": sensor.identifier,
                    "state": str(credential.state) if credential else "none",
                    "changed_at": time_text(credential.changed_at) if credential else None,
                }
            )
        self._print(rows, **options)

    def _issue(self, sensors: QuerySet[Sensor], *, rotate: bool, **options: Any) -> None:
        chosen = [
            sensor
            for sensor in sensors.iterator(chunk_size=AT_ONCE)
            if rotate or not getattr(getattr(sensor, "credential", None), "secret_hash", "")
        ]
        rows: list[dict[str, Any]] = []
        for start in range(0, len(chosen), AT_ONCE):
            try:
                logins = issue_credentials(chosen[start : start + AT_ONCE], author=None, now=timezone.now())
            except DomainError as error:
                self._print(rows, **options)
                raise CommandError(error.detail) from error
            rows += [{"username": login.username, "password": login.password} for login in logins]
        self._print(rows, **options)
        kept = sensors.count() - len(chosen)
        if kept:
            self.stderr.write(f"{kept} had one already; --rotate gives new ones.")

    def _revoke(self, sensors: QuerySet[Sensor], **options: Any) -> None:
        rows = []
        for sensor in sensors:
            try:
                credential = revoke_credential(sensor, author=None, now=timezone.now())
            except DomainError as error:
                self.stderr.write(error.detail)
                continue
            rows.append({"sensor": sensor.identifier, "state": str(credential.state)})
        self._print(rows, **options)

    def _print(self, rows: list[dict[str, Any]], **options: Any) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows))
        elif options["csv"]:
            if rows:
                writer = csv.DictWriter(self.stdout, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        else:
            for row in rows:
                self.stdout.write(" ".join(str(value) for value in row.values() if value is not None))
