"""Measurements, the newest ones, attributes and series over REST."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.api.callers import Caller
from tests.telemetry.reading import PAGE, at, follow, iso, set_latest
from tests.telemetry.rows import T0, make_sensor, put_measurements

pytestmark = pytest.mark.django_db


def test_measurements_come_newest_first(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(0), {"t": 20.5, "on": True, "s": None}), (at(1.25), {})], revision=7)
    put_measurements(world.other_sensor, [(at(2), {"t": 1})])

    answer = world.viewer.get(f"sensors/{world.sensor.identifier}/measurements/")

    assert answer.status_code == 200
    assert answer.json() == {
        **PAGE,
        "results": [
            {"measured_at": "2026-03-01T12:00:01.250000Z", "received_at": iso(T0), "revision": 7, "value": {}},
            {
                "measured_at": "2026-03-01T12:00:00Z",
                "received_at": iso(T0),
                "revision": 7,
                "value": {"t": 20.5, "on": True, "s": None},
            },
        ],
    }


def test_start_belongs_to_a_range_and_end_does_not(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(number), {"n": number}) for number in range(4)])

    def found(query: str) -> list[int]:
        answer = world.viewer.get(f"sensors/{world.sensor.identifier}/measurements/?{query}")
        assert answer.status_code == 200, answer.json()
        return [row["value"]["n"] for row in answer.json()["results"]]

    assert found(f"start={iso(at(1))}&end={iso(at(3))}") == [2, 1]
    assert found(f"start={iso(at(2))}") == [3, 2]
    assert found(f"end={iso(at(2))}") == [1, 0]
    # The same moment with an offset, its plus sign encoded and not.
    assert found("start=2026-03-01T14:00:02%2B02:00") == [3, 2]
    assert found("start=2026-03-01T14:00:02+02:00") == [3, 2]


def test_pages_hold_every_measurement_once_also_those_of_the_same_instant(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(0), {"n": number}) for number in range(25)])
    put_measurements(world.sensor, [(at(1), {"n": number}) for number in range(25, 30)])
    put_measurements(world.sensor, [(at(-1), {"n": number}) for number in range(30, 35)])
    path = f"sensors/{world.sensor.identifier}/measurements/?limit=4"

    pages = follow(world.viewer, path)

    assert [len(page) for page in pages] == [4] * 8 + [3]
    numbers = [row["value"]["n"] for page in pages for row in page]
    assert sorted(numbers) == list(range(35))
    assert sorted(numbers[:5]) == list(range(25, 30))
    assert sorted(numbers[-5:]) == list(range(30, 35))
    # And back again from the last page.
    second = world.viewer.get(world.viewer.get(path).json()["next"]).json()
    assert world.viewer.get(second["previous"]).json()["results"] == pages[0]


def test_what_arrives_meanwhile_moves_no_page(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(number), {"n": number}) for number in range(6)])
    first = world.viewer.get(f"sensors/{world.sensor.identifier}/measurements/?limit=3").json()

    put_measurements(world.sensor, [(at(number), {"n": number}) for number in range(6, 9)])

    second = world.viewer.get(first["next"]).json()
    assert [row["value"]["n"] for row in second["results"]] == [2, 1, 0]


def test_the_newest_measurement_is_that_of_the_state(world: SimpleNamespace) -> None:
    path = f"sensors/{world.sensor.identifier}/measurements/latest/"
    missing = world.viewer.get(path)
    assert (missing.status_code, list(missing.json())) == (404, ["detail"])

    set_latest(world.sensor, {"t": 20.5})

    assert world.viewer.get(path).json() == {
        "measured_at": iso(T0),
        "received_at": iso(at(1)),
        "revision": 4,
        "value": {"t": 20.5},
    }


def test_the_newest_of_all_sensors_are_those_that_one_may_see(world: SimpleNamespace) -> None:
    make_sensor(world.network)
    set_latest(world.sensor, {"t": 1})
    set_latest(world.other_sensor, {"t": 2})

    def found(caller: Caller, query: str = "") -> dict[str, Any]:
        return {row["sensor"]: row["value"] for row in caller.get(f"measurements/latest/{query}").json()["results"]}

    mine, others = {world.sensor.identifier: {"t": 1}}, {world.other_sensor.identifier: {"t": 2}}
    assert found(world.viewer) == mine
    assert found(world.other) == others
    assert found(world.staff) == mine | others
    assert found(world.staff, f"?network={world.network.slug}") == mine
    assert found(world.viewer, f"?network={world.elsewhere.slug}") == {}


def test_the_attributes_are_those_of_the_newest_measurements(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(-number), {"old": 1}) for number in range(200, 202)])
    put_measurements(world.sensor, [(at(number), {"t": number, "s": "x"}) for number in range(100)])
    put_measurements(world.sensor, [(at(100 + number), {"t": None, "on": True}) for number in range(100)])

    assert world.viewer.get(f"sensors/{world.sensor.identifier}/attributes/").json() == {
        **PAGE,
        "results": [
            {"name": "on", "kinds": ["boolean"]},
            {"name": "s", "kinds": ["string"]},
            {"name": "t", "kinds": ["null", "number"]},
        ],
    }


def test_a_series_has_count_min_mean_and_max(world: SimpleNamespace) -> None:
    put_measurements(world.sensor, [(at(0), {"t": 20}), (at(30), {"t": 23}), (at(3600), {"t": 1.5})])

    answer = world.viewer.get(
        f"sensors/{world.sensor.identifier}/series/?attribute=t&start={iso(at(0))}&end={iso(at(7200))}&points=2"
    )

    assert answer.json() == {
        "attribute": "t",
        "bucket_s": 3600,
        "points": [
            {"start": "2026-03-01T12:00:00Z", "count": 2, "min": 20.0, "mean": 21.5, "max": 23.0},
            {"start": "2026-03-01T13:00:00Z", "count": 1, "min": 1.5, "mean": 1.5, "max": 1.5},
        ],
    }
