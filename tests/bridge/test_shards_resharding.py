"""Changing the number of shards: step by step, abandoned after each, forwards and back."""

from datetime import UTC, datetime, timedelta

import pytest

from fleet.mqtt.guard import ShardsBusyError
from fleet.mqtt.sessions import BrokerUnavailableError, delete_session
from fleet.mqtt.shards import Shard, set_of, shard_trouble
from sensors.models import ServiceTick, Watermark
from sensors.queries import judged_at
from tests.bridge.hall import EACH, STEPS, Hall, assert_settled
from tests.bridges import BridgeProcess
from tests.waiting import wait_until

# Most of the time is that of starting processes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1)])
def test_what_waits_for_the_old_set_is_stored_before_the_new_one_begins(hall: Hall, before: int, after: int) -> None:
    hall.start(before)
    hall.send()
    hall.wait_stored()
    hall.end()
    hall.send()

    outcome = hall.reshard(after)

    assert [drainage.shard for drainage in outcome.drained] == list(set_of(before))
    assert sum(drainage.messages for drainage in outcome.drained) >= EACH
    assert all(drainage.had_session for drainage in outcome.drained)
    assert len(hall.stored()) == hall.sent
    assert_settled(hall, after)
    hall.send()
    hall.start(after)
    hall.send()
    hall.wait_stored()
    hall.assert_all_in_order()


@pytest.mark.parametrize("step", STEPS[:-1])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (2, 1)])
def test_abandoned_after_any_step_and_repeated_it_does_the_rest(hall: Hall, before: int, after: int, step: str) -> None:
    hall.begin(before)
    hall.send()
    hall.reshard(after, until=step)
    hall.send()

    hall.reshard(after)

    assert_settled(hall, after)
    hall.send()
    hall.work(after)
    hall.assert_all_in_order()


@pytest.mark.parametrize("step", STEPS[:-1])
def test_abandoned_after_any_step_it_can_be_taken_back(hall: Hall, step: str) -> None:
    hall.begin(1)
    hall.send()
    hall.reshard(2, until=step)
    hall.send()
    # The set that is in use by then may go on, as if nothing had happened.
    hall.work(2 if step == "switch" else 1)
    assert len(hall.stored()) == hall.sent
    hall.send()

    hall.reshard(1)

    assert_settled(hall, 1)
    hall.send()
    hall.work(1)
    hall.assert_all_in_order()


def test_a_third_number_after_abandoned_changes_leaves_nothing_behind(hall: Hall) -> None:
    hall.begin(1)
    hall.send()
    hall.reshard(2, until="drain")
    hall.send()
    hall.reshard(3, until="open")
    hall.send()
    hall.reshard(3)
    assert_settled(hall, 3)
    hall.send()
    hall.work(3)
    hall.assert_all_in_order()


def test_deleting_the_old_session_instead_of_draining_it_loses(hall: Hall) -> None:
    """The control of the tests above."""
    hall.begin(1)
    hall.send()
    delete_session(hall.address, Shard(0, 1), check=lambda: None)
    hall.begin(2)
    hall.send()
    hall.work(2)
    assert hall.stored() == list(range(EACH, 2 * EACH))


def test_starting_the_new_set_before_the_old_one_is_drained_disorders_the_samples(hall: Hall) -> None:
    """The other control: nothing is lost, but rules would see what is new before what is old."""
    hall.begin(1)
    hall.send()
    hall.begin(2)
    hall.send()
    hall.work(2)
    hall.work(1)
    assert hall.stored() == list(range(2 * EACH))
    with pytest.raises(AssertionError):
        hall.assert_all_in_order()


def test_silence_is_judged_up_to_the_drain_until_all_new_bridges_go_on(hall: Hall) -> None:
    hall.begin(1)
    stopped_at = judged_at(datetime.now(UTC))
    began = datetime.now(UTC)

    drained_until = hall.reshard(2).drained_until

    assert drained_until is not None
    assert stopped_at < began < drained_until < datetime.now(UTC)
    far = datetime.now(UTC) + timedelta(hours=1)
    # While they do not run, nobody is silent for what nobody could hear; one of two is not enough.
    assert judged_at(far) == drained_until
    hall.work(2, only=0)
    assert judged_at(far) == drained_until
    hall.work(2, only=1)
    assert judged_at(far) > drained_until


def test_a_bridge_of_the_old_set_does_not_start_after_the_change_and_says_so(hall: Hall) -> None:
    hall.begin(1)
    hall.reshard(2)
    late = BridgeProcess(broker_url=hall.broker.url, log=hall.folder / "late.log", shard="0/1").start()
    try:
        row = wait_until(lambda: ServiceTick.objects.filter(name="waiting bridge 0/1").first(), 60, "it to wait")
        assert "run `manage.py reshard 1` first" in shard_trouble([(row.name, row.at, row.detail)], now=row.at)
        assert "another set of shards is in use" in late.text()
        assert not hall.has_session(Shard(0, 1))
    finally:
        late.stop()


def test_a_new_set_started_beside_the_old_one_loses_nothing_and_is_reported(hall: Hall) -> None:
    """Without the command: it waits, the old one goes on, and the broker collects nothing for it."""
    hall.start(1)
    others = [
        BridgeProcess(broker_url=hall.broker.url, log=hall.folder / f"early-{shard.index}.log", shard=str(shard))
        for shard in set_of(2)
    ]
    try:
        for other in others:
            other.start()
        wait_until(lambda: ServiceTick.objects.filter(name__startswith="waiting").count() == 2, 60, "both to wait")
        hall.send()
        hall.wait_stored()
        with pytest.raises(ShardsBusyError, match="these bridges are running: 0/1"):
            hall.reshard(2)
        trouble = shard_trouble(ServiceTick.objects.values_list("name", "at", "detail"), now=datetime.now(UTC))
        assert trouble.count("bridges of another set of shards are running") == 2
        assert set(Watermark.objects.values_list("shard", flat=True)) == {"0/1"}
        hall.end()
        hall.reshard(2)
        # They were only waiting for that.
        for other in others:
            other.wait_ready()
        hall.send()
        hall.wait_stored()
    finally:
        for other in others:
            other.stop()
    hall.assert_all_in_order()


def test_a_session_that_the_broker_forgot_is_reported(hall: Hall) -> None:
    hall.begin(1)
    delete_session(hall.address, Shard(0, 1), check=lambda: None)
    (drainage,) = hall.reshard(2).drained
    assert (drainage.had_session, drainage.messages) == (False, 0)


def test_a_broker_that_is_away_stops_it_and_it_can_be_repeated(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.mqtt.sessions.BROKER_WAIT_S", 1.0)
    hall.begin(1)
    hall.send()
    hall.broker.stop()
    with pytest.raises(BrokerUnavailableError):
        hall.reshard(2)
    hall.broker.start()
    hall.reshard(2)
    assert_settled(hall, 2)
