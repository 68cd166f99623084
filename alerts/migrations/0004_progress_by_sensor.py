"""How far samples were evaluated: one row a sensor instead of one for each rule that covers it."""

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
ALTER TABLE alerts_evaluationprogress
    ADD CONSTRAINT progress_of_sensor FOREIGN KEY (sensor_id)
        REFERENCES sensors_sensor ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT progress_is_an_object CHECK (jsonb_typeof(newest) = 'object'),
    -- Every evaluated batch updates these rows: room on each page lets the new row version stay beside the old one.
    SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

INSERT INTO alerts_evaluationprogress (sensor_id, newest)
SELECT sensor_id, jsonb_object_agg(attribute, newest) FROM (
    SELECT state.sensor_id, rule.attribute, max((extract(epoch FROM state.evaluated_until) * 1000000)::bigint) AS newest
    FROM alerts_rulestate AS state JOIN alerts_rule AS rule ON rule.id = state.rule_id
    WHERE state.evaluated_until IS NOT NULL
    GROUP BY state.sensor_id, rule.attribute
) AS known GROUP BY sensor_id;

-- Of threshold rules only open episodes keep a state.
DELETE FROM alerts_rulestate AS state USING alerts_rule AS rule
WHERE rule.id = state.rule_id AND rule.kind = 'threshold' AND NOT EXISTS (
    SELECT 1 FROM alerts_alert AS alert
    WHERE alert.rule_id = state.rule_id AND alert.sensor_id = state.sensor_id AND alert.resolved_at IS NULL
);
"""


class Migration(migrations.Migration):
    dependencies = [("alerts", "0003_samples_uncompressed"), ("sensors", "0002_invariants")]

    operations = [
        migrations.CreateModel(
            name="EvaluationProgress",
            fields=[
                (
                    "sensor",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="sensors.sensor",
                    ),
                ),
                ("newest", models.JSONField()),
            ],
            options={"verbose_name_plural": "evaluation progress"},
        ),
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="rulestate", name="evaluated_until"),
    ]
