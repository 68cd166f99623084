"""How long a sensor may be silent: by the rule, else by its configurations, else by itself; and who was never heard."""

import threading

import pytest
from django.db import connection, transaction

from alerts.models import Alert, ConfiguredPeriod
from alerts.queries import expected_intervals_us
from alerts.services import sweep
from alerts.services.periods import store_configured_periods
from config.services import Answer, record_acknowledgements
from sensors.models import Network, Sensor
from sensors.services import delete_sensor, update_network, update_sensor
from tests.alerts.making import (
    at,
    beside,
    drained,
    heard,
    history,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    revise,
)

pytestmark = pytest.mark.django_db
MICROSECOND = 0.000_001


def silent_after(sensor: Sensor, offset_s: float) -> bool:
    """Return whether the sensor, heard at 0, is silent after `offset_s` and not before."""
    heard(sensor, 0)
    assert sweep(now=at(offset_s)).opened == 0
    sweep(now=at(offset_s + MICROSECOND))
    return history(sensor=sensor) == [("firing", offset_s, offset_s + MICROSECOND, None, "")]


def periods() -> list[tuple[int, float, bool]]:
    """Return what is stored of configurations' periods."""
    return list(ConfiguredPeriod.objects.order_by("pk").values_list("sensor", "period_s", "or_own"))


# --- By configurations -----------------------------------------------------------------------------------


def test_the_period_is_three_of_the_intervals_that_the_acknowledged_configuration_names(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 100})
    assert silent_after(sensor, 330)


def test_the_rules_own_period_comes_before_that_of_the_configuration(network, sensor):
    make_staleness(network, period_s=10, grace_s=5)
    revise(sensor, {"interval_s": 100})
    assert silent_after(sensor, 15)


def test_the_rules_grace_goes_with_the_period_of_the_configuration(network, sensor):
    make_staleness(network, grace_s=5)
    revise(sensor, {"interval_s": 0.5})
    assert silent_after(sensor, 6.5)


@pytest.mark.parametrize("values", [{}, *({"interval_s": it} for it in ("10", True, 0, -5, None))])
def test_a_configuration_that_names_no_interval_leaves_the_sensors_own_period(network, sensor, values):
    make_staleness(network)
    revise(sensor, values)
    assert silent_after(sensor, 90)


@pytest.mark.parametrize(("interval_s", "period_s"), [(1e-9, 1), (1e300, 366 * 24 * 3600)])
def test_a_period_is_from_a_second_to_a_year(network, sensor, interval_s, period_s):
    make_staleness(network)
    revise(sensor, {"interval_s": interval_s})
    assert silent_after(sensor, period_s + 30)


def test_the_newest_acknowledged_revision_counts(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 100})
    revise(sensor, {"interval_s": 10})
    assert silent_after(sensor, 60)


@pytest.mark.parametrize(("running_s", "pending_s"), [(10, 100), (100, 10)])
def test_while_a_newer_revision_is_pending_the_longer_of_both_holds(network, sensor, running_s, pending_s):
    make_staleness(network)
    revise(sensor, {"interval_s": running_s})
    revise(sensor, {"interval_s": pending_s}, answer=None)
    assert silent_after(sensor, 330)


def test_once_it_is_acknowledged_the_shorter_one_holds_at_once(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 100})
    pending = revise(sensor, {"interval_s": 10}, answer=None)
    heard(sensor, 0)
    sweep(now=at(100))
    assert history() == []
    record_acknowledgements([Answer(sensor.pk, pending, success=True)], now=at(100))
    sweep(now=at(101))
    assert history() == [("firing", 60, 101, None, "")]


@pytest.mark.parametrize(("running", "pending"), [({"interval_s": 10}, {}), ({}, {"interval_s": 10})])
def test_of_two_that_count_one_may_leave_it_to_the_sensors_own_period(network, sensor, running, pending):
    make_staleness(network)
    revise(sensor, running)
    revise(sensor, pending, answer=None)
    assert silent_after(sensor, 90)


def test_a_revision_counts_also_before_the_first_answer(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 100}, answer=None)
    assert silent_after(sensor, 330)


def test_a_refused_revision_does_not_count(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 10})
    revise(sensor, {"interval_s": 100}, answer=False)
    assert silent_after(sensor, 60)


def test_a_superseded_revision_does_not_count(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 10})
    revise(sensor, {"interval_s": 1_000}, answer=None)
    revise(sensor, {"interval_s": 50}, answer=None)
    assert silent_after(sensor, 180)


def test_a_longer_interval_by_which_the_sensor_is_not_silent_ends_its_alert(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(91))
    revise(sensor, {"interval_s": 100}, answer=None)
    sweep(now=at(110))
    assert history() == [("resolved", 90, 91, 110, "sensor_edited")]
    sweep(now=at(331))
    assert history()[1] == ("firing", 330, 331, None, "")


def test_attribute_and_factor_are_the_networks_and_count_at_once(network, sensor):
    make_staleness(network)
    revise(sensor, {"interval_s": 1, "every": 100})
    heard(sensor, 0)
    sweep(now=at(10))
    update_network(network, interval_attribute="every", interval_factor=2.5)
    sweep(now=at(280))
    assert history() == []
    update_network(network, interval_factor=1)
    sweep(now=at(281))
    assert history() == [("firing", 130, 281, None, "")]
    update_network(network, interval_attribute="")
    heard(sensor, 300)
    sweep(now=at(301))
    sweep(now=at(391))
    assert history()[1] == ("firing", 390, 391, None, "")
    assert periods() == []


