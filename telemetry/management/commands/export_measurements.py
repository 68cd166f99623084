"""`manage.py export_measurements`: measurements as CSV or NDJSON."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from django.core.management.base import BaseCommand, CommandError

from sensors.models import Sensor
from telemetry.export import Format, stream_measurements
from telemetry.times import parse_time

_PROGRESS_EVERY_S: Final = 2.0


class Command(BaseCommand):
    """Write the measurements of sensors or whole networks, sensor by sensor, oldest first.

    In one snapshot of the database, in constant memory. A file appears under its name only when it is complete;
    until then it is called NAME.part. Progress goes to the error output.
    """

    help = __doc__

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--sensor", action="append", default=[], help="Identifier; repeatable.")
        parser.add_argument("--network", action="append", default=[], help="Slug: all of its sensors; repeatable.")
        parser.add_argument("--start", type=_time, help="From this moment on, like 2026-03-01T00:00:00Z.")
        parser.add_argument("--end", type=_time, help="Before this moment.")
        parser.add_argument("--format", choices=[each.value for each in Format], default=Format.CSV.value)
        parser.add_argument(
            "--attribute", action="append", default=[], help="Only these, as columns in this order; repeatable."
        )
        parser.add_argument("--output", default="-", help="A file; by default the standard output.")

    def handle(self, *, output: str, **options: Any) -> None:
        """Write the file and say how many measurements it has."""
        if options["start"] and options["end"] and options["start"] >= options["end"]:
            raise CommandError("--end must be after --start.")
        sensors = _sensors(options["sensor"], options["network"])
        if output == "-":
            rows = asyncio.run(self._write(sys.stdout.buffer, sensors, options))
        else:
            part = Path(f"{output}.part")
            with part.open("wb") as file:
                rows = asyncio.run(self._write(file, sensors, options))
            part.replace(output)
        self.stderr.write(f"{rows:,} measurements of {len(sensors)} sensors were written.")

    async def _write(self, file: IO[bytes], sensors: Sequence[Sensor], options: dict[str, Any]) -> int:
        rows, told_at = 0, time.monotonic()
        stream = stream_measurements(
            sensors,
            form=Format(options["format"]),
            start=options["start"],
            end=options["end"],
            attributes=options["attribute"],
            with_sensor=True,
        )
        async for data, number in stream:
            file.write(data)
            rows += number
            if time.monotonic() - told_at >= _PROGRESS_EVERY_S:
                told_at = time.monotonic()
                self.stderr.write(f"{rows:,} measurements …")
        file.flush()
        return rows


def _sensors(identifiers: Sequence[str], slugs: Sequence[str]) -> list[Sensor]:
    """Return the sensors that were named, each once, by identifier."""
    if not identifiers and not slugs:
        raise CommandError("Name what to export: --sensor IDENTIFIER or --network SLUG.")
    found = {
        sensor.pk: sensor
        for sensor in (
            *Sensor.objects.filter(identifier__in=identifiers),
            *Sensor.objects.filter(network__slug__in=slugs),
        )
    }
    missing = set(identifiers) - {sensor.identifier for sensor in found.values()}
    if missing:
        raise CommandError(f"There is no sensor {', '.join(sorted(missing))}.")
    if not found:
        raise CommandError(f"There is no sensor in {', '.join(slugs)}.")
    return sorted(found.values(), key=lambda sensor: sensor.identifier)


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
