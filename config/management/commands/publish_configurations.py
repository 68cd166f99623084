"""`manage.py publish_configurations`: send sensors their newest configuration again."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.services import publish_again
from sensors.models import Sensor


class Command(BaseCommand):
    """Publish the newest configuration of all sensors, or of those named, again.

    For a broker that lost its retained messages, was replaced, or had one of them overwritten. The bridge
    publishes them when it runs next, at once if it is running; sensors that are connected receive theirs again.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("sensors", nargs="*", metavar="SENSOR", help="Identifiers; without: all sensors.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object with the number.")

    def handle(self, *, sensors: list[str], **options: Any) -> None:
        """Put the revisions back into the outbox and say how many."""
        known = set(Sensor.objects.filter(identifier__in=sensors).values_list("identifier", flat=True))
        unknown = sorted(set(sensors) - known)
        if unknown:
            raise CommandError(f"There is no sensor {', '.join(unknown)}; nothing was published again.")
        count = publish_again(sensors or None)
        if options["json"]:
            self.stdout.write(json.dumps({"publish_again": count}))
        else:
            noun = "configuration" if count == 1 else "configurations"
            self.stdout.write(f"{count} {noun} will be published again. Those still waiting stay so.")
