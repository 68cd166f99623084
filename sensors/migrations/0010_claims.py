"""Claim codes, and the claims of sensors that introduce themselves."""

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sensors", "0009_invitation"),
    ]

    operations = [
        migrations.CreateModel(
            name="ClaimCode",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="What the code is for.", max_length=100)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("prefix", models.CharField(editable=False, max_length=8)),
                ("created_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "max_sensors",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="So many are admitted at most; empty: any.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                ("used", models.PositiveIntegerField(default=0)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "network",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="claim_codes", to="sensors.network"
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
            },
        ),
        migrations.CreateModel(
            name="Claim",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "identifier",
                    models.CharField(
                        max_length=64,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\\Z",
                                "Start with a letter or digit, then up to 63 letters, digits, hyphens or underscores.",
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("labels", models.JSONField(blank=True, default=dict)),
                ("proof_hash", models.CharField(editable=False, max_length=64)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("first_asked_at", models.DateTimeField()),
                ("last_asked_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("approved", "Approved"),
                            ("refused", "Refused"),
                            ("collected", "Collected"),
                        ],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("decided_at", models.DateTimeField(null=True)),
                ("sealed_password", models.TextField(blank=True, editable=False)),
                ("collected_at", models.DateTimeField(null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "network",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="claims", to="sensors.network"
                    ),
                ),
                (
                    "sensor",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="sensors.sensor",
                    ),
                ),
                (
                    "code",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="claims", to="sensors.claimcode"
                    ),
                ),
            ],
            options={
                "ordering": ["-first_asked_at", "-pk"],
            },
        ),
        migrations.AddConstraint(
            model_name="claimcode",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("max_sensors__isnull", True), ("max_sensors__gte", models.F("used")), _connector="OR"
                ),
                name="claim_code_within_limit",
            ),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["network", "identifier"], name="claim_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(fields=["first_asked_at", "id"], name="claim_by_time"),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(
                condition=models.Q(("sealed_password", ""), _negated=True), fields=["id"], name="claim_with_password"
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.UniqueConstraint(
                fields=("code", "identifier", "proof_hash"), name="one_claim_per_device"
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["waiting", "approved", "refused", "collected"])),
                name="claim_state_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at__isnull", True), ("state", "waiting")),
                    models.Q(models.Q(("state", "waiting"), _negated=True), ("decided_at__isnull", False)),
                    _connector="OR",
                ),
                name="claim_is_decided_or_waits",
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(("sealed_password", ""), ("state__in", ["approved", "collected"]), _connector="OR"),
                name="claim_undecided_has_no_password",
            ),
        ),
    ]
