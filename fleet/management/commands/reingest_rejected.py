"""`manage.py reingest_rejected`: take rejected messages in again, once the cause is mended."""

import argparse
import json
import time
from datetime import datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from fleet.ingest.again import Report, reingest, reingestible
from sensors.models import Sensor
from sensors.wire import Reason, is_identifier
from telemetry.times import parse_time

LEFT: Final = 3
_PROGRESS_EVERY_S: Final = 2.0


class Command(BaseCommand):
    """Take rejected messages in again, once the cause is mended."""

    help = (
        "Store what was rejected, once the cause is mended: the sensor was made, a limit was raised, a new release\n"
        "understands more. Takes all rejected messages that were kept whole, or those chosen by the options.\n\n"
        "What goes in is stored as received when it first came, and its row is deleted. It is history: no sign of\n"
        "life, no alerts, no answer to a configuration. What is refused again stays, with its reason of now; of a\n"
        "message with good and bad entries the bad ones stay. Stop it at any time and run it again: a row goes only\n"
        "after its entries are stored, and what is stored already is not stored twice. The service may go on.\n\n"
        "Exit codes: 0 all went in (or nothing was to do, or --dry-run), 1 wrong arguments or the database is away,\n"
        f"{LEFT} some were refused again, or came once more meanwhile, and stay."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("--sensor", action="append", default=[], metavar="ID", help="Identifier; repeatable.")
        parser.add_argument(
            "--reason",
            action="append",
            default=[],
            choices=[reason.value for reason in Reason],
            metavar="REASON",
            help="Why it was rejected, like unknown_sensor (docs/mqtt.md lists them); repeatable.",
        )
        parser.add_argument("--since", type=_time, help="Last seen at or after this, like 2026-03-01T00:00:00Z.")
        parser.add_argument("--until", type=_time, help="Last seen before this.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would go in, and store nothing.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, sensor: list[str], reason: list[str], dry_run: bool, **options: Any) -> None:
        """Take them in and say what became of them."""
        since, until = options["since"], options["until"]
        if since and until and since >= until:
            raise CommandError("--until must be after --since.")
        for identifier in sensor:
            if not is_identifier(identifier):
                raise CommandError(f"{identifier!r} cannot be a sensor's identifier.")
        rows = reingestible(sensors=sensor, reasons=[Reason(each) for each in reason], since=since, until=until)
        try:
            missing = set(sensor) - set(
                Sensor.objects.filter(identifier__in=sensor).values_list("identifier", flat=True)
            )
            if missing:
                raise CommandError(f"There is no sensor {', '.join(sorted(missing))}; make it first.")
            report = reingest(rows, now=timezone.now(), dry_run=dry_run, progress=self._progress())
        except (DatabaseError, InterfaceError) as error:
            why = str(error).splitlines()[0]
            raise CommandError(f"The database refused: {why}. Nothing is lost; run it again.") from error
        self.stdout.write(json.dumps(report.as_dict()) if options["json"] else _words(report))
        left = report.changed + report.refused.total()
        if left and not dry_run:
            raise CommandError(f"{left:,} stay rejected.", returncode=LEFT)

    def _progress(self) -> Any:
        told_at = time.monotonic()

        def tell(report: Report) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= _PROGRESS_EVERY_S:
                told_at = time.monotonic()
                self.stderr.write(f"{report.rows:,} rejected messages, {report.taken:,} went in …")

        return tell


def _words(report: Report) -> str:
    lines = [f"{report.rows:,} rejected messages were looked at."]
    if report.dry_run:
        lines.append(f"{report.taken:,} would go in.")
    else:
        lines.append(f"{report.taken:,} went in: {report.stored:,} entries new, {report.duplicates:,} known already.")
    if report.entries_refused:
        lines.append(f"{report.entries_refused:,} entries of them are rejected on their own.")
    lines += [f"{number:,} refused as {reason}." for reason, number in sorted(report.refused.items())]
    if report.changed:
        lines.append(f"{report.changed:,} came once more meanwhile.")
    return "\n".join(lines)


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
