"""Ends all sessions, once: those from before `UserSession` rows are listed nowhere, and nobody could end them."""

from typing import Any

from django.db import migrations


def end_sessions(apps: Any, _editor: Any) -> None:
    """Have everybody log in again."""
    apps.get_model("sessions", "Session").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("sensors", "0010_claims"), ("sessions", "0001_initial")]

    operations = [migrations.RunPython(end_sessions, migrations.RunPython.noop)]
