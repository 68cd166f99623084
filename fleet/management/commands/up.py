"""Starts the whole product on this machine."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from fleet.stack.main import DESCRIPTION, add_arguments, supervise


class Command(BaseCommand):
    help = DESCRIPTION
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        sys.exit(supervise(simulated_sensors=options["simulate"], tls=options["tls"]))
