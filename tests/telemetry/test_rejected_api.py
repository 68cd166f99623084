"""Rejected messages over REST: who sees which, how a payload is shown, and how one is taken in again."""

import json
from types import SimpleNamespace

import pytest

from sensors.models import Role
from sensors.services import create_sensor, set_member
from telemetry.models import Measurement, RejectedMessage
from tests.api.callers import Caller, make_user
from tests.telemetry.reading import PAGE, at, iso, reject
from tests.telemetry.rows import T0

pytestmark = pytest.mark.django_db


def test_a_rejected_message_is_seen_by_who_may_see_its_sensor(world: SimpleNamespace) -> None:
    mine = reject(world.sensor, topic="a")
    reject(world.other_sensor, topic="b")
    reject(None, topic="c")

    assert world.viewer.get("rejected-messages/").json() == {
        **PAGE,
        "results": [
            {
                "id": mine.pk,
                "topic": "a",
                "sensor": world.sensor.identifier,
                "reason": "malformed_json",
                "detail": "no JSON",
                "count": 3,
                "first_at": iso(at(0)),
                "last_at": iso(at(60)),
                "whole": True,
                "kept": True,
                "payload_bytes": 7,
                "payload": "temp=21",
            }
        ],
    }
    assert [row["topic"] for row in world.other.get("rejected-messages/").json()["results"]] == ["b"]
    every = world.staff.get("rejected-messages/").json()["results"]
    assert [(row["topic"], row["sensor"]) for row in every] == [
        ("c", None),
        ("b", world.other_sensor.identifier),
        ("a", world.sensor.identifier),
    ]


def test_rejected_messages_are_filtered(world: SimpleNamespace) -> None:
    reject(world.sensor, topic="a", reason="schema", first_at=at(0), last_at=at(10))
    reject(world.sensor, topic="b", reason="schema", first_at=at(20), last_at=at(30))
    reject(world.other_sensor, topic="c", first_at=at(5), last_at=at(40))

    def topics(query: str) -> list[str]:
        return [row["topic"] for row in world.staff.get(f"rejected-messages/?{query}").json()["results"]]

    assert topics("reason=schema") == ["b", "a"]
    assert topics(f"sensor={world.other_sensor.identifier}") == ["c"]
    assert topics("sensor=nobody") == []
    # Seen at least once within the range.
    assert topics(f"start={iso(at(10))}&end={iso(at(20))}") == ["c", "a"]
    assert topics(f"start={iso(at(31))}") == ["c"]


def test_a_payload_is_shown_as_text_from_its_beginning(world: SimpleNamespace) -> None:
    payload = b"\xff\x00caf\xc3\xa9 " + b"x" * 2_000
    rejected = reject(world.sensor, payload=payload, payload_bytes=len(payload))

    (listed,) = world.viewer.get("rejected-messages/").json()["results"]
    assert listed["payload"] == "\N{REPLACEMENT CHARACTER}\x00café " + "x" * 992
    assert listed["payload_bytes"] == 2_008
    whole = world.viewer.get(f"rejected-messages/{rejected.pk}/").json()
    assert whole["payload"] == "\N{REPLACEMENT CHARACTER}\x00café " + "x" * 2_000
    assert world.other.get(f"rejected-messages/{rejected.pk}/").status_code == 404
    assert world.staff.get("rejected-messages/99999999999999999999/").status_code == 404


def test_what_an_unknown_sensor_sent_is_seen_once_the_sensor_is(world: SimpleNamespace) -> None:
    reject(None, topic="measurements/later", reason="unknown_sensor")
    reject(None, topic="heartbeats/never", reason="unknown_sensor", digest=bytes(15) + b"1")
    # Of no sensor, although the topic names one.
    reject(None, topic="nonsense/later", reason="unknown_topic")
    assert world.viewer.get("rejected-messages/").json()["results"] == []

    sensor = create_sensor(world.network, identifier="later")

    def rows(caller: Caller, query: str = "") -> list[tuple[str, str | None]]:
        results = caller.get(f"rejected-messages/{query}").json()["results"]
        return sorted((row["topic"], row["sensor"]) for row in results)

    assert rows(world.viewer) == rows(world.staff, "?sensor=later") == [("measurements/later", sensor.identifier)]
    assert rows(world.other) == []
    assert rows(world.staff) == [
        ("heartbeats/never", None),
        ("measurements/later", "later"),
        ("nonsense/later", None),
    ]


def test_what_was_only_counted_is_shown_like_any_other(world: SimpleNamespace) -> None:
    topic = f"+/{world.sensor.identifier}"
    rejected = reject(world.sensor, topic=topic, kept=False, payload=b"", payload_bytes=0, count=7_000)

    (row,) = world.viewer.get("rejected-messages/").json()["results"]

    assert (row["id"], row["topic"], row["kept"], row["count"], row["payload"]) == (
        rejected.pk,
        topic,
        False,
        7_000,
        "",
    )


@pytest.fixture
def operator(world: SimpleNamespace) -> Caller:
    user = make_user("operator")
    set_member(world.network, user=user, role=Role.OPERATOR)
    return Caller(user)


def one_measurement(value: object = 21.5) -> dict[str, object]:
    entries = [{"revision": 0, "timestamp": T0.timestamp(), "value": {"t": value}}]
    payload = json.dumps({"measurements": entries}).encode()
    return {"payload": payload, "payload_bytes": len(payload), "first_at": T0}


def test_an_operator_takes_a_message_in_again(world: SimpleNamespace, operator: Caller) -> None:
    rejected = reject(None, topic="measurements/later", reason="unknown_sensor", **one_measurement())
    create_sensor(world.network, identifier="later")
    path = f"rejected-messages/{rejected.pk}/reingest/"

    assert world.nobody.post(path).status_code == 401
    assert world.other.post(path).status_code == 404
    assert world.viewer.post(path).status_code == 403
    assert not Measurement.objects.exists()
    answer = operator.post(path)

    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "duplicates": 0, "entries_refused": 0})
    assert Measurement.objects.get().value == {"t": 21.5}
    assert not RejectedMessage.objects.exists()
    assert operator.post(path).status_code == 404


def test_what_is_refused_again_is_a_conflict_and_stays(world: SimpleNamespace, operator: Caller) -> None:
    topic = f"measurements/{world.sensor.identifier}"
    rejected = reject(world.sensor, topic=topic, reason="unknown_sensor")

    answer = operator.post(f"rejected-messages/{rejected.pk}/reingest/")

    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("Refused again as malformed_json: ")
    assert RejectedMessage.objects.get().reason == "malformed_json"


def test_what_belongs_to_no_sensor_is_taken_in_again_by_staff(world: SimpleNamespace, operator: Caller) -> None:
    rejected = reject(None, topic="measurements/never", reason="unknown_sensor", **one_measurement())
    path = f"rejected-messages/{rejected.pk}/reingest/"

    assert operator.post(path).status_code == 404
    answer = world.staff.post(path)

    assert answer.status_code == 409
    assert "no sensor has the identifier never" in answer.json()["detail"]
