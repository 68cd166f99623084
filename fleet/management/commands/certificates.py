"""`manage.py certificates`: what MQTT over TLS needs, and when it ends."""

import json
import math
import socket
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from fleet.mqtt.certificate_folder import RENEWED_BEFORE, CertificateFolder, Held
from fleet.mqtt.certificates import AUTHORITY_DAYS, DAYS, LOOPBACK_NAMES, CertificateError, usable_names

EXIT_ENDS_SOON: Final = 3
DAY: Final = timedelta(days=1)


class Command(BaseCommand):
    """Makes a private authority, the broker's certificate and sensors' certificates; shows when they end."""

    help = (
        "Make what MQTT over TLS needs, in one folder: a small authority of your own, the broker's certificate,\n"
        "and with --client certificates by which sensors show who they are. What is there stays: run it as often\n"
        "as you like. The broker's certificate is made anew when it ends within 30 days, or lacks a name.\n\n"
        "  manage.py certificates --name fleet.example.org   the broker will be reached by that name\n"
        "  manage.py certificates --client boiler-1          and a sensor shall have a certificate\n"
        "  manage.py certificates --renew                    a new one for the broker, now\n"
        "  manage.py certificates --check                    for a monitor: exit code 3 if one ends within 30 days\n\n"
        "In the folder: ca.crt is for sensors to trust and no secret; server.crt and server.key are the broker's;\n"
        "authority/ca.key signs all of them and is needed here only while something is made: keep authority/\n"
        "where the broker cannot read it. authority/clients/ has the pairs to hand to sensors. Keys have mode 600\n"
        "and are never printed. The broker takes a new certificate when it is restarted.\n\n"
        "`manage.py up` looks after its own folder by itself. Sensors that trust the operating system's authorities\n"
        "need none of this: give the broker a certificate of one of those (docs/deployment.md).\n\n"
        "Exit codes: 0 done, 1 wrong arguments or files, 3 --check found one that has ended or will soon."
    )
    # The broker's certificate is made before the database is migrated.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument(
            "--folder",
            metavar="DIR",
            type=Path,
            help="where the certificates are (default: `certificates` in FLEET_DATA_DIR, which `up` uses)",
        )
        parser.add_argument(
            "--name",
            metavar="NAME",
            action="append",
            default=[],
            help="a host name or IP address by which sensors reach the broker; repeatable (default: FLEET_MQTT_NAMES,"
            " or else ALLOWED_HOSTS, or this machine's name). localhost, 127.0.0.1 and ::1 are always"
            " added, and names that it had stay: to lose one, delete server.crt first",
        )
        parser.add_argument(
            "--client",
            metavar="ID",
            action="append",
            default=[],
            help="a sensor that shall have a certificate with its identifier as common name; repeatable",
        )
        parser.add_argument(
            "--days",
            metavar="N",
            type=_days,
            default=DAYS,
            help=f"how long new certificates are valid ({DAYS}; the authority: ten years)",
        )
        parser.add_argument(
            "--renew",
            action="store_true",
            help="make the broker's certificate anew, with --client those of the sensors instead. The authority stays,"
            " so sensors notice nothing",
        )
        parser.add_argument(
            "--replace-ca",
            action="store_true",
            help="a new authority, and with it a new certificate for the broker: every sensor needs the new ca.crt, and"
            " clients' certificates are worth nothing until they are made again",
        )
        parser.add_argument("--show", action="store_true", help="only say what is there and when it ends")
        parser.add_argument("--check", action="store_true", help="the same, and exit with 3 if something ends soon")
        parser.add_argument(
            "--within-days",
            metavar="N",
            type=_days,
            default=RENEWED_BEFORE.days,
            help=f"what --check takes for soon ({RENEWED_BEFORE.days})",
        )
        parser.add_argument("--json", action="store_true", help="print paths, subjects, names and ends as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make or show, then say what is there."""
        looks = options["show"] or options["check"]
        if looks and (options["name"] or options["client"] or options["renew"] or options["replace_ca"]):
            raise CommandError("--show and --check change nothing; leave out --name, --client, --renew, --replace-ca")
        folder = CertificateFolder(options["folder"] or settings.FLEET_DATA_DIR / "certificates")
        now = timezone.now()
        try:
            made = [] if looks else self._make(folder, options, now)
            held = folder.held()
        except CertificateError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{folder.root}: {error}") from error
        if looks and not held:
            raise CommandError(
                f"there are no certificates in {folder.root}; without --show and --check this makes them"
            )
        self._tell(folder, held, made=made, now=now, as_json=options["json"])
        soon = timedelta(days=options["within_days"])
        if options["check"] and any(each.ends_within(soon, now=now) for each in held):
            sys.exit(EXIT_ENDS_SOON)

    def _make(self, folder: CertificateFolder, options: dict[str, Any], now: datetime) -> list[Path]:
        if reserved := sorted(settings.MQTT_RESERVED_USERNAMES & set(options["client"])):
            raise CommandError(
                f"{reserved[0]!r} is a login of the service itself: no sensor may show itself as that one"
            )
        return folder.write(
            names=[*(options["name"] or _default_names(folder)), *LOOPBACK_NAMES],
            clients=options["client"],
            now=now,
            days=options["days"],
            renew=options["renew"],
            replace_authority=options["replace_ca"],
        )

    def _tell(
        self, folder: CertificateFolder, held: list[Held], *, made: Collection[Path], now: datetime, as_json: bool
    ) -> None:
        if as_json:
            certificates = [_as_dict(each, made=each.path in made, now=now) for each in held]
            self.stdout.write(json.dumps({"folder": str(folder.root), "certificates": certificates}))
        else:
            for each in held:
                self.stdout.write(_line(each, made=each.path in made, now=now))
        for each in held:
            if each.ends_within(RENEWED_BEFORE, now=now):
                self.stderr.write(f"{each.path} {_end(each, now=now)}.")
            if each.is_foreign:
                self.stderr.write(f"{each.path} is not signed by the authority here.")
        if folder.server in made:
            self.stderr.write("Restart the broker to let it take its new certificate.")


def _default_names(folder: CertificateFolder) -> list[str]:
    if settings.MQTT_NAMES:
        return list(settings.MQTT_NAMES)
    hosts: list[str] = []
    for host in settings.ALLOWED_HOSTS:
        # Django's way to write a domain with all that is below it.
        hosts += [host[1:], f"*{host}"] if host.startswith(".") else [host]
    names = [name for name in usable_names(hosts) if name not in LOOPBACK_NAMES]
    # Once only: a container has another one at every run.
    return names if names or folder.server.exists() else usable_names([socket.gethostname()])


def _days_left(held: Held, *, now: datetime) -> int:
    return math.floor((held.facts.ends_at - now) / DAY)


def _end(held: Held, *, now: datetime) -> str:
    left, date = _days_left(held, now=now), f"{held.facts.ends_at:%Y-%m-%d}"
    return f"ended on {date}" if left < 0 else f"ends on {date}, in {left} days"


def _line(held: Held, *, made: bool, now: datetime) -> str:
    names = f" for {', '.join(held.facts.names)}" if held.facts.names else ""
    return f"{held.kind:<9} {held.path}: {held.facts.subject}{names}; {_end(held, now=now)}{'; new' if made else ''}"


def _as_dict(held: Held, *, made: bool, now: datetime) -> dict[str, Any]:
    return {
        "kind": held.kind,
        "path": str(held.path),
        "key": str(held.key) if held.key.exists() else None,
        "subject": held.facts.subject,
        "names": list(held.facts.names),
        "not_before": held.facts.not_before.isoformat(),
        "ends_at": held.facts.ends_at.isoformat(),
        "days_left": _days_left(held, now=now),
        "foreign": held.is_foreign,
        "new": made,
    }


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= AUTHORITY_DAYS:
        raise ArgumentTypeError(f"{text!r} is no number of days from 1 to {AUTHORITY_DAYS}")
    return int(text)
