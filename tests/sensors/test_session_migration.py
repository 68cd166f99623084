"""Sessions of a database from before they were listed."""

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

pytestmark = pytest.mark.django_db(transaction=True)


def test_sessions_that_nobody_could_end_end_with_the_upgrade():
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("sensors")
    try:
        MigrationExecutor(connection).migrate([("sensors", "0010_claims")])
        Session.objects.create(session_key="before", session_data="x", expire_date=timezone.now())
    finally:
        MigrationExecutor(connection).migrate(newest)
    assert not Session.objects.exists()
