"""Silence of single sensors: judged by what was received, up to the bridges' watermark, strictly after its time."""

import pytest
from django.db import connection

from alerts.models import Alert, RuleState, ScopeChange
from alerts.services import resolve_alert, sweep
from sensors.activity import record_watermark
from sensors.models import Sensor, SensorState
from sensors.services import delete_sensor, update_sensor
from tests.alerts.making import (
    at,
    drained,
    heard,
    history,
    make_gateway,
    make_gateway_rule,
    make_network,
    make_sensor,
    make_staleness,
    make_user,
    offset,
)

pytestmark = pytest.mark.django_db
MICROSECOND = 0.000_001


def test_silence_begins_strictly_after_period_and_grace(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    assert sweep(now=at(90)).opened == 0
    assert history() == []
    assert sweep(now=at(90 + MICROSECOND)).opened == 1
    assert history() == [("firing", 90, 90 + MICROSECOND, None, "")]
    assert sweep(now=at(91)).opened == 0


def test_the_rules_own_period_and_grace_come_before_the_sensors(network, sensor):
    make_staleness(network, period_s=10, grace_s=5)
    heard(sensor, 0)
    sweep(now=at(15))
    assert history() == []
    sweep(now=at(16))
    assert history() == [("firing", 15, 16, None, "")]


def test_a_rule_without_a_grace_takes_the_sensors(network, sensor):
    make_staleness(network, period_s=10)
    heard(sensor, 0)
    sweep(now=at(40))
    assert history() == []
    sweep(now=at(41))
    assert history() == [("firing", 40, 41, None, "")]


def test_an_alert_ends_when_something_newer_was_received_and_opens_again_by_the_next_silence(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(100))
    heard(sensor, 150)
    assert sweep(now=at(151)).resolved == 1
    assert history() == [("resolved", 90, 100, 150, "heard")]
    sweep(now=at(240))
    assert len(history()) == 1
    sweep(now=at(241))
    assert history()[1] == ("firing", 240, 241, None, "")


def test_whoever_keeps_reporting_is_looked_at_once_a_period_and_never_alerts(network, sensor):
    make_staleness(network)
    looked_at = 0
    for second in range(0, 600, 10):
        heard(sensor, second)
        looked_at += sweep(now=at(second)).looked_at
    assert looked_at == 5
    assert history() == []


def test_who_was_never_heard_is_not_silent_and_is_watched_from_the_first_message_on(network, sensor):
    make_staleness(network)
    for second in (0, 1_000, 5_000):
        assert sweep(now=at(second)).silent == 0
    heard(sensor, 5_001)
    sweep(now=at(5_091))
    assert history() == []
    sweep(now=at(5_092))
    assert history() == [("firing", 5_091, 5_092, None, "")]


def test_no_data_never_resolves(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    for second in (100, 1_000, 1_000_000):
        sweep(now=at(second))
    assert history() == [("firing", 90, 100, None, "")]


def test_several_rules_alert_each_on_its_own(network, sensor):
    make_staleness(network, period_s=10, grace_s=0)
    make_staleness(network, period_s=1000, grace_s=0)
    heard(sensor, 0)
    sweep(now=at(11))
    assert len(history()) == 1
    sweep(now=at(1001))
    assert len(history()) == 2


def test_disabled_rules_look_at_nobody(network, sensor):
    make_staleness(network, enabled=False)
    heard(sensor, 0)
    assert sweep(now=at(1_000)).looked_at == 0
    assert RuleState.objects.count() == 0


# --- The bridges' watermark ----------------------------------------------------------------------------


def test_while_the_bridge_is_away_nobody_is_newly_silent_and_nobody_recovers(network, sensor):
    make_staleness(network)
    silent = make_sensor(network)
    heard(sensor, 0)
    heard(silent, -50)
    drained(60)
    sweep(now=at(60))
    assert history() == [("firing", 40, 60, None, "")]
    for second in (100, 1_000, 100_000):
        assert sweep(now=at(second)).opened == 0
    assert history() == [("firing", 40, 60, None, "")]


def test_after_the_bridge_was_away_no_alert_opens_until_period_and_grace_after_its_return(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    drained(60)
    sweep(now=at(60))
    drained(1_000, steady_s=1_000)
    sweep(now=at(1_000))
    drained(1_090, steady_s=1_000)
    sweep(now=at(1_090))
    assert history() == []
    drained(1_091, steady_s=1_000)
    sweep(now=at(1_091))
    assert history() == [("firing", 90, 1_091, None, "")]


def test_while_a_backlog_is_drained_nobody_is_silent_until_period_and_grace_after_the_return(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    record_watermark("0/1", drained_until=at(10))
    sweep(now=at(10))
    for until in range(1_000, 1_091, 10):
        record_watermark("0/1", drained_until=at(until))
        assert sweep(now=at(until + 600)).opened == 0
    record_watermark("0/1", drained_until=at(1_091))
    sweep(now=at(1_700))
    assert history() == [("firing", 90, 1_091, None, "")]


def test_whoever_reports_after_the_bridge_returned_never_alerts(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    drained(1_000, steady_s=1_000)
    sweep(now=at(1_000))
    heard(sensor, 1_050)
    drained(1_100, steady_s=1_000)
    assert sweep(now=at(1_100)).silent == 0


def test_the_least_watermark_and_the_newest_break_of_all_shards_count(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    drained(500, shard="0/2")
    drained(90, shard="1/2")
    sweep(now=at(500))
    assert history() == []
    drained(500, steady_s=450, shard="1/2")
    sweep(now=at(500))
    assert history() == []
    drained(541, shard="0/2")
    drained(541, steady_s=450, shard="1/2")
    sweep(now=at(600))
    assert history() == [("firing", 90, 541, None, "")]


def test_a_bridge_that_never_caught_up_judges_nobody(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    drained(1_000)
    from sensors.models import Watermark  # noqa: PLC0415

    Watermark.objects.update(drained_until=None, steady_since=None)
    assert sweep(now=at(10_000)).silent == 0
    drained(10_000)
    assert sweep(now=at(10_000)).opened == 1


def test_the_messages_own_time_does_not_count(network, sensor):
    """A gateway that delivers old measurements is heard now."""
    make_staleness(network)
    SensorState.objects.filter(pk=sensor.pk).update(latest_measured_at=at(-5_000), last_seen_at=at(0))
    sweep(now=at(90))
    assert history() == []


# --- What people change ----------------------------------------------------------------------------------


def test_a_sensor_made_after_the_rule_is_watched(network):
    make_staleness(network)
    sweep(now=at(0))
    sensor = make_sensor(network)
    heard(sensor, 0)
    sweep(now=at(91))
    assert history(sensor=sensor) == [("firing", 90, 91, None, "")]
    assert ScopeChange.objects.count() == 0


def test_a_shorter_period_counts_at_once(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(1))
    update_sensor(sensor, period_s=5, grace_s=0, now=at(2))
    sweep(now=at(6))
    assert history() == [("firing", 5, 6, None, "")]


def test_a_shorter_period_counts_also_for_who_was_never_heard(network):
    make_staleness(network)
    sensor = make_sensor(network, period_s=86_400)
    sweep(now=at(0))
    update_sensor(sensor, period_s=5, grace_s=0, now=at(2))
    sweep(now=at(3))
    heard(sensor, 10)
    sweep(now=at(16))
    assert history() == [("firing", 15, 16, None, "")]


def test_a_longer_period_by_which_the_sensor_is_not_silent_ends_its_alert(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(100))
    update_sensor(sensor, period_s=120, now=at(110))
    sweep(now=at(110))
    assert history() == [("resolved", 90, 100, 110, "sensor_edited")]
    sweep(now=at(151))
    assert history()[1] == ("firing", 150, 151, None, "")


def test_a_longer_period_by_which_the_sensor_is_still_silent_changes_nothing(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(100))
    update_sensor(sensor, period_s=61, now=at(110))
    sweep(now=at(110))
    assert history() == [("firing", 90, 100, None, "")]


def test_a_sensor_that_leaves_the_rules_labels_is_not_watched_any_more(network):
    make_staleness(network, labels={"floor": "1"})
    sensor = make_sensor(network, labels={"floor": "1"})
    heard(sensor, 0)
    sweep(now=at(100))
    update_sensor(sensor, labels={"floor": "2"}, now=at(110))
    sweep(now=at(110))
    assert history() == [("resolved", 90, 100, 110, "out_of_scope")]
    assert RuleState.objects.count() == 0
    update_sensor(sensor, labels={"floor": "1"}, now=at(120))
    sweep(now=at(120))
    assert history()[1] == ("firing", 90, 120, None, "")


def test_the_alert_of_a_deleted_sensor_is_resolved_and_keeps_its_name(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(100))
    delete_sensor(sensor)
    assert sweep(now=at(110)).resolved == 1
    assert history() == [("resolved", 90, 100, 110, "sensor_deleted")]
    assert Alert.objects.get().sensor_identifier == sensor.identifier


def test_an_alert_that_was_resolved_by_hand_opens_again_only_by_a_new_silence(network, sensor):
    make_staleness(network)
    heard(sensor, 0)
    sweep(now=at(100))
    resolve_alert(Alert.objects.get(), user=make_user(), now=at(110))
    sweep(now=at(1_000))
    assert history() == [("resolved", 90, 100, 110, "by_hand")]
    heard(sensor, 1_010)
    sweep(now=at(1_011))
    sweep(now=at(1_101))
    assert history()[1] == ("firing", 1_100, 1_101, None, "")


def test_other_networks_are_left_alone(network):
    make_staleness(network)
    stranger = make_sensor(make_network())
    heard(stranger, 0)
    sweep(now=at(1_000))
    assert history() == []


# --- Live views --------------------------------------------------------------------------------------------


def test_live_views_hear_of_alerts_and_of_late_and_down_once(
    network, sensor, events, django_capture_on_commit_callbacks
):
    make_staleness(network)
    heard(sensor, 0)
    with django_capture_on_commit_callbacks(execute=True):
        assert [sweep(now=at(second)).statuses for second in (60, 61, 90, 91, 92)] == [0, 1, 0, 1, 0]
    kinds = [(kind, body.get("status") or body.get("state")) for _, who, kind, body in events if who]
    assert sorted(kinds) == [("alert", "firing"), ("status", "down"), ("status", "late")]


def test_while_the_bridge_is_away_no_status_worsens(network, sensor, events):
    heard(sensor, 0)
    drained(50)
    assert sweep(now=at(10_000)).statuses == 0
    assert events == []


def test_a_sweep_over_many_sensors_costs_what_is_due(network):
    sensors = [make_sensor(network) for _ in range(20)]
    make_staleness(network)
    for number, sensor in enumerate(sensors):
        heard(sensor, number * 10)
    assert sweep(now=at(0)).looked_at == 0
    done = sweep(now=at(121))
    assert (done.looked_at, done.silent, done.opened) == (4, 4, 4)
    assert sorted(offset(alert.started_at) for alert in Alert.objects.all()) == [90, 100, 110, 120]


def rows_read_in_whole_tables():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, seq_tup_read FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('sensors_sensor', 'sensors_sensorstate', 'alerts_rulestate')"
        )
        return dict(cursor.fetchall())


def test_a_sweep_reads_what_is_due_and_no_whole_table_whatever_statistics_say(network):
    gateway = make_gateway(network)
    names = [f"many-{number}" for number in range(2_000)]
    made = Sensor.objects.bulk_create(
        [Sensor(identifier=name, network=network, gateway=gateway if "99" in name else None) for name in names]
    )
    silent, missing = [sensor.pk for sensor in made[90:110]], [sensor.pk for sensor in made[990:995]]
    SensorState.objects.update(last_seen_at=at(0), overdue_at=at(1_000), announced_status="up")
    SensorState.objects.filter(sensor__in=silent).update(last_seen_at=at(-1_000))
    make_staleness(network, period_s=60, grace_s=30)
    make_gateway_rule(network, period_s=60, grace_s=30)
    assert sweep(now=at(1)).opened == 20
    with connection.cursor() as cursor:
        # Statistics are of a moment; a few seconds later all that was to be due by them has moved on.
        cursor.execute("ANALYZE sensors_sensor, sensors_sensorstate, alerts_rulestate, alerts_alert")
    RuleState.objects.exclude(sensor__in=silent + missing).update(check_at=at(1_000))
    before = rows_read_in_whole_tables()
    assert sweep(now=at(100)).opened == 5
    assert rows_read_in_whole_tables() == before
