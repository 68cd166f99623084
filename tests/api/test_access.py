"""Who may see and do what: one table of verbs, addresses and roles."""

import pytest
from django.utils import timezone

from config.services import create_revision
from sensors import services
from sensors.models import Membership, Role
from tests.api.callers import Caller, make_network


@pytest.fixture
def things(world):
    gateway = services.create_gateway(world.network, identifier="access-gateway")
    sensor = services.create_sensor(world.network, identifier="access-sensor", gateway=gateway)
    create_revision(sensor, values={"a": 1}, author=None, now=timezone.now())
    services.issue_credential(sensor, author=None, now=timezone.now())
    return world


SENSOR = {"identifier": "made", "network": "{network}"}
GATEWAY = {"identifier": "made", "network": "{network}"}
REVISION = {"configuration": {"a": 2}}

# method, path, body, then the answer to viewer, operator, owner, stranger, nobody
TABLE = [
    ("GET", "networks/{network}/", None, 200, 200, 200, 404, 401),
    ("PATCH", "networks/{network}/", {"name": "x"}, 403, 200, 200, 404, 401),
    ("DELETE", "networks/{network}/", None, 403, 403, 204, 404, 401),
    ("GET", "networks/{network}/members/", None, 200, 200, 200, 404, 401),
    ("POST", "networks/{network}/members/", {"user": "{stranger}", "role": "viewer"}, 403, 403, 201, 404, 401),
    ("GET", "networks/{network}/members/{viewer}/", None, 200, 200, 200, 404, 401),
    ("PATCH", "networks/{network}/members/{viewer}/", {"role": "operator"}, 403, 403, 200, 404, 401),
    ("DELETE", "networks/{network}/members/{viewer}/", None, 204, 403, 204, 404, 401),
    ("GET", "gateways/access-gateway/", None, 200, 200, 200, 404, 401),
    ("POST", "gateways/", GATEWAY, 403, 201, 201, 400, 401),
    ("PATCH", "gateways/access-gateway/", {"name": "x"}, 403, 200, 200, 404, 401),
    ("DELETE", "gateways/access-gateway/", None, 403, 204, 204, 404, 401),
    ("GET", "sensors/access-sensor/", None, 200, 200, 200, 404, 401),
    ("POST", "sensors/", SENSOR, 403, 201, 201, 400, 401),
    ("PATCH", "sensors/access-sensor/", {"name": "x"}, 403, 200, 200, 404, 401),
    ("DELETE", "sensors/access-sensor/", None, 403, 204, 204, 404, 401),
    ("GET", "sensors/access-sensor/configurations/", None, 200, 200, 200, 404, 401),
    ("POST", "sensors/access-sensor/configurations/", REVISION, 403, 201, 201, 404, 401),
    ("GET", "sensors/access-sensor/configurations/0/", None, 200, 200, 200, 404, 401),
    ("GET", "sensors/access-sensor/configurations/0/diff/", None, 200, 200, 200, 404, 401),
    ("POST", "sensors/access-sensor/configurations/0/restore/", {}, 403, 201, 201, 404, 401),
    ("GET", "sensors/access-sensor/credential/", None, 200, 200, 200, 404, 401),
    ("POST", "sensors/access-sensor/credential/", {}, 403, 201, 201, 404, 401),
    ("DELETE", "sensors/access-sensor/credential/", None, 403, 204, 204, 404, 401),
    ("GET", "networks/", None, 200, 200, 200, 200, 401),
    ("GET", "gateways/", None, 200, 200, 200, 200, 401),
    ("GET", "sensors/", None, 200, 200, 200, 200, 401),
    ("GET", "stats/", None, 200, 200, 200, 200, 401),
    ("GET", "me/", None, 200, 200, 200, 200, 401),
    ("GET", "", None, 200, 200, 200, 200, 401),
]
CASES = [
    pytest.param((method, path, body), who, status, id=f"{who}-{method}-{path}")
    for method, path, body, *statuses in TABLE
    for who, status in zip(("viewer", "operator", "owner", "stranger", "nobody"), statuses, strict=True)
]


def filled(things, request_):
    """Return method, path and body with the names of this test's network and users."""
    method, path, body = request_
    names = {"network": things.network.slug, "stranger": things.stranger.user, "viewer": things.viewer.user}
    if body is not None:
        body = {key: value.format(**names) if isinstance(value, str) else value for key, value in body.items()}
    return method, path.format(**names), body


@pytest.mark.parametrize(("request_", "who", "status"), CASES)
def test_each_role_may_do_exactly_what_it_is_for(things, request_, who, status):
    answer = getattr(things, who).send(*filled(things, request_))
    assert answer.status_code == status, answer.content
    if status == 401:
        assert answer["WWW-Authenticate"] == "Bearer"
    if status == 400:
        assert "network" in answer.json()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_staff_act_as_owners_everywhere(things, row):
    assert things.staff.send(*filled(things, row[:3])).status_code == row[5]


@pytest.mark.parametrize("path", ["networks/", "gateways/", "sensors/"])
def test_lists_hold_only_what_the_caller_may_see(things, path):
    other, users = make_network("other", ada=Role.VIEWER)
    services.create_sensor(other, identifier="other-sensor")
    services.create_gateway(other, identifier="other-gateway")
    name = "slug" if path == "networks/" else "identifier"

    def seen(caller):
        return {row[name] for row in caller.get(path).json()["results"]}

    assert len(seen(things.viewer)) == len(seen(Caller(users["ada"]))) == 1
    assert not seen(things.viewer) & seen(Caller(users["ada"]))
    assert seen(things.stranger) == set()
    assert seen(things.staff) >= seen(things.viewer) | seen(Caller(users["ada"]))


def test_a_right_that_was_taken_away_ends_at_once(things):
    assert things.viewer.get("sensors/access-sensor/").status_code == 200
    Membership.objects.filter(user=things.viewer.user).delete()
    assert things.viewer.get("sensors/access-sensor/").status_code == 404


def test_somebody_elses_object_is_told_apart_from_a_missing_one_by_nothing(things):
    hidden = things.stranger.get("sensors/access-sensor/").json()["detail"]
    missing = things.stranger.get("sensors/missing-sensor/").json()["detail"]
    assert hidden.replace("access", "missing") == missing
