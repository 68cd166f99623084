"""How a sensor's status follows from when it was heard."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors import queries, services
from sensors.models import Membership, Role, Sensor, SensorState, User, Watermark

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def sensor(db):
    return services.create_sensor(services.create_network(slug="status", owner=None), identifier="status-1")


@pytest.mark.parametrize(
    ("silent_s", "status"),
    [
        (None, "new"),
        (-5, "up"),
        (0, "up"),
        (60, "up"),
        (60.000001, "late"),
        (90, "late"),
        (90.000001, "down"),
        (10**9, "down"),
    ],
)
def test_a_status_is_judged_by_period_and_grace(silent_s, status):
    last_seen_at = None if silent_s is None else NOW - timedelta(seconds=silent_s)
    assert queries.status_of(last_seen_at, 60, 30, at=NOW) == status


@given(
    silent_us=st.none() | st.integers(-(10**9), 10**9),
    period_s=st.integers(1, 500),
    grace_s=st.integers(0, 500),
    edge=st.sampled_from([None, 0, 1, -1]),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sql_and_python_judge_alike(sensor, silent_us, period_s, grace_s, edge):
    if edge is not None and silent_us is not None:
        # The bounds themselves, and a microsecond to either side.
        silent_us = (period_s + (grace_s if silent_us % 2 else 0)) * 10**6 + edge
    last_seen_at = None if silent_us is None else NOW - timedelta(microseconds=silent_us)
    Sensor.objects.update(period_s=period_s, grace_s=grace_s)
    SensorState.objects.update(last_seen_at=last_seen_at)
    judged = queries.with_status(Sensor.objects.all(), at=NOW).get().status
    assert judged == queries.status_of(last_seen_at, period_s, grace_s, at=NOW)


def test_counts_name_every_status(sensor):
    assert queries.status_counts(Sensor.objects.all(), at=NOW) == {"new": 1, "up": 0, "late": 0, "down": 0}
    assert queries.status_counts(Sensor.objects.none(), at=NOW) == dict.fromkeys(queries.STATUSES, 0)


class TestJudgedAt:
    """Up to when silence may be judged."""

    def test_without_a_bridge_it_is_now(self, db):
        assert queries.judged_at(NOW) == NOW

    def test_it_is_the_least_watermark(self, db):
        for shard, behind_s in (("0/2", 3), ("1/2", 7)):
            Watermark.objects.create(shard=shard, drained_until=NOW - timedelta(seconds=behind_s))
        assert queries.judged_at(NOW) == NOW - timedelta(seconds=7)

    def test_it_is_never_in_the_future(self, db):
        Watermark.objects.create(shard="0/1", drained_until=NOW + timedelta(seconds=5))
        assert queries.judged_at(NOW) == NOW

    def test_a_bridge_that_never_caught_up_judges_nobody(self, sensor):
        Watermark.objects.create(shard="0/1", drained_until=None)
        SensorState.objects.update(last_seen_at=NOW - timedelta(days=1000))
        at = queries.judged_at(NOW)
        assert queries.with_status(Sensor.objects.all(), at=at).get().status == "up"
        assert queries.status_of(NOW - timedelta(days=1000), 60, 30, at=at) == "up"


class TestVisibility:
    """What a user may see."""

    @pytest.fixture
    def user(self, db):
        return User.objects.create_user("vis")

    def test_it_follows_membership(self, sensor, user):
        assert not queries.visible_sensors(user).exists()
        Membership.objects.create(network=sensor.network, user=user, role=Role.VIEWER)
        assert list(queries.visible_sensors(user)) == [sensor]
        assert list(queries.visible_networks(user)) == [sensor.network]
        assert queries.role_in(user, sensor.network) is queries.role_in(user, sensor.network_id) is Role.VIEWER

    def test_staff_see_all_and_act_as_owners(self, sensor, user):
        user.is_staff = True
        assert list(queries.visible_sensors(user)) == [sensor]
        assert queries.role_in(user, sensor.network) is Role.OWNER

    @pytest.mark.parametrize("staff", [True, False])
    def test_an_inactive_user_sees_nothing(self, sensor, user, staff):
        Membership.objects.create(network=sensor.network, user=user, role=Role.OWNER)
        user.is_active, user.is_staff = False, staff
        assert not queries.visible_sensors(user).exists()
        assert queries.role_in(user, sensor.network) is None

    def test_nobody_sees_nothing(self, sensor):
        assert not queries.visible_networks(AnonymousUser()).exists()
        assert not queries.visible_gateways(AnonymousUser()).exists()
        assert queries.role_in(AnonymousUser(), sensor.network) is None
