"""What people do with alerts: acknowledge, resolve, silence."""

from datetime import timedelta

import pytest

from alerts.models import Alert, Silence
from alerts.queries import open_alert_counts, silenced_alerts, visible_alerts
from alerts.services import acknowledge_alert, create_silence, delete_silence, resolve_alert, sweep, update_silence
from sensors.errors import Conflict, Forbidden, Invalid, NotFound
from sensors.services import set_member
from tests.alerts.making import (
    at,
    feed,
    heard,
    history,
    make_network,
    make_sensor,
    make_staleness,
    make_threshold,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def alert(network, sensor):
    make_threshold(network)
    feed(sensor, [(1, 51.0)])
    return Alert.objects.get()


def test_an_acknowledgement_says_who_when_and_what_and_stays_until_the_end(alert, sensor, operator):
    shown = acknowledge_alert(alert, user=operator, comment="On it", now=at(5))
    assert (shown.acknowledged_by, shown.acknowledged_at, shown.acknowledgement) == (operator, at(5), "On it")
    feed(sensor, [(10, 60.0), (20, 1.0)])
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by, alert.acknowledgement) == ("resolved", operator, "On it")


def test_the_first_acknowledgement_stays(alert, operator):
    acknowledge_alert(alert, user=operator, comment="First", now=at(5))
    assert acknowledge_alert(alert, user=operator, comment="Again", now=at(6)).acknowledgement == "First"
    with pytest.raises(Conflict):
        acknowledge_alert(alert, user=make_user(), now=at(7))


def test_a_resolved_alert_is_neither_acknowledged_nor_resolved_again(alert, operator):
    resolve_alert(alert, user=operator, now=at(5))
    with pytest.raises(Conflict, match="by_hand"):
        acknowledge_alert(alert, user=operator, now=at(6))
    with pytest.raises(Conflict, match="by_hand"):
        resolve_alert(alert, user=operator, now=at(6))
    assert history() == [("resolved", 1, 1, 5, "by_hand")]


def test_resolved_by_hand_it_says_by_whom_and_the_next_violating_sample_opens_another(alert, sensor, operator):
    shown = resolve_alert(alert, user=operator, now=at(5))
    assert (shown.state, shown.resolved_by) == ("resolved", operator)
    feed(sensor, [(2, 60.0)])
    assert history() == [("resolved", 1, 1, 5, "by_hand"), ("firing", 2, 2, None, "")]


def test_a_pending_alert_resolved_by_hand_stays_to_be_read_and_its_for_begins_anew(network, sensor, operator):
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0)])
    resolve_alert(Alert.objects.get(), user=operator, now=at(5))
    feed(sensor, [(59, 51.0), (60, 51.0)])
    assert history() == [("resolved", 0, None, 5, "by_hand"), ("pending", 59, None, None, "")]


def test_an_alert_that_ended_while_pending_is_not_there_any_more(network, sensor, operator):
    make_threshold(network, for_s=60)
    feed(sensor, [(0, 51.0)])
    alert = Alert.objects.get()
    feed(sensor, [(10, 1.0)])
    with pytest.raises(NotFound):
        acknowledge_alert(alert, user=operator, now=at(20))


@pytest.mark.parametrize("comment", ["x" * 501, "a\x00b"])
def test_a_comment_that_cannot_be_kept_is_refused(alert, operator, comment):
    with pytest.raises(Invalid) as caught:
        acknowledge_alert(alert, user=operator, comment=comment, now=at(5))
    assert caught.value.field == "comment"
    alert.refresh_from_db()
    assert alert.acknowledged_at is None


def test_open_alerts_are_counted_for_those_who_may_see_them(network, sensor, operator):
    stranger = make_user()
    make_threshold(network, severity="critical")
    make_threshold(network, severity="info", for_s=60)
    make_staleness(network)
    heard(sensor, 0)
    feed(sensor, [(1, 51.0)])
    sweep(now=at(100))
    zero = {"pending": 0, "firing": 0, "info": 0, "warning": 0, "critical": 0}
    assert open_alert_counts(operator) == {**zero, "pending": 1, "firing": 2, "warning": 1, "critical": 1}
    assert open_alert_counts(stranger) == zero
    assert (visible_alerts(operator).count(), visible_alerts(stranger).count()) == (3, 0)