def test_gaps_between_samples_are_judged_by_the_same_attribute(network, sensor):
    other = make_sensor(make_network())
    for each in (sensor, other):
        revise(each, {"interval_s": 1, "every": 2.5})
    update_network(network, interval_attribute="every")
    assert expected_intervals_us([sensor.pk, other.pk]) == {sensor.pk: 2_500_000, other.pk: 1_000_000}


def test_a_gateways_sensors_are_judged_by_it_too(network):
    gateway = make_gateway(network)
    member = make_sensor(network, gateway=gateway)
    make_gateway_rule(network)
    revise(member, {"interval_s": 100})
    heard(member, 0)
    sweep(now=at(330))
    assert history() == []
    sweep(now=at(331))
    assert history() == [("firing", 330, 331, None, "")]


def test_the_sensors_own_status_keeps_to_its_own_period(network, sensor):
    revise(sensor, {"interval_s": 100})
    heard(sensor, 0)
    assert [sweep(now=at(second)).statuses for second in (60, 61, 91)] == [0, 1, 1]


def test_a_revision_that_leaves_the_period_as_it_is_matches_nothing_anew(sensor):
    revise(sensor, {"interval_s": 10})
    with connection.cursor() as cursor:
        assert store_configured_periods(cursor, [sensor.pk]) == {sensor.pk}
        revise(sensor, {"interval_s": 10, "unit": "celsius"})
        assert store_configured_periods(cursor, [sensor.pk]) == set()
        revise(sensor, {})
        assert store_configured_periods(cursor, [sensor.pk]) == {sensor.pk}


@pytest.mark.django_db(transaction=True)
def test_of_a_revision_and_an_answer_at_the_same_time_neither_is_missed(events):
    network = make_network()
    sensor = make_sensor(network, period_s=60, grace_s=30)
    make_staleness(network)
    heard(sensor, 0)
    first = revise(sensor, {"interval_s": 10}, answer=None)
    revise(sensor, {"interval_s": 20}, answer=None)
    written, swept = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            revise(sensor, {"interval_s": 100}, answer=None)
            written.set()
            assert swept.wait(30)

    with beside(write):
        assert written.wait(30)
        record_acknowledgements([Answer(sensor.pk, first, success=True)], now=at(1))
        sweep(now=at(2))
        assert periods() == [(sensor.pk, 60, False)]
        swept.set()
    sweep(now=at(3))
    assert periods() == [(sensor.pk, 300, False)]


def test_the_period_goes_with_its_sensor(network, sensor):
    revise(sensor, {"interval_s": 10})
    sweep(now=at(0))
    assert periods() == [(sensor.pk, 30, False)]
    delete_sensor(sensor)
    assert periods() == []


# --- Who was never heard ---------------------------------------------------------------------------------


@pytest.fixture
def registered(network: Network, sensor: Sensor) -> Sensor:
    """Return a sensor that was made at 0, in a network where it counts as silent after ten minutes."""
    update_network(network, new_sensors="alert", new_after_s=600)
    Sensor.objects.filter(pk=sensor.pk).update(created_at=at(0))
    return sensor


def test_who_was_registered_and_never_heard_is_silent_if_the_network_says_so(network, registered):
    make_staleness(network, period_s=10)
    for second in (0, 100, 600):
        assert sweep(now=at(second)).opened == 0
    sweep(now=at(600 + MICROSECOND))
    assert history() == [("firing", 600, 600 + MICROSECOND, None, "")]
    heard(registered, 700)
    sweep(now=at(701))
    assert history() == [("resolved", 600, 600 + MICROSECOND, 700, "heard")]


def test_who_is_heard_in_time_is_watched_by_its_period_from_then_on(network, registered):
    make_staleness(network)
    sweep(now=at(0))
    heard(registered, 100)
    sweep(now=at(190))
    assert history() == []
    sweep(now=at(191))
    assert history() == [("firing", 190, 191, None, "")]


def test_the_time_of_who_was_never_heard_begins_no_sooner_than_the_bridges_are_back(network, registered):
    make_staleness(network)
    drained(1_500, steady_s=900)
    assert sweep(now=at(1_500)).opened == 0
    drained(1_501, steady_s=900)
    sweep(now=at(1_501))
    assert history() == [("firing", 600, 1_501, None, "")]


def test_a_policy_that_is_set_later_counts_from_the_registration(network, sensor):
    Sensor.objects.filter(pk=sensor.pk).update(created_at=at(0))
    make_staleness(network)
    assert sweep(now=at(1_000)).opened == 0
    update_network(network, new_sensors="alert", new_after_s=600)
    sweep(now=at(1_001))
    assert history() == [("firing", 600, 1_001, None, "")]


@pytest.mark.parametrize("change", [{"new_sensors": "ignore"}, {"new_after_s": 6_000}])
def test_a_policy_by_which_the_sensor_is_not_silent_ends_its_alert(network, registered, change):
    make_staleness(network)
    sweep(now=at(601))
    update_network(network, **change)
    sweep(now=at(610))
    assert history() == [("resolved", 600, 601, 610, "sensor_edited")]
    assert sweep(now=at(5_000)).opened == 0


def test_who_was_never_heard_is_no_part_of_a_gateways_silence_and_waits_for_its_end(network, registered):
    gateway = make_gateway(network)
    update_sensor(registered, gateway=gateway, now=at(0))
    member = make_sensor(network, gateway=gateway)
    heard(member, 0)
    make_staleness(network)
    make_gateway_rule(network)
    sweep(now=at(91))
    sweep(now=at(601))
    alert = Alert.objects.get()
    assert (alert.gateway, alert.members) == (gateway, [member.identifier])
    heard(member, 700)
    sweep(now=at(701))
    assert history(sensor=registered) == [("firing", 600, 701, None, "")]
