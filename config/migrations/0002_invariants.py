"""Revisions are immutable, and a new one wakes the bridge."""

from django.db import migrations

FORWARD = """
ALTER TABLE config_revision ADD CONSTRAINT revision_values_are_an_object CHECK (jsonb_typeof("values") = 'object');

CREATE FUNCTION config_keep_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'revision % of sensor % is immutable', OLD.number, OLD.sensor_id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
-- The author may become empty when that user is deleted, and nothing else.
CREATE TRIGGER keep_revision BEFORE UPDATE ON config_revision
    FOR EACH ROW WHEN (
        (OLD.sensor_id, OLD.number, OLD."values", OLD.comment, OLD.created_at)
            IS DISTINCT FROM (NEW.sensor_id, NEW.number, NEW."values", NEW.comment, NEW.created_at)
        OR (NEW.created_by_id IS NOT NULL AND OLD.created_by_id IS DISTINCT FROM NEW.created_by_id)
        OR (OLD.acknowledged_at IS NOT NULL AND OLD.acknowledged_at IS DISTINCT FROM NEW.acknowledged_at)
    )
    EXECUTE FUNCTION config_keep_revision();

-- The bridge listens on this channel; the notice is a hint, the row is the outbox.
CREATE FUNCTION config_announce_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fleet_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER announce_revision AFTER INSERT ON config_revision
    FOR EACH ROW EXECUTE FUNCTION config_announce_revision();
"""

BACKWARD = """
DROP TRIGGER keep_revision ON config_revision;
DROP TRIGGER announce_revision ON config_revision;
DROP FUNCTION config_keep_revision, config_announce_revision;
ALTER TABLE config_revision DROP CONSTRAINT revision_values_are_an_object;
"""


class Migration(migrations.Migration):
    dependencies = [("config", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
