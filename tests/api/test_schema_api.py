"""The API against its own OpenAPI document: generated requests, good and bad, and what is answered."""

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from config.services import create_revision
from sensors import services
from sensors.models import Role
from tests.api.callers import Caller, make_network

schema = schemathesis.openapi.from_wsgi("/api/schema/", WSGIHandler())
# An export is a stream that only an ASGI server sends.
schema = schema.exclude(path_regex="/export/$")

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def _one_connection():
    """Keep the test's transaction: a server's request would begin and end by closing old connections."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def caller(db, _one_connection):
    network, users = make_network("schema", ada=Role.OWNER)
    sensor = services.create_sensor(network, identifier="boiler-1")
    create_revision(sensor, values={"a": 1}, author=None, now=timezone.now())
    return Caller(users["ada"])


@schema.parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_documented(case, caller):
    case.call_and_validate(headers=caller.headers, checks=CHECKS)
