"""manage.py evaluate_alerts"""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from alerts import services


class Command(BaseCommand):
    """Evaluates everything that waits, then sweeps once."""

    help = (
        "Evaluate all samples and log messages that wait for rules and judge silence once, then exit. For installations"
        " without Celery (run it every few seconds) and for catching up by hand; safe beside workers that do the same."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json."""
        parser.add_argument("--json", action="store_true", help="print what was done as one line of JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Evaluate, sweep, say what was done."""
        evaluated = services.evaluate_waiting(clock=timezone.now)
        log_messages = services.evaluate_logs(clock=timezone.now)
        swept = services.sweep(now=timezone.now())
        if options["json"]:
            done: dict[str, Any] = {"evaluated": dataclasses.asdict(evaluated), "swept": dataclasses.asdict(swept)}
            done["log_messages"] = log_messages
            self.stdout.write(json.dumps(done))
            return
        self.stdout.write(f"{evaluated.samples} samples evaluated in {evaluated.transactions} transactions.")
        if log_messages:
            self.stdout.write(f"{log_messages} log messages counted.")
        if swept.is_busy:
            self.stdout.write("Silence was left to another sweep that was at work.")
        self.stdout.write(
            f"{swept.looked_at} sensors looked at, {swept.silent} newly silent,"
            f" {swept.opened} alerts opened, {swept.resolved} resolved."
        )
