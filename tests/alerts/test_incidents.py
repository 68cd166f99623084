"""Which silent sensors of a gateway are one incident."""

import pytest

from alerts.models import Alert
from alerts.services import resolve_alert, sweep, update_rule
from alerts.services.incidents import Silent, fallen_silent, still_silent
from tests.alerts.making import (
    at,
    heard,
    make_gateway,
    make_gateway_rule,
    make_sensor,
    make_staleness,
    make_user,
)

pytestmark = pytest.mark.django_db


def silent(*since_s):
    """Return sensors a, b, c, … that were heard last so many seconds after START."""
    return [Silent(chr(ord("a") + index), at(each), at(each + 90)) for index, each in enumerate(since_s)]


def members(found):
    return "".join(each.identifier for each in found)


@pytest.mark.parametrize(
    ("since_s", "heard_count", "share", "window_s", "found"),
    [
        ([], 3, 1, None, ""),
        ([], 0, 1, 60, ""),
        ([0, 1000], 2, 1, None, "ab"),
        ([0, 1000], 3, 1, None, ""),
        # Within the window, its ends among it.
        ([0, 30, 60], 3, 1, 60, "abc"),
        ([0, 60.000_001], 2, 0.5, 60, "b"),
        # Who was silent before is on neither side of the share, who fell silent after on one.
        ([0, 1000, 1010], 3, 1, 60, "bc"),
        ([0, 1000, 1010], 4, 0.7, 60, ""),
        ([0, 10, 1000], 3, 1, 60, "c"),
        ([0, 10, 1000], 4, 0.5, 60, "ab"),
        # One by one over months: never the share of those that were left.
        ([0, 1000, 2000, 3000], 10, 0.4, 60, ""),
        ([0, 1000, 2000, 3000], 10, 0.4, None, "abcd"),
        # Of several windows the one with the most, of equal ones the newest.
        ([0, 1, 2, 1000, 1001], 5, 0.5, 60, "abc"),
        ([0, 1, 1000, 1001], 4, 0.5, 60, "cd"),
    ],
)
def test_those_heard_last_within_the_window_are_held_against_those_that_were_left(
    since_s, heard_count, share, window_s, found
):
    counted = fallen_silent(silent(*since_s), heard=heard_count, share=share, window_s=window_s)
    assert members(counted) == found


def test_an_incident_that_was_dismissed_does_not_hide_a_new_one():
    sensors = silent(0, 1, 2, 3, 1000, 1001)
    options = {"heard": 8, "share": 0.5, "window_s": 60}
    assert members(fallen_silent(sensors, **options)) == "abcd"
    assert members(fallen_silent(sensors, **options, dismissed_at=at(93))) == "ef"
    assert members(fallen_silent(sensors, **options, dismissed_at=at(1001))) == ""


@pytest.mark.parametrize(
    ("since_s", "listed", "heard_count", "found"),
    [
        ([0, 1, 1000], "ab", 4, "abc"),  # whoever falls silent later belongs to it
        ([0, 500, 501, 2000], "bc", 5, "bcd"),  # whoever was silent before does not
        ([500], "ab", 4, ""),  # too few are left
        ([0, 1], "c", 4, ""),  # none of its sensors is silent any more
        ([], "ab", 4, ""),
    ],
)
def test_an_open_incident_goes_on_while_enough_are_silent_since_its_first_sensors(since_s, listed, heard_count, found):
    counted = still_silent(silent(*since_s), listed=set(listed), heard=heard_count, share=0.5, window_s=60)
    assert members(counted) == found


# --- In the sweep ---------------------------------------------------------------------------------------


@pytest.fixture
def gateway(network):
    return make_gateway(network)


@pytest.fixture
def sensors(network, gateway):
    """Return four sensors behind the gateway, heard at second 0; one rule for each and one for the gateway."""
    made = [make_sensor(network, f"m{number}", gateway=gateway) for number in range(4)]
    for sensor in made:
        heard(sensor, 0)
    make_staleness(network)
    return made


def names(sensors):
    return sorted(sensor.identifier for sensor in sensors)


def firing():
    """Return by gateway or sensor the members of what fires."""
    return {
        alert.gateway_identifier or alert.sensor_identifier: alert.members
        for alert in Alert.objects.filter(state="firing")
    }


def test_a_sensor_that_died_before_neither_makes_up_a_gateways_death_nor_hides_it(network, gateway, sensors):
    make_gateway_rule(network, window_s=60)
    for sensor in sensors[1:]:
        heard(sensor, 80)
    sweep(now=at(91))
    assert firing() == {sensors[0].identifier: []}
    for sensor in sensors[1:]:
        heard(sensor, 500)
    sweep(now=at(591))
    assert firing() == {sensors[0].identifier: [], gateway.identifier: names(sensors[1:])}


@pytest.mark.parametrize(("window_s", "is_incident"), [(None, True), (60, False)])
def test_sensors_that_die_one_by_one_are_no_incident_within_a_window(network, gateway, sensors, window_s, is_incident):
    make_gateway_rule(network, window_s=window_s, share=0.75)
    for number in range(3):
        for sensor in sensors[number + 1 :]:
            heard(sensor, 1_000 * (number + 1))
        sweep(now=at(1_000 * (number + 1)))
    assert (gateway.identifier in firing()) is is_incident
    assert len(firing()) == 3


def test_who_falls_silent_after_the_window_is_listed_and_ends_nothing(network, gateway, sensors):
    make_gateway_rule(network, window_s=60, share=0.5)
    heard(sensors[2], 500)
    heard(sensors[3], 5_000)
    sweep(now=at(91))
    assert firing() == {gateway.identifier: names(sensors[:2])}
    sweep(now=at(591))
    assert firing() == {gateway.identifier: names(sensors[:3])}


def test_when_those_it_began_with_are_heard_again_it_ends(network, gateway, sensors):
    make_gateway_rule(network, window_s=60, share=0.5)
    for sensor in sensors[2:]:
        heard(sensor, 200)
    sweep(now=at(91))
    for sensor in sensors[:2]:
        heard(sensor, 210)
    sweep(now=at(211))
    assert firing() == {}
    assert Alert.objects.get().resolution == "heard"


def test_an_edited_window_counts_at_once(network, gateway, sensors):
    rule = make_gateway_rule(network, window_s=60)
    for sensor in sensors[2:]:
        heard(sensor, 65)
    sweep(now=at(156))
    assert gateway.identifier in firing()
    assert firing()[gateway.identifier] == names(sensors[2:])
    update_rule(rule, window_s=65, now=at(157))
    sweep(now=at(158))
    assert firing()[gateway.identifier] == names(sensors)


def test_an_incident_that_was_resolved_by_hand_stays_so_until_its_sensors_are_heard(network, gateway, sensors):
    make_gateway_rule(network, window_s=60, share=0.5)
    for sensor in sensors[2:]:
        heard(sensor, 5_000)
    sweep(now=at(91))
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(95))
    assert sweep(now=at(1_000)).opened == 0
    for sensor in sensors[:2]:
        heard(sensor, 2_000)
    sweep(now=at(2_001))
    sweep(now=at(2_091))
    assert firing() == {gateway.identifier: names(sensors[:2])}
