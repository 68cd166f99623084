"""How ticks become parts of `/readyz`."""

from datetime import UTC, datetime, timedelta

from fleet.health import BEHIND_S, FRESH_S, REFUSED_S, Part, judge
from fleet.ticks import Tick

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def tick(name: str, age_s: float = 1.0, **detail: object) -> Tick:
    return Tick(name, NOW - timedelta(seconds=age_s), detail)


def bridge(shard: str = "0/1", age_s: float = 1.0, *, connected: bool = True, **detail: object) -> Tick:
    return tick(f"bridge {shard}", age_s, connected=connected, queue=0, **detail)


def refused(for_s: float, *, age_s: float = 1.0) -> float:
    """Return since when a bridge is refused that ticked `age_s` ago and had been refused for so long by then."""
    return (NOW - timedelta(seconds=age_s + for_s)).timestamp()


WHOLE = [bridge(), tick("worker"), tick("beat")]


def test_fresh_ticks_are_fit():
    assert judge(WHOLE, now=NOW) == {
        "broker": Part(True),
        "bridge": Part(True, age_s=1.0),
        "worker": Part(True, age_s=1.0),
        "beat": Part(True, age_s=1.0),
    }


def test_a_tick_is_fit_up_to_its_limit():
    parts = judge([bridge(), tick("worker", FRESH_S), tick("beat", FRESH_S + 0.1)], now=NOW)
    assert (parts["worker"].fit, parts["beat"].fit) == (True, False)
    assert parts["beat"].shown() == {"fit": False, "age_s": 15.1, "detail": "last ticked more than 15 s ago"}


def test_without_a_database_nothing_is_known():
    assert {part.fit for part in judge(None, now=NOW).values()} == {False}
    assert {part.detail for part in judge(None, now=NOW).values()} == {"not known without the database"}


def test_before_the_first_tick_nothing_is_fit():
    parts = judge([], now=NOW)
    assert set(parts) == {"broker", "bridge", "worker", "beat"}
    assert not any(part.fit for part in parts.values())


def test_a_clock_behind_makes_no_negative_age():
    assert judge([bridge(age_s=-3), *WHOLE[1:]], now=NOW)["bridge"].age_s == 0


def test_a_connected_bridge_that_lost_the_broker_says_so():
    parts = judge([bridge(connected=False), *WHOLE[1:]], now=NOW)
    assert (parts["bridge"].fit, parts["broker"].fit) == (True, False)


def test_a_bridge_that_ended_says_nothing_against_the_broker():
    parts = judge([bridge(age_s=100), *WHOLE[1:]], now=NOW)
    assert (parts["bridge"].fit, parts["broker"].fit) == (False, True)


def test_the_worst_shard_counts():
    parts = judge([bridge("0/2", 1), bridge("1/2", 40), *WHOLE[1:]], now=NOW)
    assert (parts["bridge"].fit, parts["bridge"].age_s) == (False, 40)
    parts = judge([bridge("0/2"), bridge("1/2", connected=False), *WHOLE[1:]], now=NOW)
    assert (parts["bridge"].fit, parts["broker"].fit) == (True, False)


def test_a_shard_that_never_ticked_is_missed():
    assert not judge([bridge("0/3"), bridge("2/3"), *WHOLE[1:]], now=NOW)["bridge"].fit


def test_shards_of_an_earlier_number_of_them_do_not_count():
    parts = judge([bridge("0/1", 500), bridge("0/2"), bridge("1/2"), *WHOLE[1:]], now=NOW)
    assert parts["bridge"] == Part(True, age_s=1.0)


def test_a_bridge_that_the_database_refuses_is_unfit_although_it_ticks():
    parts = judge([bridge(failing_since=refused(REFUSED_S)), *WHOLE[1:]], now=NOW)
    assert parts["bridge"] == Part(False, age_s=1.0, detail="the database refuses what it is to store")
    # One shard is enough: its sensors' messages wait.
    shards = [bridge("0/2"), bridge("1/2", failing_since=refused(60))]
    assert not judge([*shards, *WHOLE[1:]], now=NOW)["bridge"].fit


def test_a_batch_that_is_tried_again_at_once_makes_nothing_unfit():
    assert judge([bridge(failing_since=refused(REFUSED_S - 1)), *WHOLE[1:]], now=NOW)["bridge"] == Part(True, age_s=1.0)
    assert judge([bridge(failing_since=None), *WHOLE[1:]], now=NOW)["bridge"].fit


def test_what_is_behind_but_at_work_is_fit_and_says_how_far():
    drained = {"0/1": NOW - timedelta(seconds=BEHIND_S + 5)}
    oldest = NOW - timedelta(seconds=BEHIND_S + 7)
    parts = judge(WHOLE, now=NOW, drained=drained, oldest_sample_at=oldest)
    assert parts["bridge"] == Part(True, age_s=1.0, detail="is 20 s behind the broker")
    assert parts["worker"] == Part(True, age_s=1.0, detail="samples have waited for the rules for 22 s")
    within = NOW - timedelta(seconds=BEHIND_S)
    parts = judge(WHOLE, now=NOW, drained={"0/1": within}, oldest_sample_at=within)
    assert (parts["bridge"].detail, parts["worker"].detail) == ("", "")


def test_the_shard_that_is_furthest_behind_counts_and_an_earlier_sets_mark_does_not():
    drained = {"0/1": NOW - timedelta(days=1), "0/2": NOW, "1/2": NOW - timedelta(seconds=40)}
    parts = judge([bridge("0/2"), bridge("1/2"), *WHOLE[1:]], now=NOW, drained=drained)
    assert parts["bridge"].detail == "is 40 s behind the broker"


def test_a_worker_that_does_not_tick_is_unfit_for_that_first():
    parts = judge([bridge(), tick("worker", 99), tick("beat")], now=NOW, oldest_sample_at=NOW - timedelta(hours=1))
    assert parts["worker"] == Part(False, age_s=99, detail="last ticked more than 15 s ago")


def test_messages_that_the_broker_dropped_are_told_once_for_all_shards():
    shards = [bridge("0/2", broker_dropped=7), bridge("1/2", broker_dropped=9)]
    parts = judge([*shards, *WHOLE[1:]], now=NOW)
    assert parts["broker"] == Part(True, detail="has dropped 9 messages since it started")
    assert judge([bridge(broker_dropped=None), *WHOLE[1:]], now=NOW)["broker"] == Part(True)


def test_a_bridge_that_waits_for_its_shard_is_told():
    waiting = tick("waiting bridge 0/1", why="another bridge of this shard is running")
    parts = judge([*WHOLE, waiting], now=NOW)
    assert parts["bridge"].fit
    assert parts["bridge"].detail == "bridge 0/1 waits: another bridge of this shard is running"
    parts = judge([waiting, *WHOLE[1:]], now=NOW)
    assert parts["bridge"] == Part(False, detail="bridge 0/1 waits: another bridge of this shard is running")
