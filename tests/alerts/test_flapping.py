"""Alerts that fire and resolve too often are marked, and only as long as they do."""

import pytest

from alerts.models import Alert
from alerts.services import resolve_alert, sweep
from tests.alerts.making import (
    at,
    deliver,
    drained,
    feed,
    heard,
    history,
    make_gateway,
    make_gateway_rule,
    make_sensor,
    make_staleness,
    make_target,
    make_threshold,
    make_user,
    offset,
    told,
)

pytestmark = pytest.mark.django_db


def flap(sensor, *, transitions, step_s=10, start_s=0, **options):
    """Let the sensor's alert fire, be resolved, fire, …: so many transitions, a step apart."""
    points = [(start_s + number * step_s, 1.0 if number % 2 else 51.0) for number in range(transitions)]
    feed(sensor, points, **options)


def marks(**filters):
    return list(Alert.objects.filter(**filters).order_by("started_at", "pk").values_list("flapping", flat=True))


def test_an_alert_is_marked_with_the_transition_that_is_one_too_many(network, sensor):
    make_threshold(network)
    flap(sensor, transitions=6)
    assert marks() == [False, False, False]
    feed(sensor, [(60, 51.0)])
    assert marks() == [False, False, False, True]
    assert offset(Alert.objects.get(flapping=True).flapping_until) == 3_600
    feed(sensor, [(70, 1.0)])
    assert marks() == [False, False, False, True]
    feed(sensor, [(80, 51.0)])
    assert marks() == [False, False, False, True, True]


def test_a_resolution_may_be_the_one_too_many(network, sensor, settings):
    settings.FLAPPING_TRANSITIONS = 5
    make_threshold(network)
    flap(sensor, transitions=5)
    assert marks() == [False, False, False]
    feed(sensor, [(50, 1.0)])
    assert marks() == [False, False, True]


@pytest.mark.parametrize(("step_s", "expected"), [(600, True), (601, False)])
def test_transitions_further_apart_than_the_window_are_not_too_many(network, sensor, step_s, expected):
    make_threshold(network)
    flap(sensor, transitions=7, step_s=step_s)
    assert marks()[-1] is expected


def test_the_settings_say_how_often_is_too_often(network, sensor, settings):
    settings.FLAPPING_TRANSITIONS, settings.FLAPPING_WINDOW_S = 1, 10
    make_threshold(network)
    flap(sensor, transitions=2, step_s=11)
    assert marks() == [False]
    feed(sensor, [(20, 51.0)])
    assert marks() == [False, True]


def test_a_pending_episode_makes_no_transition(network, sensor):
    make_threshold(network, for_s=5)
    flap(sensor, transitions=40)
    assert history() == []
    flap(sensor, transitions=1, start_s=1_000)
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(1_001))
    assert marks() == [False]


def test_other_rules_and_sensors_are_judged_alone(network, sensor):
    make_threshold(network)
    make_threshold(network, above=50.5)
    other = make_sensor(network)
    flap(sensor, transitions=4)
    flap(other, transitions=4)
    assert not any(marks())
    flap(sensor, transitions=3, start_s=40)
    assert [sum(marks(sensor=one)) for one in (sensor, other)] == [2, 0]


def test_what_an_operator_resolves_counts_like_the_rest(network, sensor):
    make_threshold(network)
    flap(sensor, transitions=5)
    for second in (41, 51, 61):
        resolve_alert(Alert.objects.get(resolved_at=None), user=make_user(), now=at(second))
        feed(sensor, [(second + 1, 51.0)])
    assert marks() == [False, False, False, True, True, True]


def test_a_gateway_flaps_too(network, settings):
    settings.FLAPPING_TRANSITIONS = 2
    gateway = make_gateway(network)
    members = [make_sensor(network, gateway=gateway) for _ in range(2)]
    make_gateway_rule(network, period_s=10, grace_s=0)
    seen = []
    for second in (0, 20, 40):
        for sensor in members:
            heard(sensor, second)
        sweep(now=at(second))
        sweep(now=at(second + 11))
        seen.append(marks(gateway=gateway))
    assert seen == [[False], [False, True], [False, True, True]]


def test_a_silent_sensor_flaps_too(network, sensor, settings):
    settings.FLAPPING_TRANSITIONS = 2
    make_staleness(network, period_s=10, grace_s=0)
    for second in (0, 20):
        heard(sensor, second)
        sweep(now=at(second))
        sweep(now=at(second + 11))
    assert marks() == [False, True]
    heard(sensor, 40)
    sweep(now=at(41))
    assert [row[0] for row in history()] == ["resolved", "resolved"]
    assert marks() == [False, True]


def test_the_mark_goes_when_the_rate_has_fallen(network, sensor, events, django_capture_on_commit_callbacks):
    make_threshold(network)
    with django_capture_on_commit_callbacks(execute=True):
        flap(sensor, transitions=7)
        for now_s in (61, 3_600, 3_601, 3_602):
            sweep(now=at(now_s))
    assert marks() == [False, False, False, False]
    assert history()[-1] == ("firing", 60, 60, None, "")
    told = [(body["state"], body["flapping"]) for _, _, kind, body in events if kind == "alert"]
    assert told[-2:] == [("firing", True), ("firing", False)]
    feed(sensor, [(3_700, 1.0)])
    assert not any(marks())


def test_people_hear_of_an_alert_that_flaps_once_it_is_calm_and_still_fires(network, sensor, receiver):
    make_threshold(network)
    make_target(network, receiver.url(), group_wait_s=0)
    for turn in range(4):
        feed(sensor, [(20 * turn, 51.0)], now_s=20 * turn)
        deliver(20 * turn)
        if turn < 3:
            feed(sensor, [(20 * turn + 10, 1.0)], now_s=20 * turn + 10)
            deliver(20 * turn + 10)
    assert marks()[-1] is True
    assert [event for event, _, _ in told()] == ["firing", "resolved"] * 3
    sweep(now=at(3_700))
    deliver(3_700)
    sweep(now=at(3_701))
    deliver(3_701)
    assert [event for event, _, _ in told()] == ["firing", "resolved"] * 3 + ["firing"]


def test_while_the_bridge_is_away_the_mark_stays(network, sensor):
    make_threshold(network)
    flap(sensor, transitions=7)
    drained(3_600)
    sweep(now=at(1_000_000))
    assert marks()[-1] is True
    drained(3_601)
    sweep(now=at(1_000_000))
    assert not any(marks())


def test_the_marks_are_the_same_however_the_samples_are_cut(network):
    rule = make_threshold(network)
    points = [(number * 10 * (1 + number // 12), 1.0 if number % 2 else 51.0) for number in range(40)]
    points += [(5_000 + number * 1_000, 1.0 if number % 2 else 51.0) for number in range(5)]
    found = []
    for size in (1, 3, 7, len(points)):
        sensor = make_sensor(network)
        for start in range(0, len(points), size):
            feed(sensor, points[start : start + size])
        found.append((history(rule=rule, sensor=sensor), marks(rule=rule, sensor=sensor)))
    assert all(each == found[0] for each in found)
    assert {True, False} == set(found[0][1])
