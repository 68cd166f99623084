"""Rejected messages: whole message or entry, kept or only counted; and how many each hour brought."""

from django.db import migrations, models

# Which of the rows that are there hold one entry: these reasons are given to entries only, and `schema` to both.
_MARK_ENTRIES = """
UPDATE telemetry_rejectedmessage SET whole = false
WHERE reason IN ('not_flat', 'not_finite', 'timestamp_out_of_range', 'too_many_attributes', 'refused_by_database')
   OR (reason = 'schema' AND detail NOT LIKE 'the message must %')
"""

# What an unknown sensor sent belongs to the sensor as soon as there is one, whoever makes it and by whatever path.
_ADOPT = """
CREATE FUNCTION telemetry_adopt_rejected() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE telemetry_rejectedmessage SET sensor_id = NEW.id
    WHERE topic IN (
        'heartbeats/' || NEW.identifier, 'log-messages/' || NEW.identifier, 'measurements/' || NEW.identifier
    ) AND sensor_id IS NULL AND reason = 'unknown_sensor';
    RETURN NULL;
END $$;
CREATE TRIGGER adopt_rejected AFTER INSERT ON sensors_sensor
    FOR EACH ROW EXECUTE FUNCTION telemetry_adopt_rejected();
"""
_DO_NOT_ADOPT = """
DROP TRIGGER adopt_rejected ON sensors_sensor;
DROP FUNCTION telemetry_adopt_rejected();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("sensors", "0001_initial"),
        ("telemetry", "0002_partitioned_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="RejectedHour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hour", "sensor_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("hour", models.DateTimeField()),
                ("sensor_id", models.BigIntegerField()),
                ("number", models.PositiveBigIntegerField()),
            ],
        ),
        migrations.AddField(
            model_name="rejectedmessage",
            name="kept",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Whether it was kept, or else only counted."
            ),
        ),
        migrations.AddField(
            model_name="rejectedmessage",
            name="whole",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Whether the payload is a whole message, or else one entry of one.",
            ),
        ),
        migrations.RunSQL(_MARK_ENTRIES, migrations.RunSQL.noop),
        migrations.RunSQL(_ADOPT, _DO_NOT_ADOPT),
    ]
