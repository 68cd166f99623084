"""The audit log: entries that nobody changes, with the network and the name of whoever did it."""

import django.db.models.deletion
import django.utils.timezone
import sensors.models.audit
from django.conf import settings
from django.db import migrations, models

FORWARD = """
CREATE FUNCTION sensors_complete_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT slug INTO NEW.network_slug FROM sensors_network WHERE id = NEW.network_id;
    NEW.network_slug := coalesce(NEW.network_slug, '');
    RETURN NEW;
END $$;
CREATE TRIGGER complete_entry BEFORE INSERT ON sensors_auditentry
    FOR EACH ROW WHEN (NEW.network_id IS NOT NULL AND NEW.network_slug = '')
    EXECUTE FUNCTION sensors_complete_audit_entry();

-- What django-auditlog's own table holds, where there is one.
DO $$
DECLARE
    kind record;
BEGIN
    IF to_regclass('auditlog_logentry') IS NULL THEN RETURN; END IF;
    INSERT INTO sensors_auditentry
        (content_type_id, object_pk, object_id, object_repr, serialized_data, action, changes_text, changes, actor_id,
         cid, remote_addr, remote_port, timestamp, additional_data, actor_email, network_slug, actor_name, token_name)
    SELECT content_type_id, object_pk, object_id, object_repr, serialized_data, action, changes_text, changes, actor_id,
         cid, remote_addr, remote_port, timestamp, additional_data, actor_email, '', coalesce(username, ''), ''
    FROM auditlog_logentry AS old LEFT JOIN sensors_user ON sensors_user.id = old.actor_id
    ORDER BY old.id;
    -- Half of a password's hash was shown.
    UPDATE sensors_auditentry SET changes = jsonb_set(changes, '{password}', '["(hidden)", "(hidden)"]')
    WHERE changes ? 'password';
    -- What is still there says of which network an entry is, so that its owners see it.
    UPDATE sensors_auditentry SET network_id = network.id, network_slug = network.slug
    FROM sensors_network AS network
    WHERE object_id = network.id AND content_type_id =
        (SELECT id FROM django_content_type WHERE app_label = 'sensors' AND model = 'network');
    FOR kind IN
        SELECT type.id, table_name FROM django_content_type AS type JOIN information_schema.columns
        ON table_schema = current_schema() AND table_name = app_label || '_' || model AND column_name = 'network_id'
    LOOP
        EXECUTE format(
            'UPDATE sensors_auditentry SET network_id = network.id, network_slug = network.slug'
            ' FROM %I AS changed JOIN sensors_network AS network ON network.id = changed.network_id'
            ' WHERE content_type_id = %s AND object_pk = changed.id::text', kind.table_name, kind.id);
    END LOOP;
    DROP TABLE auditlog_logentry;
    -- With it go the permissions that groups have for the log.
    UPDATE auth_permission SET
        codename = replace(codename, 'logentry', 'auditentry'), name = replace(name, 'log entry', 'audit entry')
    WHERE content_type_id = (SELECT id FROM django_content_type WHERE app_label = 'auditlog' AND model = 'logentry');
    UPDATE django_content_type SET app_label = 'sensors', model = 'auditentry'
    WHERE app_label = 'auditlog' AND model = 'logentry';
END $$;

CREATE FUNCTION sensors_keep_audit_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A user who is deleted: the entry keeps the name.
    IF TG_OP = 'UPDATE' AND NEW.actor_id IS NULL AND to_jsonb(NEW) - 'actor_id' = to_jsonb(OLD) - 'actor_id' THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' AND current_setting('fleet.prunes_audit_log', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'an entry of the audit log is neither changed nor deleted'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER keep_entry BEFORE UPDATE OR DELETE ON sensors_auditentry
    FOR EACH ROW EXECUTE FUNCTION sensors_keep_audit_entry();
"""
BACKWARD = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM sensors_auditentry) THEN
        RAISE EXCEPTION 'the way back deletes the audit log; restore the backup from before the upgrade instead';
    END IF;
END $$;
DROP TRIGGER complete_entry ON sensors_auditentry;
DROP TRIGGER keep_entry ON sensors_auditentry;
DROP FUNCTION sensors_complete_audit_entry, sensors_keep_audit_entry;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        ('sensors', '0007_token_scopes'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('object_pk', models.CharField(db_index=True, max_length=255, verbose_name='object pk')),
                ('object_id', models.BigIntegerField(blank=True, db_index=True, null=True, verbose_name='object id')),
                ('object_repr', models.TextField(verbose_name='object representation')),
                ('serialized_data', models.JSONField(null=True)),
                ('action', models.PositiveSmallIntegerField(choices=[(0, 'create'), (1, 'update'), (2, 'delete'), (3, 'access')], db_index=True, verbose_name='action')),
                ('changes_text', models.TextField(blank=True, verbose_name='change message')),
                ('changes', models.JSONField(null=True, verbose_name='change message')),
                ('cid', models.CharField(blank=True, db_index=True, max_length=255, null=True, verbose_name='Correlation ID')),
                ('remote_addr', models.GenericIPAddressField(blank=True, null=True, verbose_name='remote address')),
                ('remote_port', models.PositiveIntegerField(blank=True, null=True, verbose_name='remote port')),
                ('timestamp', models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name='timestamp')),
                ('additional_data', models.JSONField(blank=True, null=True, verbose_name='additional data')),
                ('actor_email', models.CharField(blank=True, max_length=254, null=True, verbose_name='actor email')),
                ('network_id', models.BigIntegerField(null=True)),
                ('network_slug', models.CharField(blank=True, default='', max_length=50)),
                ('actor_name', models.CharField(blank=True, default=sensors.models.audit.program_name, max_length=150)),
                ('token_name', models.CharField(blank=True, default='', max_length=100)),
                ('actor', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='actor')),
                ('content_type', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='contenttypes.contenttype', verbose_name='content type')),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit log',
                'ordering': ['-id'],
                'get_latest_by': 'timestamp',
                'abstract': False,
                'indexes': [models.Index(fields=['network_id', '-id'], name='audit_entries_of_a_network')],
            },
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
