"""Tokens that have part of their user's rights, in some networks, and tell when they were used."""

import uuid
from typing import Any

import django.contrib.postgres.fields
from django.db import migrations, models

SCOPES = [("read", "Read"), ("operate", "Operate"), ("admin", "Admin")]


def give_handles(apps: Any, _editor: Any) -> None:
    """Give each token a handle of its own: a default is the same for all rows."""
    tokens = apps.get_model("sensors", "AccessToken").objects
    for digest in tokens.values_list("pk", flat=True):
        tokens.filter(pk=digest).update(handle=uuid.uuid4())


class Migration(migrations.Migration):
    # Rows are written and the table is altered: PostgreSQL wants these in transactions of their own.
    atomic = False

    dependencies = [("sensors", "0006_credentials")]

    operations = [
        migrations.AddField(
            model_name="accesstoken",
            name="scope",
            field=models.CharField(choices=SCOPES, db_default="admin", default="admin", max_length=7),
        ),
        migrations.AddField(
            model_name="accesstoken",
            name="network_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), blank=True, null=True, size=None
            ),
        ),
        migrations.AddField(model_name="accesstoken", name="last_used_at", field=models.DateTimeField(null=True)),
        migrations.AddConstraint(
            model_name="accesstoken",
            constraint=models.CheckConstraint(
                condition=models.Q(scope__in=[name for name, _ in SCOPES]), name="token_scope_is_known"
            ),
        ),
        migrations.AddField(
            model_name="accesstoken", name="handle", field=models.UUIDField(default=uuid.uuid4, editable=False)
        ),
        migrations.RunPython(give_handles, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="accesstoken",
            name="handle",
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
    ]
