"""Rules about log messages and about configurations that fail; alerts that flap."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

FORWARD = """
ALTER TABLE alerts_rulestate ADD CONSTRAINT state_logged_is_a_list CHECK (jsonb_typeof(logged) = 'array');
-- Rows live for a second; without frequent cleaning the lane's first row hides behind thousands of dead ones.
ALTER TABLE alerts_lognote SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE alerts_revisionnote SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION alerts_note_answer_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_revisionnote (sensor_id) VALUES (NEW.sensor_id);
    RETURN NULL;
END $$;
CREATE TRIGGER note_due_answer_of_new AFTER INSERT ON config_revision
    FOR EACH ROW EXECUTE FUNCTION alerts_note_answer_due();
-- What was superseded has been noted with the revision that did it.
CREATE TRIGGER note_due_answer_of_changed AFTER UPDATE ON config_revision
    FOR EACH ROW WHEN (
        NEW.superseded_at IS NULL
        AND (OLD.acknowledged_at, OLD.failed_at) IS DISTINCT FROM (NEW.acknowledged_at, NEW.failed_at)
    )
    EXECUTE FUNCTION alerts_note_answer_due();

-- Beside the older trigger of rules: an edit of this, too, takes away what was known of the rule's sensors.
CREATE TRIGGER note_timeout_of_changed AFTER UPDATE ON alerts_rule
    FOR EACH ROW WHEN (OLD.timeout_s IS DISTINCT FROM NEW.timeout_s)
    EXECUTE FUNCTION alerts_note_rule();
"""

BACKWARD = """
DROP TRIGGER note_timeout_of_changed ON alerts_rule;
DROP TRIGGER note_due_answer_of_new ON config_revision;
DROP TRIGGER note_due_answer_of_changed ON config_revision;
DROP FUNCTION alerts_note_answer_due;
ALTER TABLE alerts_rulestate DROP CONSTRAINT state_logged_is_a_list;
"""

ABOUT_BRIDGES = models.UniqueConstraint(
    fields=["rule"],
    condition=Q(resolved_at__isnull=True)
    & Q(sensor__isnull=True, gateway__isnull=True, sensor_identifier="", gateway_identifier=""),
    name="one_open_alert_per_rule_about_bridges",
)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0006_silence"), ("config", "0002_invariants")]

    operations = [
        migrations.CreateModel(
            name="LogNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("lane", models.SmallIntegerField()),
                ("sensor_id", models.BigIntegerField()),
                ("rank", models.SmallIntegerField()),
                ("measured_us", models.BigIntegerField()),
                ("received_us", models.BigIntegerField()),
            ],
            options={"indexes": [models.Index(fields=["lane", "id"], name="log_note_lane")]},
        ),
        migrations.CreateModel(
            name="RevisionNote",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sensor_id", models.BigIntegerField()),
            ],
        ),
        migrations.AlterField(
            model_name="rule",
            name="kind",
            field=models.CharField(
                choices=[
                    ("threshold", "Threshold"),
                    ("rate_of_change", "Rate Of Change"),
                    ("staleness", "Staleness"),
                    ("gateway_silence", "Gateway Silence"),
                    ("bridge_away", "Bridge Away"),
                    ("log_severity", "Log Severity"),
                    ("configuration_failure", "Configuration Failure"),
                ],
                max_length=24,
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="log_severity",
            field=models.CharField(
                blank=True,
                choices=[("info", "Info"), ("warning", "Warning"), ("error", "Error")],
                default="error",
                help_text="Messages of this severity or worse count.",
                max_length=7,
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="count",
            field=models.PositiveIntegerField(
                blank=True,
                default=1,
                help_text="How many messages make an alert.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(1000),
                ],
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="window_s",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Of log messages: within how many seconds (300). Of a gateway: within which its sensors must have"
                " been heard last; empty: at any time.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="timeout_s",
            field=models.PositiveIntegerField(
                blank=True,
                default=300,
                help_text="How long a sensor may take to acknowledge a revision.",
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=Q(count__gte=1, count__lte=1000), name="rule_count_can_be_counted"
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=Q(window_s__gte=1) | (Q(window_s__isnull=True) & ~Q(kind="log_severity")),
                name="rule_window_is_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(condition=Q(timeout_s__gte=1), name="rule_timeout_is_positive"),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=Q(log_severity__in=["info", "warning", "error"]), name="rule_log_severity_is_known"
            ),
        ),
        migrations.AddField(model_name="rulestate", name="due_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="rulestate", name="logged", field=models.JSONField(null=True)),
        migrations.AddField(model_name="rulestate", name="held_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="rulestate", name="revision", field=models.IntegerField(null=True)),
        migrations.AddField(
            model_name="rulestate", name="refused", field=models.BooleanField(db_default=False, default=False)
        ),
        migrations.AddIndex(
            model_name="rulestate",
            index=models.Index(condition=Q(due_at__isnull=False), fields=["due_at"], name="rule_state_due_at"),
        ),
        migrations.AddIndex(
            model_name="rulestate",
            index=models.Index(
                condition=Q(refused=True, due_at__isnull=False), fields=["id"], name="rule_state_refused"
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="resolution",
            field=models.CharField(
                blank=True,
                choices=[
                    ("cleared", "Cleared"),
                    ("heard", "Heard"),
                    ("applied", "Applied"),
                    ("superseded", "Superseded"),
                    ("by_hand", "By Hand"),
                    ("rule_edited", "Rule Edited"),
                    ("rule_disabled", "Rule Disabled"),
                    ("rule_deleted", "Rule Deleted"),
                    ("sensor_edited", "Sensor Edited"),
                    ("sensor_deleted", "Sensor Deleted"),
                    ("gateway_deleted", "Gateway Deleted"),
                    ("out_of_scope", "Out Of Scope"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="flapping",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Its rule and sensor or gateway fire and resolve too often.",
            ),
        ),
        migrations.AddField(model_name="alert", name="flapping_until", field=models.DateTimeField(null=True)),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.CheckConstraint(
                condition=Q(flapping=False) | Q(flapping_until__isnull=False), name="flapping_alert_says_until_when"
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["rule", "sensor", "-started_at"], name="alert_by_subject"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(condition=Q(flapping=True), fields=["flapping_until"], name="alert_flapping"),
        ),
        # Django takes the index of this constraint, which has the same column, for that of the foreign key.
        migrations.RemoveConstraint(model_name="alert", name=ABOUT_BRIDGES.name),
        migrations.AlterField(
            model_name="alert",
            name="rule",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="alerts",
                to="alerts.rule",
            ),
        ),
        migrations.AddConstraint(model_name="alert", constraint=ABOUT_BRIDGES),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
