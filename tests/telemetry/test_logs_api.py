"""Heartbeats and log messages over REST."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from sensors.models import Sensor
from tests.api.callers import Caller
from tests.telemetry.reading import PAGE, at, follow, iso
from tests.telemetry.rows import T0, make_sensor, put_heartbeats, put_log_messages

pytestmark = pytest.mark.django_db


def test_heartbeats_come_newest_first(world: SimpleNamespace) -> None:
    put_heartbeats(world.sensor, [(at(0), 3, False), (at(1), 3, True)])

    answer = world.viewer.get(f"sensors/{world.sensor.identifier}/heartbeats/?start={iso(at(0))}")

    assert answer.json()["results"] == [
        {"measured_at": iso(at(1)), "received_at": iso(T0), "revision": 3, "success": True},
        {"measured_at": iso(at(0)), "received_at": iso(T0), "revision": 3, "success": False},
    ]


def test_log_messages_are_filtered_by_severity_and_time(world: SimpleNamespace) -> None:
    put_log_messages(world.sensor, [(at(0), "info", "start"), (at(1), "warning", "battery low")], details="3.3 V")
    put_log_messages(world.sensor, [(at(2), "error", "no probe")])
    path = f"sensors/{world.sensor.identifier}/log-messages/"

    def subjects(query: str) -> list[str]:
        return [row["subject"] for row in world.viewer.get(path + query).json()["results"]]

    assert world.viewer.get(path).json()["results"][:2] == [
        {
            "measured_at": iso(at(2)),
            "received_at": iso(T0),
            "revision": 0,
            "severity": "error",
            "subject": "no probe",
            "details": None,
        },
        {
            "measured_at": iso(at(1)),
            "received_at": iso(T0),
            "revision": 0,
            "severity": "warning",
            "subject": "battery low",
            "details": "3.3 V",
        },
    ]
    assert subjects("?severity=warning") == ["battery low"]
    assert subjects("?severity=warning&severity=error") == ["no probe", "battery low"]
    assert subjects(f"?end={iso(at(2))}") == ["battery low", "start"]


def test_log_messages_of_all_sensors_are_in_the_order_of_time(world: SimpleNamespace) -> None:
    neighbour = make_sensor(world.network)
    put_log_messages(world.sensor, [(at(0), "info", "a"), (at(2), "error", "c")])
    put_log_messages(neighbour, [(at(1), "info", "b"), (at(2), "error", "d")])
    put_log_messages(world.other_sensor, [(at(3), "error", "not mine")])

    pages = follow(world.viewer, "log-messages/?limit=1")

    # At the same time, the sensor that was made later comes first.
    assert [(row["sensor"], row["subject"]) for page in pages for row in page] == [
        (neighbour.identifier, "d"),
        (world.sensor.identifier, "c"),
        (neighbour.identifier, "b"),
        (world.sensor.identifier, "a"),
    ]

    def subjects(caller: Caller, query: str) -> list[str]:
        return [row["subject"] for row in caller.get(f"log-messages/?{query}").json()["results"]]

    assert subjects(world.viewer, f"sensor={neighbour.identifier}") == ["d", "b"]
    assert subjects(world.viewer, f"severity=info&end={iso(at(1))}") == ["a"]
    assert subjects(world.viewer, f"sensor={world.other_sensor.identifier}") == []
    assert subjects(world.staff, f"network={world.elsewhere.slug}") == ["not mine"]


def test_log_messages_of_a_deleted_sensor_are_nobodys(world: SimpleNamespace) -> None:
    gone = make_sensor(world.network)
    put_log_messages(gone, [(at(0), "info", "gone")])
    Sensor.objects.filter(pk=gone.pk).delete()

    assert world.viewer.get("log-messages/").json()["results"] == []
    assert world.staff.get("log-messages/").json()["results"] == []


def test_many_sensors_are_found_as_few_are(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    put_log_messages(world.sensor, [(at(0), "info", "mine")])
    put_log_messages(world.other_sensor, [(at(0), "info", "not mine")])
    monkeypatch.setattr("telemetry.queries.entries.MAX_LISTED_IDS", 0)

    assert [row["subject"] for row in world.viewer.get("log-messages/").json()["results"]] == ["mine"]


def test_a_summary_counts_by_severity_and_subject(world: SimpleNamespace) -> None:
    neighbour = make_sensor(world.network)
    put_log_messages(world.sensor, [(at(0), "error", "no probe"), (at(5), "error", "no probe")])
    put_log_messages(world.sensor, [(at(1), "info", "start")])
    put_log_messages(neighbour, [(at(9), "error", "no probe"), (at(2), "warning", "start")])
    put_log_messages(world.other_sensor, [(at(9), "error", "no probe")])

    def group(severity: str, subject: str, number: int, first: datetime, last: datetime) -> dict[str, Any]:
        return {
            "severity": severity,
            "subject": subject,
            "count": number,
            "first": iso(first),
            "last": iso(last),
        }

    own = world.viewer.get(f"sensors/{world.sensor.identifier}/log-messages/summary/")
    assert own.json() == {
        **PAGE,
        "results": [group("error", "no probe", 2, at(0), at(5)), group("info", "start", 1, at(1), at(1))],
    }
    assert [row for page in follow(world.viewer, "log-messages/summary/?limit=1") for row in page] == [
        group("error", "no probe", 3, at(0), at(9)),
        group("info", "start", 1, at(1), at(1)),
        group("warning", "start", 1, at(2), at(2)),
    ]
    assert world.viewer.get(f"log-messages/summary/?severity=error&start={iso(at(1))}").json()["results"] == [
        group("error", "no probe", 2, at(5), at(9))
    ]