# --- Silences ------------------------------------------------------------------------------------------


def silence(user, matchers, **options):
    return create_silence(user=user, matchers=matchers, now=at(0), **({"ends_at": at(3600)} | options))


def test_a_silence_matches_by_everything_that_it_names(network, operator):
    sensor = make_sensor(network, labels={"floor": "2", "a:b": 3, "on": True})
    rule = make_threshold(network, severity="critical")
    other = make_threshold(network, name="Other")
    feed(sensor, [(1, 51.0)])
    alerts = list(Alert.objects.all())
    mine = Alert.objects.get(rule=rule)
    everything = {alert.pk for alert in alerts}
    for matchers, expected in [
        ({"network": network.slug}, everything),
        ({"sensor": sensor.identifier}, everything),
        ({"severity": "critical"}, {mine.pk}),
        ({"rule": rule.pk}, {mine.pk}),
        ({"rule": other.pk, "severity": "critical"}, set()),
        ({"label": "floor:2"}, everything),
        ({"label": "a:b:3"}, everything),
        ({"label": "on:true"}, everything),
        ({"label": "floor:3"}, set()),
        ({"label": "floor:"}, set()),
    ]:
        made = silence(operator, matchers)
        assert silenced_alerts(alerts, at=at(10)) == expected, matchers
        made.delete()


def test_a_silence_holds_from_its_start_until_before_its_end_and_in_its_network_only(alert, network, operator):
    set_member(make_network(), user=operator, role="operator")
    made = silence(operator, {"network": network.slug}, starts_at=at(100), ends_at=at(200))
    seen = [silenced_alerts([alert], at=at(second)) for second in (99, 100, 199, 200)]
    assert seen == [set(), {alert.pk}, {alert.pk}, set()]
    update_silence(made, ends_at=at(150), comment="Shorter")
    assert silenced_alerts([alert], at=at(150)) == set()
    assert Silence.objects.get().comment == "Shorter"
    delete_silence(made)
    assert silenced_alerts([alert], at=at(120)) == set()


def test_without_a_network_a_silence_holds_in_the_only_one_that_the_user_operates(network, operator):
    assert silence(operator, {"severity": "info"}).network == network
    set_member(make_network(), user=operator, role="operator")
    with pytest.raises(Invalid) as caught:
        silence(operator, {"severity": "info"})
    assert caught.value.field == "matchers"


@pytest.mark.parametrize(
    "matchers",
    [
        {},
        {"weather": "x"},
        {"network": "nowhere"},
        {"network": 5},
        {"sensor": "nobody"},
        {"sensor": None},
        {"sensor": "a\x00b"},
        {"rule": 10**30},
        {"rule": "1"},
        {"rule": True},
        {"severity": "fatal"},
        {"severity": ["info"]},
        {"label": "floor"},
        {"label": 5},
    ],
)
def test_a_matcher_that_can_match_nothing_is_refused(operator, matchers):
    with pytest.raises(Invalid) as caught:
        silence(operator, matchers)
    assert caught.value.field == "matchers"
    assert Silence.objects.count() == 0


def test_matchers_of_two_networks_are_refused(network, sensor, operator):
    second = make_network()
    set_member(second, user=operator, role="operator")
    with pytest.raises(Invalid, match="not in the same network"):
        silence(operator, {"network": second.slug, "sensor": sensor.identifier})


def test_a_silence_ends_after_it_starts_and_in_the_future(operator):
    for options in ({"ends_at": at(0)}, {"ends_at": at(-1)}, {"starts_at": at(50), "ends_at": at(50)}):
        with pytest.raises(Invalid) as caught:
            silence(operator, {"severity": "info"}, **options)
        assert caught.value.field == "ends_at"
    made = silence(operator, {"severity": "info"})
    with pytest.raises(Invalid):
        update_silence(made, ends_at=made.starts_at - timedelta(seconds=1))


def test_who_only_reads_silences_nothing(network, sensor):
    viewer = make_user()
    set_member(network, user=viewer, role="viewer")
    with pytest.raises(Forbidden):
        silence(viewer, {"sensor": sensor.identifier})
