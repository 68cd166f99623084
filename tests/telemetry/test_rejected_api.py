"""Rejected messages over REST: who sees which, and how a payload is shown."""

from types import SimpleNamespace

import pytest

from tests.telemetry.reading import PAGE, at, iso, reject

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
