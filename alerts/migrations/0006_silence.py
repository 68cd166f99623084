"""Silence by the periods of configurations, gateways within a window, alerts about the bridges."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

FORWARD = """
ALTER TABLE alerts_configuredperiod
    ADD CONSTRAINT period_of_sensor FOREIGN KEY (sensor_id)
        REFERENCES sensors_sensor ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;

-- The sweep works out the period: whoever makes or answers a revision only leaves a note and waits for nobody.
CREATE FUNCTION alerts_note_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_scopechange (sensor_id, of_configuration) VALUES (NEW.sensor_id, true);
    RETURN NULL;
END $$;
CREATE TRIGGER note_period_of_new AFTER INSERT ON config_revision
    FOR EACH ROW EXECUTE FUNCTION alerts_note_revision();
CREATE TRIGGER note_period_of_answered AFTER UPDATE ON config_revision
    FOR EACH ROW WHEN (
        (OLD.acknowledged_at, OLD.failed_at) IS DISTINCT FROM (NEW.acknowledged_at, NEW.failed_at)
    )
    EXECUTE FUNCTION alerts_note_revision();

CREATE FUNCTION alerts_note_network() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_scopechange (sensor_id) SELECT id FROM sensors_sensor WHERE network_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON sensors_network
    FOR EACH ROW WHEN (
        (OLD.interval_attribute, OLD.interval_factor, OLD.new_sensors, OLD.new_after_s)
            IS DISTINCT FROM (NEW.interval_attribute, NEW.interval_factor, NEW.new_sensors, NEW.new_after_s)
    )
    EXECUTE FUNCTION alerts_note_network();

-- Whatever `update_rule` forgets the states of a rule for, the sweep must make them anew for.
DROP TRIGGER note_scope_of_changed ON alerts_rule;
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON alerts_rule
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.kind, OLD.severity, OLD.scope, OLD.labels, OLD.period_s, OLD.grace_s, OLD.share,
         OLD.window_s)
            IS DISTINCT FROM
        (NEW.enabled, NEW.kind, NEW.severity, NEW.scope, NEW.labels, NEW.period_s, NEW.grace_s, NEW.share,
         NEW.window_s)
    )
    EXECUTE FUNCTION alerts_note_rule();

-- Revisions that were there before.
INSERT INTO alerts_scopechange (sensor_id, of_configuration) SELECT DISTINCT sensor_id, true FROM config_revision;
"""

BACKWARD = """
DROP TRIGGER note_period_of_new ON config_revision;
DROP TRIGGER note_period_of_answered ON config_revision;
DROP TRIGGER note_scope_of_changed ON sensors_network;
DROP FUNCTION alerts_note_revision, alerts_note_network;
DROP TRIGGER note_scope_of_changed ON alerts_rule;
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON alerts_rule
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.kind, OLD.scope, OLD.labels, OLD.period_s, OLD.grace_s, OLD.share)
            IS DISTINCT FROM (NEW.enabled, NEW.kind, NEW.scope, NEW.labels, NEW.period_s, NEW.grace_s, NEW.share)
    )
    EXECUTE FUNCTION alerts_note_rule();
ALTER TABLE alerts_configuredperiod DROP CONSTRAINT period_of_sensor;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0005_rate_of_change"),
        ("config", "0002_invariants"),
        ("sensors", "0005_silence_settings"),
    ]

    operations = [
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
                ],
                max_length=24,
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="window_s",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Within which the sensors of a gateway must have been heard last; empty: at any time.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddIndex(
            model_name="rule",
            index=models.Index(fields=["id"], name="rule_about_bridges", condition=Q(kind="bridge_away")),
        ),
        migrations.AddField(
            model_name="alert",
            name="detail",
            field=models.CharField(blank=True, db_default="", default="", max_length=500),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                fields=["rule"],
                condition=Q(resolved_at__isnull=True)
                & Q(sensor__isnull=True, gateway__isnull=True, sensor_identifier="", gateway_identifier=""),
                name="one_open_alert_per_rule_about_bridges",
            ),
        ),
        migrations.RemoveIndex(model_name="alert", name="alert_orphaned"),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                fields=["id"],
                name="alert_orphaned",
                condition=Q(resolved_at__isnull=True)
                & (
                    Q(rule__isnull=True)
                    | (
                        Q(sensor__isnull=True, gateway__isnull=True)
                        & (Q(sensor_identifier__gt="") | Q(gateway_identifier__gt=""))
                    )
                ),
            ),
        ),
        migrations.AddField(
            model_name="scopechange",
            name="of_configuration",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.CreateModel(
            name="ConfiguredPeriod",
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
                ("period_s", models.FloatField()),
                ("or_own", models.BooleanField()),
            ],
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
