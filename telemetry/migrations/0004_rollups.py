"""Attributes and rollups. Nothing is rolled up here: whoever rolls up first begins with the oldest measurement."""

import django.db.models.functions.datetime
from django.db import migrations, models

import telemetry.models

FORWARD = """
-- Hours are read by attribute and written by time: only in an index that holds all of a row is what is read together
-- on the same pages. An hour's minutes are written together.
ALTER TABLE telemetry_hourrollup DROP CONSTRAINT telemetry_hourrollup_pkey;
ALTER TABLE telemetry_hourrollup ADD PRIMARY KEY (attribute_id, start) INCLUDE (count, min, max, sum, is_dense);
-- More often than by default, since only pages that were vacuumed are read from the index alone.
ALTER TABLE telemetry_hourrollup SET (autovacuum_vacuum_insert_scale_factor = 0.02);

-- Two statements, each with a snapshot of its own: the horizon that is read is the one after the lock was granted.
-- 1919904876: "roll" in ASCII. 946684800000000: 2000-01-01, before which nothing is stored.
CREATE FUNCTION telemetry_lock_horizon() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1919904876);
    RETURN coalesce(
        (SELECT (extract(epoch FROM late_before) * 1000000)::bigint FROM telemetry_rolluphorizon), 946684800000000
    );
END $$;
"""

BACKWARD = "DROP FUNCTION telemetry_lock_horizon();"


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0003_rejected_messages")]

    operations = [
        migrations.CreateModel(
            name="Attribute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sensor_id", models.BigIntegerField()),
                ("name", models.TextField()),
                ("first_at", models.DateTimeField(help_text="When it was first stored.")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("sensor_id", "name"), name="one_attribute_per_sensor_and_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="HourRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "attribute_id", "start", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("attribute_id", models.BigIntegerField()),
                ("start", models.DateTimeField()),
                ("count", models.IntegerField()),
                ("min", models.FloatField()),
                ("max", models.FloatField()),
                ("sum", telemetry.models.NumericField()),
                ("is_dense", models.BooleanField()),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="MinuteRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "attribute_id", "start", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("attribute_id", models.BigIntegerField()),
                ("start", models.DateTimeField()),
                ("count", models.IntegerField()),
                ("min", models.FloatField()),
                ("max", models.FloatField()),
                ("sum", telemetry.models.NumericField()),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="RollupMark",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sensor_id", models.BigIntegerField()),
                ("hour", models.DateTimeField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"indexes": [models.Index(fields=["sensor_id", "hour"], name="rollup_mark_by_hour")]},
        ),
        migrations.CreateModel(
            name="RollupState",
            fields=[
                ("sensor_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("rolled_before", models.DateTimeField()),
                ("raw_before", models.DateTimeField(null=True)),
            ],
            options={"indexes": [models.Index(fields=["rolled_before"], name="rollup_state_by_progress")]},
        ),
        migrations.CreateModel(
            name="RollupHorizon",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("late_before", models.DateTimeField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="one_rollup_horizon")],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
