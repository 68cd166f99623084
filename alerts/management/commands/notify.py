"""manage.py notify"""

import dataclasses
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from alerts import services


class Command(BaseCommand):
    """Tells notification targets what they are owed."""

    help = (
        "Send all notifications of alerts that are due, once, then exit. For installations without Celery (run it"
        " every few seconds); safe beside workers that do the same. With --reencrypt nothing is sent: all addresses"
        " are encrypted with the first of NOTIFICATION_KEYS, after which the other keys can be removed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take --json and --reencrypt."""
        parser.add_argument("--json", action="store_true", help="print what was done as one line of JSON")
        parser.add_argument("--reencrypt", action="store_true", help="encrypt all addresses with the first key")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Deliver or encrypt, say what was done."""
        if options["reencrypt"]:
            encrypted, unreadable = services.reencrypt_targets()
            done = {"encrypted": encrypted, "unreadable": unreadable}
            text = f"{encrypted} addresses encrypted with the first key, {unreadable} that no key opens."
        else:
            delivered = services.deliver_notifications(clock=timezone.now)
            done = dataclasses.asdict(delivered)
            text = (
                f"{delivered.sent} notifications sent in {delivered.messages} messages;"
                f" {delivered.failed_messages} messages failed, {delivered.given_up} notifications given up."
            )
        self.stdout.write(json.dumps(done) if options["json"] else text)
