"""One note of a new or answered revision, for the periods that it may change and for the rules that wait for answers."""

from django.db import migrations

FORWARD = """
INSERT INTO alerts_scopechange (sensor_id, of_configuration) SELECT sensor_id, true FROM alerts_revisionnote;
DROP TRIGGER note_due_answer_of_new ON config_revision;
DROP TRIGGER note_due_answer_of_changed ON config_revision;
DROP FUNCTION alerts_note_answer_due;
ALTER TRIGGER note_period_of_new ON config_revision RENAME TO note_new_revision;
ALTER TRIGGER note_period_of_answered ON config_revision RENAME TO note_answered_revision;
"""

BACKWARD = """
ALTER TRIGGER note_new_revision ON config_revision RENAME TO note_period_of_new;
ALTER TRIGGER note_answered_revision ON config_revision RENAME TO note_period_of_answered;
CREATE FUNCTION alerts_note_answer_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO alerts_revisionnote (sensor_id) VALUES (NEW.sensor_id);
    RETURN NULL;
END $$;
CREATE TRIGGER note_due_answer_of_new AFTER INSERT ON config_revision
    FOR EACH ROW EXECUTE FUNCTION alerts_note_answer_due();
CREATE TRIGGER note_due_answer_of_changed AFTER UPDATE ON config_revision
    FOR EACH ROW WHEN (
        NEW.superseded_at IS NULL
        AND (OLD.acknowledged_at, OLD.failed_at) IS DISTINCT FROM (NEW.acknowledged_at, NEW.failed_at)
    )
    EXECUTE FUNCTION alerts_note_answer_due();
"""


class Migration(migrations.Migration):
    dependencies = [("alerts", "0008_notifications")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD), migrations.DeleteModel(name="RevisionNote")]
