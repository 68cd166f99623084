"""Accounts of sensors at the broker."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

FORWARD = """
-- Before the tombstone's notice, in the same transaction: who deletes a sensor, on whatever path, ends its account.
CREATE FUNCTION sensors_revoke_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sensors_sensorcredential SET sensor_id = NULL, secret_hash = '', sealed_secret = '',
        change = gen_random_uuid(), changed_at = clock_timestamp(), applied_at = NULL, missing_at = NULL
    WHERE sensor_id = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER revoke_credential BEFORE DELETE ON sensors_sensor
    FOR EACH ROW EXECUTE FUNCTION sensors_revoke_credential();

-- The bridge listens on this channel; the notice is a hint, the row is the outbox.
CREATE FUNCTION sensors_announce_credential() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('fleet_outbox', '');
    RETURN NULL;
END $$;
CREATE TRIGGER announce_credential AFTER INSERT OR UPDATE ON sensors_sensorcredential
    FOR EACH ROW WHEN (NEW.applied_at IS NULL) EXECUTE FUNCTION sensors_announce_credential();
"""

BACKWARD = """
DROP TRIGGER revoke_credential ON sensors_sensor;
DROP TRIGGER announce_credential ON sensors_sensorcredential;
DROP FUNCTION sensors_revoke_credential, sensors_announce_credential;
"""


class Migration(migrations.Migration):
    dependencies = [("sensors", "0005_silence_settings")]

    operations = [
        migrations.CreateModel(
            name="SensorCredential",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("identifier", models.CharField(max_length=64, unique=True)),
                (
                    "sensor",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="credential",
                        to="sensors.sensor",
                    ),
                ),
                ("secret_hash", models.CharField(blank=True, max_length=200)),
                ("sealed_secret", models.TextField(blank=True)),
                ("change", models.UUIDField()),
                ("changed_at", models.DateTimeField()),
                (
                    "changed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("applied_at", models.DateTimeField(null=True)),
                ("missing_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["identifier"],
                "indexes": [
                    models.Index(fields=["id"], name="credential_to_apply", condition=Q(applied_at__isnull=True))
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(sealed_secret="") | Q(applied_at__isnull=True),
                        name="credential_applied_is_not_readable",
                    ),
                    models.CheckConstraint(
                        condition=Q(sensor__isnull=False) | Q(secret_hash=""),
                        name="credential_without_sensor_is_revoked",
                    ),
                ],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
