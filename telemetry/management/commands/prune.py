"""`manage.py prune`: delete telemetry that is kept no longer."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from telemetry.retention import Report, Step, prune, purge_deleted_sensors


class Command(BaseCommand):
    """Delete telemetry older than its network keeps it, and that of deleted sensors.

    A network's retention_days says how long, else RETENTION_DAYS, else it is kept for ever. The schedule does
    the same every night; use this after shortening a retention, or with --dry-run to see what would go.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--dry-run", action="store_true", help="Count, and delete nothing.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *, dry_run: bool, **options: Any) -> None:
        """Prune and purge, and print what was done."""
        now = timezone.now()
        pruned, purged = prune(now=now, dry_run=dry_run), purge_deleted_sensors(now=now, dry_run=dry_run)
        report = Report(dry_run, [*pruned.steps, *purged.steps])
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), cls=DjangoJSONEncoder))
            return
        for step in report.steps:
            self.stdout.write(_line(step))
        would = "would be" if dry_run else "were"
        self.stdout.write(f"{report.rows:,} rows {would} deleted.")


def _line(step: Step) -> str:
    if step.network is not None:
        whose = f"network {step.network}"
    elif step.sensor is not None:
        whose = f"deleted sensor {step.sensor}"
    else:
        whose = "everybody"
    before = "" if step.before is None else f", before {step.before:%Y-%m-%d %H:%M} UTC"
    return f"{step.action:6} {step.table}: {step.rows:,} rows of {whose}{before}"
