"""What callers see of what is theirs and of what is not; who may do what is in `matrix.py`."""

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


def test_the_count_of_waiting_claims_is_of_the_callers_networks(things):
    _, users = make_network("other", ada=Role.OWNER)
    _, code = services.create_claim_code(things.network, name="x", days=1, author=None, now=timezone.now())
    services.present_claim(code, identifier="new", proof="a proof that nobody has", now=timezone.now())
    callers = things.viewer, things.staff, Caller(users["ada"]), things.stranger
    assert [caller.get("stats/").json()["claims_waiting"] for caller in callers] == [1, 1, 0, 0]


def test_a_right_that_was_taken_away_ends_at_once(things):
    assert things.viewer.get("sensors/access-sensor/").status_code == 200
    Membership.objects.filter(user=things.viewer.user).delete()
    assert things.viewer.get("sensors/access-sensor/").status_code == 404


def test_somebody_elses_object_is_told_apart_from_a_missing_one_by_nothing(things):
    hidden = things.stranger.get("sensors/access-sensor/").json()["detail"]
    missing = things.stranger.get("sensors/missing-sensor/").json()["detail"]
    assert hidden.replace("access", "missing") == missing
