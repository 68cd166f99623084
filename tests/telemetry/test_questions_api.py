"""Who may ask, and what is said about a question that is wrong."""

from types import SimpleNamespace

import pytest

from tests.telemetry.reading import at
from tests.telemetry.rows import put_measurements

pytestmark = pytest.mark.django_db


BELOW_SENSOR = [
    "measurements/",
    "measurements/latest/",
    "measurements/export/",
    "attributes/",
    "series/?attribute=t",
    "heartbeats/",
    "log-messages/",
    "log-messages/summary/",
]
OF_ALL = ["measurements/latest/", "log-messages/", "log-messages/summary/", "rejected-messages/"]


# (path, the parameter that is named, part of what is said about it)
WRONG_BELOW_SENSOR = [
    ("measurements/?start=2026-03-01T12:00:00", "start", "does not say its time zone"),
    ("measurements/?start=2026-03-01", "start", "2026-03-01T12:00:00Z"),
    ("measurements/?end=yesterday", "end", "'yesterday' is no time in ISO 8601"),
    ("measurements/?start=1767225600", "start", "no time in ISO 8601"),
    ("measurements/?start=0001-01-01T00:00:00%2B14:00", "start", "no time in ISO 8601"),
    ("measurements/?start=2026-03-01T12:00:00Z&end=2026-03-01T12:00:00Z", "end", "is not after start"),
    ("measurements/?limit=1001", "limit", "from 1 to 1000"),
    ("measurements/?cursor=x", "cursor", "next"),
    ("measurements/?from=2026-03-01T12:00:00Z", "from", "Unknown parameter"),
    ("heartbeats/?end=no", "end", "no time"),
    ("log-messages/?severity=fatal", "severity", "'fatal' is none of info, warning, error"),
    ("log-messages/summary/?severity=fatal", "severity", "fatal"),
    ("series/", "attribute", "required"),
    ("series/?attribute=", "attribute", "required"),
    ("series/?attribute=%00", "attribute", "NUL"),
    (f"series/?attribute={'x' * 201}", "attribute", "200 characters"),
    ("series/?attribute=t&points=0", "points", "from 1 to 2000"),
    ("series/?attribute=t&points=2001", "points", "from 1 to 2000"),
    ("series/?attribute=t&points=ten", "points", "'ten'"),
    ("series/?attribute=t&start=5&end=6", "start", "no time"),
    ("measurements/export/?format=xlsx", "format", "'xlsx' is none of csv, ndjson"),
    ("measurements/export/?start=now", "start", "no time"),
    ("measurements/export/?attribute=a%00", "attribute", "NUL"),
    ("measurements/latest/?x=1", "x", "no parameters"),
]
WRONG_OF_ALL = [
    ("log-messages/?network=%00", "network"),
    ("log-messages/?severity=x", "severity"),
    ("rejected-messages/?reason=bad", "reason"),
    ("rejected-messages/?start=2026", "start"),
    ("measurements/latest/?limit=0", "limit"),
]


def test_another_networks_sensor_is_not_there(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(0), {"t": 1})])

    for path in BELOW_SENSOR:
        refused = world.other.get(f"sensors/{world.sensor.identifier}/{path}")
        unknown = world.other.get(f"sensors/never-made/{path}")

        assert (refused.status_code, unknown.status_code) == (404, 404), path
        # Word for word as for one that never was.
        told = refused.json()["detail"].replace(world.sensor.identifier, "never-made")
        assert told == unknown.json()["detail"], path


def test_without_a_token_there_is_nothing(world: SimpleNamespace) -> None:
    for path in OF_ALL + [f"sensors/{world.sensor.identifier}/{path}" for path in BELOW_SENSOR]:
        answer = world.nobody.get(path)

        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), path


def test_telemetry_is_read_only(world: SimpleNamespace) -> None:
    for path in OF_ALL + [f"sensors/{world.sensor.identifier}/{path}" for path in BELOW_SENSOR]:
        statuses = {getattr(world.staff, verb)(path).status_code for verb in ("post", "patch", "delete")}
        assert statuses == {405}, path


def test_what_is_wrong_with_a_question_is_named(world: SimpleNamespace) -> None:
    for path, field, part in WRONG_BELOW_SENSOR:
        answer = world.viewer.get(f"sensors/{world.sensor.identifier}/{path}")

        assert (answer.status_code, list(answer.json())) == (400, [field]), path
        assert part in answer.json()[field][0], path


def test_what_is_wrong_with_a_question_about_all_is_named(world: SimpleNamespace) -> None:
    for path, field in WRONG_OF_ALL:
        answer = world.viewer.get(path)

        assert (answer.status_code, list(answer.json())) == (400, [field]), path
