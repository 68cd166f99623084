"""`manage.py roll_up`: sum measurements up for series over long ranges."""

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from sensors.models import Sensor
from telemetry import rollups
from telemetry.rollups import Rolled

# Often enough to see that it moves, seldom enough for a log.
_PROGRESS_EVERY_S: Final = 5.0


class Command(BaseCommand):
    """Sum measurements up by the hour, and by the minute where there are many, for series over long ranges.

    The schedule does the same every 30 seconds for at most 10; use this to catch up at once, after an upgrade or an
    import of much old data, or without Celery. Series are right at any time: what is not rolled up yet is read from
    the measurements, which only takes longer. Safe to interrupt, and to run beside the schedule and itself.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--rebuild",
            nargs="+",
            metavar="SENSOR",
            default=[],
            help="Identifiers: forget these sensors' rollups first and make them again, after measurements were"
            " changed by hand. Hours whose measurements retention has deleted stay as they are.",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object and no progress.")

    def handle(self, *, rebuild: list[str], **options: Any) -> None:
        """Roll up until nothing is left to take, and print what was done; fail if a sensor is left behind."""
        sensors = dict(Sensor.objects.filter(identifier__in=rebuild).values_list("identifier", "pk"))
        unknown = sorted(set(rebuild) - sensors.keys())
        if unknown:
            raise CommandError(f"There is no sensor {', '.join(unknown)}; nothing was done.")
        rollups.rebuild(sensors.values())
        done = self._roll_up(quiet=options["json"])
        left = rollups.work_left()
        if options["json"]:
            self.stdout.write(json.dumps({**asdict(done), "left": asdict(left)}))
        else:
            self.stdout.write(
                f"{done.hours:,} hours with {done.measurements:,} measurements were rolled up, {done.again:,} again."
            )
            if left.hours:
                self.stdout.write(f"{left.hours:,} hours were marked in the meantime; the schedule takes them.")
        if left.sensors:
            raise CommandError(
                f"{left.sensors} sensors are still behind: another worker is at them. Run it again to see them done."
            )

    def _roll_up(self, *, quiet: bool) -> Rolled:
        began = said_at = time.monotonic()

        def progress(done: Rolled) -> None:
            nonlocal said_at
            if not quiet and time.monotonic() - said_at >= _PROGRESS_EVERY_S:
                said_at = time.monotonic()
                left = rollups.work_left()
                self.stdout.write(
                    f"{said_at - began:.0f} s: {done.hours:,} hours, {done.measurements:,} measurements;"
                    f" {left.sensors:,} sensors and {left.hours:,} late hours are left."
                )
                self.stdout.flush()

        return rollups.roll_up(now=timezone.now(), settle_time=timedelta(0), progress=progress)
