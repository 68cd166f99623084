"""The audit log of a database from before it had a table of its own."""

import json

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor

from sensors.models import AuditEntry, Membership, Network, Role, Sensor, User
from sensors.queries import visible_audit_entries

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("sensors", "0007_token_scopes")]
OLD_TABLE = """
CREATE TABLE auditlog_logentry (id serial PRIMARY KEY, content_type_id integer, object_pk varchar, object_id bigint,
    object_repr text, serialized_data jsonb, action smallint, changes_text text, changes jsonb, actor_id bigint,
    cid varchar, remote_addr inet, remote_port integer, timestamp timestamptz, additional_data jsonb,
    actor_email varchar)
"""
OLD_ENTRY = """
INSERT INTO auditlog_logentry
    (content_type_id, object_pk, object_repr, action, changes_text, changes, actor_id, timestamp)
VALUES (%s, %s, %s, 1, '', %s, %s, now())
"""


def migrate(targets) -> None:
    MigrationExecutor(connection).migrate(targets)


@pytest.fixture
def newest():
    """Where the migrations end, and where the database is again after the test."""
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes("sensors")
    yield leaves
    migrate(leaves)


def test_older_entries_and_permissions_come_along_and_no_half_of_a_password(newest):
    user = User.objects.create(username="root")
    network = Network.objects.create(slug="plant", name="Plant")
    sensor = Sensor.objects.create(identifier="pump-1", network=network)
    table = ContentType.objects.get(app_label="sensors", model="auditentry")
    auditors = Group.objects.create(name="auditors")
    permission = Permission.objects.get(content_type=table, codename="view_auditentry")
    auditors.permissions.add(permission)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE sensors_auditentry")
        migrate(BEFORE)
        cursor.execute(OLD_TABLE)
        changes = json.dumps({"password": ["**ne", "*****half"], "email": ["a", "b"]})
        cursor.execute(OLD_ENTRY, [ContentType.objects.get_for_model(User).pk, "7", "ada", changes, user.pk])
        cursor.execute(
            OLD_ENTRY, [ContentType.objects.get_for_model(Sensor).pk, str(sensor.pk), "pump-1", "{}", user.pk]
        )
        cursor.execute(OLD_ENTRY, [ContentType.objects.get_for_model(Sensor).pk, "4711", "gone", "{}", user.pk])
        ContentType.objects.filter(pk=table.pk).update(app_label="auditlog", model="logentry")
        Permission.objects.filter(pk=permission.pk).update(codename="view_logentry", name="Can view log entry")
        migrate(newest)
        cursor.execute("SELECT to_regclass('auditlog_logentry')")
        assert cursor.fetchone() == (None,)
    entry = AuditEntry.objects.get(object_repr="ada")
    assert (entry.actor_name, entry.network_id) == ("root", None)
    assert entry.changes == {"password": ["(hidden)", "(hidden)"], "email": ["a", "b"]}
    with pytest.raises(IntegrityError):
        entry.delete()
    # What is still there tells its owners what was done to it; what is gone is for staff alone.
    told = AuditEntry.objects.filter(content_type=ContentType.objects.get_for_model(Sensor))
    assert dict(told.values_list("object_repr", "network_slug")) == {"pump-1": "plant", "gone": ""}
    assert set(visible_audit_entries(user)) == {entry}
    Membership.objects.create(network=network, user=user, role=Role.OWNER)
    assert told.get(object_repr="pump-1") in visible_audit_entries(user)
    found = auditors.permissions.get()
    assert (found.codename, found.name) == ("view_auditentry", "Can view audit entry")
    assert (found.content_type.app_label, found.content_type.model) == ("sensors", "auditentry")


def test_the_way_back_does_not_delete_the_log(newest):
    User.objects.create(username="root")
    with pytest.raises(ProgrammingError, match="restore the backup"):
        migrate(BEFORE)
    assert AuditEntry.objects.count() == 1
