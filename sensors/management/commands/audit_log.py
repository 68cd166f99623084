"""`manage.py audit_log`: who changed what, as a file; and letting old entries go."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from sensors.history import csv_head, csv_lines, ndjson_lines, next_entries
from sensors.models import AuditEntry
from sensors.services.audit import prune_audit_log


class Command(BaseCommand):
    """Write the audit log to the standard output, newest first, or delete its old entries.

    `export` writes NDJSON, one entry a line, or with --csv a line for each changed field. `prune` deletes what is older
    than --before, for good, and leaves an entry that says so; it asks first, unless --yes is given. Entries are deleted
    in no other way, and never by themselves.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("action", choices=["export", "prune"])
        parser.add_argument("--network", metavar="SLUG", help="export: of this network only")
        parser.add_argument("--start", metavar="DATE", type=_day, help="export: from this day on, as 2026-03-01")
        parser.add_argument("--before", metavar="DATE", type=_day, help="before this day; days begin at midnight UTC")
        parser.add_argument("--csv", action="store_true", help="export: CSV instead of NDJSON")
        parser.add_argument("--yes", action="store_true", help="prune: do not ask")

    def handle(self, *, action: str, before: datetime | None, **options: Any) -> None:
        """Export or prune."""
        if action == "prune":
            # Otherwise somebody would believe that the others' entries stay.
            if misplaced := [name for name in ("network", "start", "csv") if options[name]]:
                raise CommandError(f"--{misplaced[0]} belongs to export; prune deletes the entries of all networks")
            self._prune(before, sure=options["yes"])
            return
        entries = AuditEntry.objects.all()
        for field, value in (
            ("network_slug", options["network"]),
            ("timestamp__gte", options["start"]),
            ("timestamp__lt", before),
        ):
            if value is not None:
                entries = entries.filter(**{field: value})
        number = self._export(entries, sys.stdout.buffer, as_csv=options["csv"])
        self.stderr.write(f"{number:,} entries were written.")

    def _export(self, entries: Any, file: IO[bytes], *, as_csv: bool) -> int:
        number, last = 0, None
        if as_csv:
            file.write(csv_head())
        while chunk := next_entries(entries, after=last):
            file.writelines(csv_lines(chunk) if as_csv else ndjson_lines(chunk))
            number, last = number + len(chunk), chunk[-1].pk
        file.flush()
        return number

    def _prune(self, before: datetime | None, *, sure: bool) -> None:
        if before is None:
            raise CommandError("prune needs --before DATE; export what goes first")
        number = AuditEntry.objects.filter(timestamp__lt=before).count()
        question = f"Delete {number:,} entries of all networks from before {before:%Y-%m-%d}? [y/N] "
        if number and not sure and input(question) != "y":
            raise CommandError("nothing was deleted")
        self.stdout.write(f"{prune_audit_log(before=before):,} entries were deleted.")


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ArgumentTypeError(f"{text[:50]!r} is no day like 2026-03-01") from error
