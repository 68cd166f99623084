"""Revisions over HTTP."""

import json
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from config.models import Revision
from config.services import Answer, mark_published, record_acknowledgements
from sensors import services
from sensors.models import Role
from tests.api.callers import Caller, make_network
from tests.together import at_once

BASE = "sensors/conf-1/configurations/"


@pytest.fixture
def sensor(world):
    return services.create_sensor(world.network, identifier="conf-1")


def test_the_first_revision_is_0_and_pending(world, sensor):
    values = {"interval_s": 5, "unit": "°C", "on": True, "limit": 1.5, "spare": None}
    answer = world.operator.post(BASE, {"configuration": values, "comment": "First"})
    assert answer.status_code == 201
    body = answer.json()
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "sensor": "conf-1",
        "revision": 0,
        "configuration": values,
        "comment": "First",
        "state": "pending",
        "created_by": world.operator.user.username,
        "published_at": None,
        "acknowledged_at": None,
        "failed_at": None,
        "superseded_at": None,
    }


def test_an_empty_configuration_is_one(world, sensor):
    assert world.operator.post(BASE, {"configuration": {}}).json()["configuration"] == {}


def test_a_revision_goes_from_pending_to_acknowledged(world, sensor):
    world.operator.post(BASE, {"configuration": {}})
    mark_published([Revision.objects.get().pk], now=timezone.now())
    body = world.viewer.get(f"{BASE}0/").json()
    assert body["state"] == "published"
    assert body["published_at"].endswith("Z")
    record_acknowledgements([Answer(sensor.pk, 0, True)], now=timezone.now())
    body = world.viewer.get(f"{BASE}0/").json()
    assert body["state"] == "acknowledged"
    assert body["acknowledged_at"].endswith("Z")
    configuration = world.viewer.get("sensors/conf-1/").json()["configuration"]
    assert configuration == {
        "latest_revision": 0,
        "acknowledged_revision": 0,
        "running_revision": None,
        "state": "acknowledged",
    }


def test_revisions_are_listed_newest_first(world, sensor):
    for number in range(5):
        world.operator.post(BASE, {"configuration": {"n": number}})
    page = world.viewer.get(f"{BASE}?limit=3").json()
    assert [(row["revision"], row["state"]) for row in page["results"]] == [
        (4, "pending"),
        (3, "superseded"),
        (2, "superseded"),
    ]
    following = world.viewer.get(page["next"]).json()
    assert [row["revision"] for row in following["results"]] == [1, 0]
    assert following["next"] is None
    back = world.viewer.get(following["previous"]).json()
    assert [row["revision"] for row in back["results"]] == [4, 3, 2]


def test_a_list_of_revisions_takes_the_same_number_of_queries_for_1_and_50_rows(
    world, sensor, django_assert_num_queries
):
    assert world.viewer.get(BASE).json()["results"] == []
    world.operator.post(BASE, {"configuration": {}})
    with django_assert_num_queries(3):
        assert len(world.viewer.get(BASE).json()["results"]) == 1
    for number in range(49):
        world.operator.post(BASE, {"configuration": {"n": number}})
    with django_assert_num_queries(3):
        assert len(world.viewer.get(BASE).json()["results"]) == 50


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{}", "configuration"),
        ('{"configuration": null}', "configuration"),
        ('{"configuration": []}', "configuration"),
        ('{"configuration": "x"}', "configuration"),
        ('{"configuration": {"a": {"b": 1}}}', "configuration"),
        ('{"configuration": {"a": [1]}}', "configuration"),
        ('{"configuration": {"a": NaN}}', "configuration"),
        ('{"configuration": {"a": -Infinity}}', "configuration"),
        ('{"configuration": {"a": 1e999}}', "configuration"),
        ('{"configuration": {"a": "\\u0000"}}', "configuration"),
        ('{"configuration": {"\\ud800": 1}}', "configuration"),
        (json.dumps({"configuration": {str(key): 1 for key in range(201)}}), "configuration"),
        (json.dumps({"configuration": {"a": "x" * 65_536}}), "configuration"),
        ('{"configuration": {}, "comment": 5e999}', "comment"),
        (json.dumps({"configuration": {}, "comment": "x" * 501}), "comment"),
        ('{"configuration": {}, "comment": null}', "comment"),
        ('{"configuration": {}, "expected_revision": "x"}', "expected_revision"),
        ('{"configuration": {}, "expected_revision": NaN}', "expected_revision"),
        ('{"configuration": {}, "expected_revision": -2}', "expected_revision"),
        ('{"configuration": {}, "expected_revison": 0}', "expected_revison"),
        ('{"configuration": {}, "revision": 7}', "revision"),
        ('{"configuration": {}, "state": "acknowledged"}', "state"),
    ],
)
def test_what_is_wrong_about_a_revision_is_named_and_nothing_is_written(world, sensor, body, field):
    answer = world.operator.post(BASE, body)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()) == [field]
    assert Revision.objects.count() == 0


