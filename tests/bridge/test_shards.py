"""Which shard a sensor belongs to, and that two sets of shards never run side by side."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from hypothesis import given
from hypothesis import strategies as st

from fleet.mqtt.guard import LOCK_SPACE, SET_KEY, SetLock, SetLockLostError, ShardGuard, ShardsBusyError, running_shards
from fleet.mqtt.shards import FRESH_S, MAX_SHARDS, Shard, set_of, shard_trouble
from sensors.activity import record_tick, record_watermark
from sensors.database import connection_parameters
from sensors.models import ServiceTick, Watermark
from tests.waiting import wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COUNTS = range(1, MAX_SHARDS + 1)
TOPICS = ("measurements/{}", "heartbeats/{}", "log-messages/{}", "configurations/{}", "{}")


# --- Ownership -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", COUNTS)
def test_every_sensor_has_exactly_one_shard_whatever_the_topic(count: int) -> None:
    shards = set_of(count)
    for number in range(200):
        identifier = f"s-{number}"
        owners = {topic: [each for each in shards if each.owns(topic.format(identifier))] for topic in TOPICS}
        assert {len(owning) for owning in owners.values()} == {1}
        # Receiving and publishing agree, for every family.
        assert len({owning[0] for owning in owners.values()}) == 1


@given(topic=st.text(max_size=80), count=st.integers(1, MAX_SHARDS))
def test_whatever_a_topic_looks_like_exactly_one_shard_keeps_it(topic: str, count: int) -> None:
    assert sum(shard.owns(topic) for shard in set_of(count)) == 1


def test_the_hash_never_changes() -> None:
    """Another one would let a bridge of a newer release leave sensors to shards that do not take them."""
    owners = {name: [next(s.index for s in set_of(n) if s.owns(name)) for n in (2, 3, 7)] for name in _PINNED}
    assert owners == _PINNED


_PINNED = {
    "s-0": [0, 0, 5],
    "s-1": [0, 2, 3],
    "boiler-1": [1, 2, 6],
    "7f3c2a9e-5b1d-4e8f-9a6c-0d2e4f6a8b1c": [1, 0, 1],
}


@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_are_of_about_one_size(count: int) -> None:
    names = [str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)) for number in range(10_000)]
    sizes = Counter(next(shard for shard in set_of(count) if shard.owns(name)) for name in names)
    assert max(sizes.values()) < 1.1 * 10_000 / count
    assert min(sizes.values()) > 0.9 * 10_000 / count


def test_client_ids_and_topics_stay_as_brokers_know_them() -> None:
    shard = Shard.from_text("1/3")
    assert shard.receiver_id == "fleet-bridge-1-of-3"
    assert shard.publisher_id == "fleet-publisher-1-of-3"
    assert shard.marker_topic == "fleet/watermark/fleet-bridge-1-of-3"


@pytest.mark.parametrize("text", ["0/1", "1/2", "99/100"])
def test_a_shard_is_read_as_it_is_written(text: str) -> None:
    assert str(Shard.from_text(text)) == text


@pytest.mark.parametrize("text", ["", "1", "2/2", "0/0", "-1/2", "1/2/3", "a/b", "0/101", "0/1 ", "²/3", "1,2"])
def test_what_is_no_shard_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no shard: write I/N") as refusal:
        Shard.from_text(text)
    assert repr(text) in str(refusal.value)


# --- What a person is told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "trouble"),
    [
        ([("bridge 0/1", 0, {}), ("worker", 900, {})], ""),
        ([("waiting bridge 0/2", 1, {"why": "another set is in use"})], "bridge 0/2 waits: another set is in use"),
        ([("waiting bridge 0/2", FRESH_S + 1, {"why": "another set is in use"})], ""),
        ([("reshard", 1, {"to": 2})], "re-sharding to 2: bridges start when it is done"),
        ([("reshard", 900, {"to": 2})], "re-sharding was interrupted: run `manage.py reshard 2` again"),
    ],
)
def test_what_is_wrong_with_the_set_of_shards_is_said(rows: list[tuple[str, float, Any]], trouble: str) -> None:
    ticks = [(name, NOW - timedelta(seconds=age_s), detail) for name, age_s, detail in rows]
    assert shard_trouble(ticks, now=NOW) == trouble


# --- One set at a time -----------------------------------------------------------------------------

MakeGuard = Callable[[str], "Guard"]


class Guard:
    """A guard that tries to take its shard in a thread of its own, as a bridge's main thread does."""

    def __init__(self, shard: str) -> None:
        self.lost = threading.Event()
        self.shard = Shard.from_text(shard)
        self.guard = ShardGuard(self.shard, on_notice=lambda: None, on_lost=self.lost.set)
        self.has_it = False
        self._thread = threading.Thread(target=self._acquire)
        self._thread.start()

    def taken(self) -> "Guard":
        wait_until(lambda: self.has_it, 10, f"{self.shard} to be taken")
        return self

    def refused(self) -> str:
        """Return why it waits, as a row tells readiness."""
        row = wait_until(
            lambda: ServiceTick.objects.filter(name=f"waiting bridge {self.shard}").first(), 10, f"{self.shard} waiting"
        )
        assert not self.has_it
        return str(row.detail["why"])

    def end(self) -> None:
        self.guard.stop_waiting()
        self._thread.join()
        self.guard.release()

    def _acquire(self) -> None:
        self.has_it = self.guard.acquire()


