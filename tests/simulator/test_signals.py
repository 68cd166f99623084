import pytest

from fleet.simulator.signals import ATTRIBUTE_NAMES, ATTRIBUTES, Excursion, Signals

NOON_S = 1_700_000_000.0


def run(*, seed: int = 1, identifier: str = "a", hours: float = 1, step_s: float = 10, rate: float = 0.0):
    signals = Signals(seed=seed, identifier=identifier, excursions_per_hour=rate)
    return [signals.sample(NOON_S + number * step_s) for number in range(int(hours * 3600 / step_s))]


def test_the_same_seed_and_sensor_give_the_same_values():
    assert run(rate=20) == run(rate=20)


@pytest.mark.parametrize("other", [{"seed": 2}, {"identifier": "b"}])
def test_another_seed_or_sensor_gives_other_values(other):
    assert run(hours=0.1) != run(hours=0.1, **other)


def test_values_do_not_depend_on_the_process():
    # Written down once; a generator seeded by hash() would differ from process to process.
    assert run(seed=7, identifier="demo-001", hours=0.01)[0] == {
        "temperature": 19.11,
        "humidity": 46.5,
        "voltage": 230.1,
        "current": 4.53,
        "pressure": 1010.8,
    }


def test_without_excursions_a_day_stays_within_all_rules():
    for identifier in ("a", "b", "c"):
        for value in run(identifier=identifier, hours=24, step_s=60):
            for attribute in ATTRIBUTES:
                assert attribute.low < value[attribute.name] < attribute.high


def test_temperature_has_a_daily_course():
    values = [value["temperature"] for value in run(hours=24, step_s=60)]
    by_hour = [sum(values[hour * 60 : hour * 60 + 60]) / 60 for hour in range(24)]
    assert 3 < max(by_hour) - min(by_hour) < 12


def test_excursions_violate_every_rule_now_and_then_and_end_again():
    violated: dict[str, int] = dict.fromkeys(ATTRIBUTE_NAMES, 0)
    values = run(hours=48, step_s=5, rate=4)
    for value in values:
        for attribute in ATTRIBUTES:
            violated[attribute.name] += not attribute.low <= value[attribute.name] <= attribute.high
    assert all(violated.values())
    # A modest rate: four a minute long in an hour are about 7 % of the time, of five attributes together.
    assert 0.01 < sum(violated.values()) / len(values) < 0.12


def test_a_slow_sensor_meets_the_excursions_too():
    values = run(hours=200, step_s=600, rate=4)
    assert any(not 0 <= value["current"] <= 10 for value in values)


def test_an_excursion_rises_stays_and_falls():
    excursion = Excursion("current", 100, 200, 12.0)
    assert [excursion.weight(at_s) for at_s in (99, 107.5, 150, 192.5, 201)] == [0, 0.5, 1, 0.5, 0]
