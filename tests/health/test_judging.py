"""How ticks become parts of `/readyz`."""

from datetime import UTC, datetime, timedelta

from fleet.health import FRESH_S, Part, Tick, judge

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)


def tick(name: str, age_s: float = 1.0, **detail: object) -> Tick:
    return Tick(name, NOW - timedelta(seconds=age_s), detail)


def bridge(shard: str = "0/1", age_s: float = 1.0, *, connected: bool = True) -> Tick:
    return tick(f"bridge {shard}", age_s, connected=connected, queue=0)


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