@pytest.fixture
def guard() -> Iterator[MakeGuard]:
    started: list[Guard] = []

    def make(shard: str) -> Guard:
        started.append(Guard(shard))
        return started[-1]

    yield make
    for each in started:
        each.end()


def running() -> set[str]:
    with psycopg.connect(**connection_parameters()) as looking:
        return {str(shard) for shard in running_shards(looking)}


@pytest.mark.django_db(transaction=True)
def test_all_shards_of_one_set_run_side_by_side(guard: MakeGuard) -> None:
    for shard in ("0/3", "1/3", "2/3"):
        guard(shard).taken()
    assert running() == {"0/3", "1/3", "2/3"}
    assert not ServiceTick.objects.filter(name__startswith="waiting").exists()


@pytest.mark.django_db(transaction=True)
def test_a_bridge_of_another_set_waits_beside_running_ones_and_says_so(guard: MakeGuard) -> None:
    guard("0/1").taken()
    other = guard("0/2")
    assert other.refused() == (
        "bridges of another set of shards are running; to change over, end them and run `manage.py reshard 2`"
    )
    assert running() == {"0/1"}
    (row,) = ServiceTick.objects.filter(name="waiting bridge 0/2")
    assert "bridge 0/2 waits: bridges of another set" in shard_trouble(
        [(row.name, row.at, row.detail)], now=datetime.now(UTC)
    )
    other.end()
    assert not ServiceTick.objects.filter(name="waiting bridge 0/2").exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known_by", ["watermark", "tick"])
def test_a_bridge_of_another_set_waits_though_the_others_have_ended(known_by: str, guard: MakeGuard) -> None:
    """Messages may wait in their sessions, and the broker would go on collecting there."""
    if known_by == "watermark":
        record_watermark("0/1", drained_until=NOW)
    else:
        record_tick("bridge 0/1", now=NOW)
    other = guard("0/2")
    assert other.refused() == (
        "another set of shards is in use, and messages may wait in its sessions; run `manage.py reshard 2` first"
    )
    # As re-sharding leaves it.
    Watermark.objects.all().delete()
    ServiceTick.objects.filter(name="bridge 0/1").delete()
    other.taken()
    assert not ServiceTick.objects.filter(name="waiting bridge 0/2").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_sets_that_start_at_the_same_time_only_one_runs(guard: MakeGuard) -> None:
    several = [guard(f"{index}/{count}") for count in (2, 3) for index in range(2)]

    def settled() -> bool:
        waiting = ServiceTick.objects.filter(name__startswith="waiting bridge").count()
        return waiting + sum(each.has_it for each in several) == 4 and waiting == 2

    wait_until(settled, 20, "each to run or wait")
    assert running() in ({"0/2", "1/2"}, {"0/3", "1/3"})


@pytest.mark.django_db(transaction=True)
def test_the_lock_of_the_set_is_refused_while_a_bridge_runs_and_names_it(guard: MakeGuard) -> None:
    one = guard("1/2").taken()
    with pytest.raises(ShardsBusyError, match="these bridges are running: 1/2"), SetLock():
        pass
    one.end()
    with SetLock() as lock:
        lock.check()
        waiting = guard("0/2")
        assert waiting.refused() == "the shards are being changed by `manage.py reshard`"
        with pytest.raises(ShardsBusyError, match="somebody else is changing the shards"), SetLock():
            pass
    waiting.taken()


@pytest.mark.django_db(transaction=True)
def test_a_lock_of_the_set_that_the_database_ended_is_noticed() -> None:
    with SetLock() as lock:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [lock.connection.info.backend_pid])
        with pytest.raises(SetLockLostError):
            lock.check()


@pytest.mark.django_db(transaction=True)
def test_a_bridge_whose_locks_are_lost_to_a_resharding_ends(guard: MakeGuard) -> None:
    one = guard("0/1").taken()
    with psycopg.connect(**connection_parameters(), autocommit=True) as other, connection.cursor() as cursor:
        # In the queue for the lock before it is free, and so before the guard comes back for its own.
        taking = threading.Thread(target=other.execute, args=[f"SELECT pg_advisory_lock({LOCK_SPACE}, {SET_KEY})"])
        taking.start()
        wait_until(lambda: _locks(cursor, granted=False), 10, "somebody waiting for the lock")
        cursor.execute("SELECT pg_terminate_backend(%s)", [_locks(cursor, granted=True)[0]])
        taking.join()
        assert one.lost.wait(10)


def _locks(cursor: CursorWrapper, *, granted: bool) -> list[int]:
    cursor.execute(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted = %s"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        [LOCK_SPACE, SET_KEY, granted],
    )
    return [row[0] for row in cursor.fetchall()]
