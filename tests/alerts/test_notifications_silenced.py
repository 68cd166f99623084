"""What targets are told of alerts while a silence holds for them, and after it."""

import pytest

from alerts.services import create_silence, delete_silence
from tests.alerts.making import at, clear, deliver, fire, make_sensor, told

pytestmark = pytest.mark.django_db


def silence(operator, sensor, *, until_s, from_s=0):
    return create_silence(
        user=operator,
        matchers={"sensor": sensor.identifier},
        starts_at=at(from_s),
        ends_at=at(until_s),
        now=at(from_s),
    )


@pytest.mark.usefixtures("rule", "target")
def test_a_silenced_alert_is_told_once_when_the_silence_ends(network, sensor, receiver, operator):
    silence(operator, sensor, until_s=100)
    other = make_sensor(network)
    for one in (sensor, other):
        fire(one, 1)
    deliver(11)
    assert receiver.titles() == [f"{network.name}: 1 firing"]
    assert other.identifier in receiver.messages[0]["message"]
    for second in range(20, 100, 10):
        assert deliver(second).messages == 0
    for second in range(100, 131, 2):
        deliver(second)
    assert [sensor.identifier in message["message"] for message in receiver.messages] == [False, True]


def test_a_silence_that_is_deleted_holds_nothing_back(sensor, rule, target, receiver, operator):
    made = silence(operator, sensor, until_s=100_000)
    fire(sensor, 1)
    deliver(11)
    delete_silence(made)
    deliver(21)
    assert len(receiver.messages) == 1


def test_an_alert_that_ends_silenced_is_told_at_no_time(sensor, rule, target, receiver, operator):
    silence(operator, sensor, until_s=100)
    fire(sensor, 1)
    deliver(11)
    clear(sensor, 50)
    deliver(1_000)
    assert receiver.messages == []
    assert told() == [("firing", "dropped", 0)]


def test_the_end_of_an_alert_that_was_told_waits_for_the_end_of_a_later_silence(
    sensor, rule, target, receiver, operator
):
    fire(sensor, 1)
    deliver(11)
    silence(operator, sensor, from_s=20, until_s=100)
    clear(sensor, 50)
    for second in (60, 70, 80, 90):
        assert deliver(second).messages == 0
    for second in (101, 111):
        deliver(second)
    assert receiver.titles() == [f"{sensor.network.name}: 1 firing", f"{sensor.network.name}: 1 resolved"]
