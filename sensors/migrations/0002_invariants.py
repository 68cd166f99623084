"""What must hold on every path to the tables, held by the database itself."""

from django.db import migrations

FORWARD = """
ALTER TABLE sensors_sensor ADD CONSTRAINT sensor_labels_are_an_object CHECK (jsonb_typeof(labels) = 'object');
-- Every message updates this row: room on each page lets the new row version stay beside the old one.
ALTER TABLE sensors_sensorstate SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE sensors_watermark SET (fillfactor = 50);
ALTER TABLE sensors_servicetick SET (fillfactor = 50);

CREATE FUNCTION sensors_make_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sensors_sensorstate (sensor_id, announced_status) VALUES (NEW.id, 'new');
    RETURN NULL;
END $$;
CREATE TRIGGER make_state AFTER INSERT ON sensors_sensor
    FOR EACH ROW EXECUTE FUNCTION sensors_make_state();

CREATE FUNCTION sensors_keep_identifier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the identifier % never changes', OLD.identifier
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER keep_identifier BEFORE UPDATE OF identifier ON sensors_sensor
    FOR EACH ROW WHEN (OLD.identifier IS DISTINCT FROM NEW.identifier)
    EXECUTE FUNCTION sensors_keep_identifier();
CREATE TRIGGER keep_identifier BEFORE UPDATE OF identifier ON sensors_gateway
    FOR EACH ROW WHEN (OLD.identifier IS DISTINCT FROM NEW.identifier)
    EXECUTE FUNCTION sensors_keep_identifier();

-- The bridge listens on this channel; the notice is a hint, the tombstone is the truth.
CREATE FUNCTION sensors_leave_tombstone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sensors_sensortombstone (identifier, sensor_id, deleted_at)
        VALUES (OLD.identifier, OLD.id, clock_timestamp());
    PERFORM pg_notify('fleet_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER leave_tombstone AFTER DELETE ON sensors_sensor
    FOR EACH ROW EXECUTE FUNCTION sensors_leave_tombstone();
"""

BACKWARD = """
DROP TRIGGER make_state ON sensors_sensor;
DROP TRIGGER keep_identifier ON sensors_sensor;
DROP TRIGGER keep_identifier ON sensors_gateway;
DROP TRIGGER leave_tombstone ON sensors_sensor;
DROP FUNCTION sensors_make_state, sensors_keep_identifier, sensors_leave_tombstone;
ALTER TABLE sensors_sensor DROP CONSTRAINT sensor_labels_are_an_object;
"""


class Migration(migrations.Migration):
    dependencies = [("sensors", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
