"""What must hold on every path to the tables: sound limits, what goes with what, notes of what may match anew."""

from django.db import migrations

FORWARD = """
ALTER TABLE alerts_rule ADD CONSTRAINT rule_labels_are_an_object CHECK (jsonb_typeof(labels) = 'object');
-- PostgreSQL orders NaN above everything, so this refuses it too.
ALTER TABLE alerts_rule ADD CONSTRAINT rule_limits_are_finite CHECK (
    above > '-Infinity' AND above < 'Infinity' AND below > '-Infinity' AND below < 'Infinity'
    AND hysteresis < 'Infinity'
);
ALTER TABLE alerts_silence ADD CONSTRAINT silence_matchers_are_an_object
    CHECK (jsonb_typeof(matchers) = 'object');
ALTER TABLE alerts_alert ADD CONSTRAINT alert_members_are_a_list CHECK (jsonb_typeof(members) = 'array');

-- Not Django's: it would delete or empty these rows before it locks their parent.
ALTER TABLE alerts_rulestate
    ADD CONSTRAINT state_of_rule FOREIGN KEY (rule_id)
        REFERENCES alerts_rule ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT state_of_sensor FOREIGN KEY (sensor_id)
        REFERENCES sensors_sensor ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE alerts_alert
    ADD CONSTRAINT alert_in_network FOREIGN KEY (network_id)
        REFERENCES sensors_network ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT alert_by_rule FOREIGN KEY (rule_id)
        REFERENCES alerts_rule ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT alert_of_sensor FOREIGN KEY (sensor_id)
        REFERENCES sensors_sensor ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT alert_of_gateway FOREIGN KEY (gateway_id)
        REFERENCES sensors_gateway ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;

-- Every evaluated batch updates these rows: room on each page lets the new row version stay beside the old one.
ALTER TABLE alerts_rulestate SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
-- Rows live for a second; without frequent cleaning the lane's first row hides behind thousands of dead ones.
ALTER TABLE alerts_evaluationbatch SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
ALTER TABLE alerts_scopechange SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE FUNCTION alerts_note_sensor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_scopechange (sensor_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER note_scope_of_new AFTER INSERT ON sensors_sensor
    FOR EACH ROW EXECUTE FUNCTION alerts_note_sensor();
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON sensors_sensor
    FOR EACH ROW WHEN (
        (OLD.network_id, OLD.gateway_id, OLD.labels, OLD.period_s, OLD.grace_s)
            IS DISTINCT FROM (NEW.network_id, NEW.gateway_id, NEW.labels, NEW.period_s, NEW.grace_s)
    )
    EXECUTE FUNCTION alerts_note_sensor();

CREATE FUNCTION alerts_note_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_scopechange (rule_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER note_scope_of_new AFTER INSERT ON alerts_rule
    FOR EACH ROW EXECUTE FUNCTION alerts_note_rule();
CREATE TRIGGER note_scope_of_changed AFTER UPDATE ON alerts_rule
    FOR EACH ROW WHEN (
        (OLD.enabled, OLD.kind, OLD.scope, OLD.labels, OLD.period_s, OLD.grace_s, OLD.share)
            IS DISTINCT FROM (NEW.enabled, NEW.kind, NEW.scope, NEW.labels, NEW.period_s, NEW.grace_s, NEW.share)
    )
    EXECUTE FUNCTION alerts_note_rule();

CREATE FUNCTION alerts_note_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_scopechange (rule_id) SELECT DISTINCT rule_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER note_scope_of_listed AFTER INSERT ON alerts_rule_sensors
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION alerts_note_listed();
CREATE TRIGGER note_scope_of_unlisted AFTER DELETE ON alerts_rule_sensors
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION alerts_note_listed();

-- Sensors that were there before this app.
INSERT INTO alerts_scopechange (sensor_id) SELECT id FROM sensors_sensor;
"""

BACKWARD = """
DROP TRIGGER note_scope_of_new ON sensors_sensor;
DROP TRIGGER note_scope_of_changed ON sensors_sensor;
DROP TRIGGER note_scope_of_new ON alerts_rule;
DROP TRIGGER note_scope_of_changed ON alerts_rule;
DROP TRIGGER note_scope_of_listed ON alerts_rule_sensors;
DROP TRIGGER note_scope_of_unlisted ON alerts_rule_sensors;
DROP FUNCTION alerts_note_sensor, alerts_note_rule, alerts_note_listed;
ALTER TABLE alerts_rule DROP CONSTRAINT rule_labels_are_an_object, DROP CONSTRAINT rule_limits_are_finite;
ALTER TABLE alerts_silence DROP CONSTRAINT silence_matchers_are_an_object;
ALTER TABLE alerts_rulestate DROP CONSTRAINT state_of_rule, DROP CONSTRAINT state_of_sensor;
ALTER TABLE alerts_alert DROP CONSTRAINT alert_members_are_a_list, DROP CONSTRAINT alert_in_network,
    DROP CONSTRAINT alert_by_rule, DROP CONSTRAINT alert_of_sensor, DROP CONSTRAINT alert_of_gateway;
"""


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