def test_the_key_that_is_wrong_is_named(world, sensor):
    answer = world.operator.post(BASE, '{"configuration": {"fine": 1, "pace": NaN}}')
    assert "pace" in answer.json()["configuration"][0]


def test_a_body_that_is_no_json_is_400(world, sensor):
    assert world.operator.post(BASE, '{"configuration": }').status_code == 400


def test_the_limits_themselves_are_allowed(world, sensor):
    assert world.operator.post(BASE, {"configuration": {str(key): 1 for key in range(200)}}).status_code == 201
    frame = len('{"a":""}')
    assert world.operator.post(BASE, {"configuration": {"a": "x" * (65_536 - frame)}}).status_code == 201


def test_somebody_who_was_slower_is_told_what_to_do(world, sensor):
    assert world.operator.post(BASE, {"configuration": {}, "expected_revision": -1}).status_code == 201
    assert world.operator.post(BASE, {"configuration": {}, "expected_revision": 0}).status_code == 201
    answer = world.operator.post(BASE, {"configuration": {}, "expected_revision": 0})
    assert answer.status_code == 409
    assert "the newest is revision 1" in answer.json()["detail"]
    assert world.operator.post(BASE, {"configuration": {}, "expected_revision": None}).status_code == 201
    assert Revision.objects.count() == 3


def test_a_revision_is_compared_with_the_one_before_or_any_other(world, sensor):
    for values in ({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": True}, {"c": 1}):
        world.operator.post(BASE, {"configuration": values})
    assert world.viewer.get(f"{BASE}1/diff/").json() == {
        "revision": 1,
        "against": 0,
        "added": {"c": True},
        "removed": {},
        "changed": {"b": {"from": 2, "to": 3}},
    }
    assert world.viewer.get(f"{BASE}2/diff/?against=0").json() == {
        "revision": 2,
        "against": 0,
        "added": {"c": 1},
        "removed": {"a": 1, "b": 2},
        "changed": {},
    }
    assert world.viewer.get(f"{BASE}0/diff/?against=2").json()["added"] == {"a": 1, "b": 2}
    first = world.viewer.get(f"{BASE}0/diff/").json()
    assert (first["against"], first["added"]) == (None, {"a": 1, "b": 2})
    same = world.viewer.get(f"{BASE}1/diff/?against=1").json()
    assert (same["added"], same["removed"], same["changed"]) == ({}, {}, {})


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"against": "x"}, 400),
        ({"against": "-1"}, 400),
        ({"against": "²"}, 400),
        ({"agianst": "0"}, 400),
        ({"against": "7"}, 404),
        ({"against": "9999999999"}, 404),
    ],
)
def test_a_comparison_with_what_is_not_there_is_refused(world, sensor, query, status):
    world.operator.post(BASE, {"configuration": {}})
    assert world.viewer.get(f"{BASE}0/diff/?{urlencode(query)}").status_code == status


def test_restoring_makes_a_new_revision(world, sensor):
    world.operator.post(BASE, {"configuration": {"pace": 1}})
    world.operator.post(BASE, {"configuration": {"pace": 2}})
    answer = world.operator.post(f"{BASE}0/restore/")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["revision"], body["configuration"], body["state"]) == (2, {"pace": 1}, "pending")
    assert body["comment"] == "Restored from revision 0"
    answer = world.operator.post(f"{BASE}0/restore/", {"comment": "Back", "expected_revision": 2})
    assert (answer.status_code, answer.json()["comment"]) == (201, "Back")
    assert world.operator.post(f"{BASE}0/restore/", {"expected_revision": 2}).status_code == 409
    assert world.operator.post(f"{BASE}9/restore/").status_code == 404
    assert world.operator.post(f"{BASE}0/restore/", {"configuration": {}}).status_code == 400


def test_a_revision_of_another_sensor_is_404(world, sensor):
    services.create_sensor(world.network, identifier="conf-2")
    world.operator.post(BASE, {"configuration": {}})
    assert world.viewer.get("sensors/conf-2/configurations/0/").status_code == 404


def test_20_writers_at_once_get_20_numbers(transactional_db):
    network, users = make_network("crowd", ada=Role.OPERATOR)
    services.create_sensor(network, identifier="conf-1")
    caller = Caller(users["ada"])
    writers = [Caller(**caller.headers) for _ in range(20)]
    answers = at_once(
        *[
            lambda writer=writer, index=index: writer.post(BASE, {"configuration": {"writer": index}})
            for index, writer in enumerate(writers)
        ]
    )
    assert [answer.status_code for answer in answers] == [201] * 20
    assert sorted(answer.json()["revision"] for answer in answers) == list(range(20))
