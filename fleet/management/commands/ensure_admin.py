"""Makes the first operator, where there is none."""

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction


class Command(BaseCommand):
    help = (
        'Make the operator "admin" (staff, all rights) if there is no such user yet; an existing one stays as it '
        "is. The password is FLEET_ADMIN_PASSWORD; without it one is generated and printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="bring the tables up to date first")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["migrate"]:
            call_command("migrate", interactive=False, verbosity=1, stdout=self.stdout)
        users = get_user_model()
        given = os.environ.get("FLEET_ADMIN_PASSWORD", "")
        password = given or secrets.token_urlsafe(12)
        with transaction.atomic():
            if users.objects.filter(username="admin").exists():
                self.stdout.write("operator admin exists")
                return
            try:
                users.objects.create_superuser("admin", password=password)
            except ValueError as error:
                raise CommandError(f"cannot make the operator admin: {error}") from error
        self.stdout.write("created operator admin" + ("" if given else f", password {password}"))
