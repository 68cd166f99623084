"""What goes wrong answers in one form, and never with 500."""

import json

import pytest

from sensors import services
from tests.api.callers import Caller


@pytest.fixture
def sensor(world):
    return services.create_sensor(world.network, identifier="err-1")


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "nonsense",
        b"\xff\xfe",
        b"\x00",
        '{"identifier": NaN}',
        '{"identifier": -Infinity}',
        '{"period_s": 1e999}',
        '{"period_s": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"name": "a", "name": "b"}',
        "[]",
        '"text"',
        "null",
        "5",
    ],
)
def test_a_body_that_is_no_json_object_is_400(world, body):
    answer = world.operator.post("sensors/", body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["detail"], str)


def test_a_key_that_cannot_be_printed_is_named_in_escapes(world):
    answer = world.operator.post("networks/", '{"slug": "abc", "\\ud800": 1}')
    assert answer.status_code == 400
    assert answer.json() == {"\\ud800": ["There is no such field."]}


def test_an_empty_body_names_what_is_missing(world):
    answer = world.operator.post("sensors/")
    assert answer.status_code == 400
    assert set(answer.json()) == {"identifier", "network"}


def test_a_form_is_415(world):
    answer = world.operator.post("sensors/", "identifier=a", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 415
    assert isinstance(answer.json()["detail"], str)


def test_a_huge_body_is_413(world, settings):
    answer = world.operator.post("sensors/", '{"name": "' + "x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + '"}')
    assert answer.status_code == 413
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "sensors/err-1/"),
        ("POST", "sensors/err-1/"),
        ("DELETE", "sensors/"),
        ("DELETE", "sensors/err-1/configurations/"),
        ("POST", "sensors/err-1/configurations/0/"),
        ("GET", "sensors/err-1/configurations/0/restore/"),
        ("GET", "auth/token/"),
        ("GET", "auth/logout/"),
        ("POST", "me/"),
    ],
)
def test_a_verb_that_is_not_offered_is_405_and_names_those_that_are(world, sensor, method, path):
    answer = world.operator.send(method, path, {})
    assert answer.status_code == 405
    assert isinstance(answer.json()["detail"], str)
    assert answer["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "nothing/",
        "sensors/a%20b/",
        "sensors/%00/",
        "sensors/" + "a" * 65 + "/",
        "sensors/missing/",
        "sensors/missing/configurations/",
        "sensors/err-1/configurations/0/",
        "sensors/err-1/configurations/99999999999999999999/",
        "sensors/err-1/configurations/" + "9" * 5000 + "/",
        "sensors/err-1/configurations/x/",
        "networks/UPPER/",
        "networks/missing/members/x/",
        "gateways/missing/",
        "/api/v2/sensors/",
        "/api/nothing",
    ],
)
def test_what_is_not_there_is_404_in_json(world, sensor, path):
    answer = world.operator.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["detail"]


def test_a_member_with_a_senseless_name_is_404(world):
    assert world.owner.get(f"networks/{world.network.slug}/members/%00/").status_code == 404


def test_a_read_that_lacks_the_last_slash_is_sent_there_and_a_write_is_told(world, sensor):
    answer = world.operator.get("sensors/err-1?x=1")
    assert answer.status_code == 302
    assert answer["Location"] == "/api/v1/sensors/err-1/?x=1"
    answer = world.operator.post("sensors", {"identifier": "a", "network": world.network.slug})
    assert answer.status_code == 404
    assert "/api/v1/sensors/" in answer.json()["detail"]
    assert world.operator.get("nothing").status_code == 404


@pytest.mark.parametrize("path", ["", "sensors/", "sensors/err-1/", "networks/", "me/", "stats/"])
def test_head_and_options_answer(world, sensor, path):
    answer = world.operator.send("HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.operator.send("OPTIONS", path).status_code == 200


def test_the_root_lists_what_there_is(world):
    assert {"networks", "gateways", "sensors"} <= set(world.viewer.get("").json())


def test_times_are_utc_and_end_in_z(world, sensor):
    assert world.viewer.get("sensors/err-1/").json()["created_at"].endswith("Z")


def test_a_bug_is_500_in_json_with_the_id_of_its_log_line(world, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError("secret of the implementation")

    monkeypatch.setattr("sensors.queries.visible_networks", broken)
    world.viewer.client.raise_request_exception = False
    answer = world.viewer.get("networks/")
    assert answer.status_code == 500
    assert list(answer.json()) == ["detail"]
    assert "secret" not in answer.content.decode()
    assert answer["X-Request-ID"]


def test_no_error_page_outside_the_api_is_json(client, db):
    answer = client.get("/nothing-here")
    assert answer.status_code == 404
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)


def test_a_host_that_is_not_allowed_is_400_in_json(db):
    answer = Caller().get("sensors/", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert list(answer.json()) == ["detail"]
