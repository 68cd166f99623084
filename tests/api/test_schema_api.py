"""The API against its own OpenAPI document: generated requests, good and bad, and what is answered."""

import re
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from tests.api.asking import BROKER, SECRET
from tests.api.matrix import operation_name
from tests.api.test_access_matrix import Plant

schema = schemathesis.openapi.from_wsgi("/api/schema/", WSGIHandler())
# An export is a stream for an ASGI server; another has it all collected, and warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
SETTINGS: dict[str, Any] = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@pytest.fixture
def _one_connection():
    """Keep the test's transaction: a server's request would begin and end by closing old connections."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def plant(db, _one_connection, settings):
    settings.NOTIFICATION_PRIVATE_TARGETS = ["127.0.0.1"]
    settings.BROKER_AUTH_SECRET = SECRET
    made = Plant()
    made.headers["broker"] = dict(BROKER)
    return made


@schema.parametrize()
@settings(max_examples=3, phases=[Phase.explicit, Phase.generate], **SETTINGS)
def test_every_operation_answers_as_documented(case, plant):
    case.path_parameters = names_of(plant, case)
    who = "broker" if "/broker/" in case.operation.path else "owner"
    # What a case did is undone, so that the next one finds the names again.
    with transaction.atomic():
        case.call_and_validate(headers=plant.headers[who], checks=CHECKS)
        transaction.set_rollback(True)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("names", ["any", "real"])
@pytest.mark.parametrize("who", ["owner", "operator", "read_token", "operate_token", "staff", "nobody", "broker"])
@schema.parametrize()
@settings(max_examples=60, phases=[Phase.explicit, Phase.generate], **SETTINGS)
def test_every_operation_answers_everybody_as_documented(case, plant, who, names):
    """names: `real` puts those of what is there into the path, which generated ones hardly ever hit."""
    if names == "real":
        if not case.path_parameters:
            pytest.skip("the path names nothing")
        case.path_parameters = names_of(plant, case)
    with transaction.atomic():
        case.call_and_validate(headers=plant.headers[who], checks=CHECKS)
        transaction.set_rollback(True)


def names_of(plant: Plant, case: Any) -> dict[str, Any]:
    """Return what the path's parameters are called in the plant."""
    own = re.findall(r"{(\w+)}", operation_name(case.method, case.operation.path))
    parameters = re.findall(r"{(\w+)}", case.operation.path)
    return {parameter: str(plant.names[name]) for parameter, name in zip(parameters, own, strict=True)}
