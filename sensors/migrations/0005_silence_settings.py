"""What a network says about silence: where configurations name the interval, and what of sensors never heard."""

import django.core.validators
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("sensors", "0004_room_for_states")]

    operations = [
        migrations.AddField(
            model_name="network",
            name="interval_attribute",
            field=models.CharField(
                blank=True,
                db_default="interval_s",
                default="interval_s",
                help_text="The key of a configuration that says how often a sensor measures, in seconds; empty: none does.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="interval_factor",
            field=models.FloatField(
                db_default=3,
                default=3,
                help_text="So many of those intervals are the period within which the sensor is expected to be heard.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="new_sensors",
            field=models.CharField(
                choices=[("ignore", "Ignore"), ("alert", "Alert")],
                db_default="ignore",
                default="ignore",
                help_text="Whether a sensor that was registered and never heard is silent.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="network",
            name="new_after_s",
            field=models.PositiveIntegerField(
                db_default=86_400,
                default=86_400,
                help_text="How long after its registration, in seconds.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.CheckConstraint(
                condition=Q(interval_factor__gte=1, interval_factor__lte=1_000), name="network_factor_is_sensible"
            ),
        ),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.CheckConstraint(
                condition=Q(new_sensors__in=["ignore", "alert"]), name="network_policy_is_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="network",
            constraint=models.CheckConstraint(condition=Q(new_after_s__gte=1), name="network_new_after_is_positive"),
        ),
    ]
