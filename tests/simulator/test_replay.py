import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from fleet.simulator.broker import Broker
from fleet.simulator.replay import MAX_BATCH_BYTES, ReplayError, replay_rows
from fleet.simulator.table import Table

from .wire import OwnBroker, until

NOW_S = datetime(2024, 6, 1, tzinfo=UTC).timestamp()
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)


def table(rows: int, *, columns: int = 1, bad_every: int = 0) -> Table:
    source = random.Random(5)
    lines = ["timestamp," + ",".join(f"v{column}" for column in range(columns)) + "\n"]
    for number in range(rows):
        moment = "never" if bad_every and number % bad_every == 0 else f"{BEGIN + timedelta(minutes=number):%F %T}"
        lines.append(f"{moment}," + ",".join(f"{source.random():.6f}" for _ in range(columns)) + "\n")
    return Table(lines, now_s=NOW_S)


async def replay(rows, broker: Broker, **options):
    return await asyncio.wait_for(replay_rows(rows, broker, sensor="r-1", stop=asyncio.Event(), **options), 60)


async def test_every_row_arrives_exactly_once_and_in_order(broker, client):
    summary = await replay(table(7_267), broker.address)
    assert (summary.rows, summary.acknowledged, summary.bad_rows, summary.messages) == (7_267, 7_267, 0, 8)
    assert summary.complete
    await until(lambda: len(client.received) == 8)
    entries = client.entries("measurements", "r-1")
    assert [entry["timestamp"] for entry in entries] == [
        (BEGIN + timedelta(minutes=number)).timestamp() for number in range(7_267)
    ]
    assert {entry["revision"] for entry in entries} == {0}
    assert summary.line().startswith("Replayed 7,267 rows into r-1 in 8 messages: 7,267 acknowledged, ")


async def test_messages_stay_below_the_limit_however_wide_the_rows_are(broker, client):
    summary = await replay(table(2_000, columns=100), broker.address)
    await until(lambda: len(client.received) == summary.messages)
    sizes = [len(payload) for _, payload in client.received]
    assert max(sizes) <= MAX_BATCH_BYTES + 100
    assert min(sizes[:-1]) > MAX_BATCH_BYTES * 0.98
    assert len(client.entries("measurements", "r-1")) == 2_000


async def test_bad_rows_are_counted_and_the_first_are_named(broker, client):
    summary = await replay(table(100, bad_every=4), broker.address)
    assert (summary.rows, summary.acknowledged, summary.bad_rows) == (75, 75, 25)
    assert len(summary.problems) == 20
    assert summary.problems[0].startswith("line 2: 'never' is no time")
    assert "25 bad rows left out" in summary.line()


async def test_a_broker_that_restarts_in_between_is_waited_for(broker, client):
    def rows_with_a_restart():
        for number, row in enumerate(table(20_000)):
            if number == 8_000:
                broker.stop()
                asyncio.get_running_loop().call_later(0.5, broker.start)
            yield row

    summary = await replay(rows_with_a_restart(), broker.address)
    assert summary.acknowledged == 20_000
    await until(lambda: client.subscriptions >= 2)
    # At least once over a restart; the listener's session keeps what came while it was away.
    await until(lambda: len({e["timestamp"] for e in client.entries("measurements", "r-1")}) == 20_000, 30)


async def test_being_stopped_is_told_and_disconnects(broker, client):
    stop = asyncio.Event()

    def endless():
        while True:
            yield from table(1_000)

    asyncio.get_running_loop().call_later(0.5, stop.set)
    summary = await asyncio.wait_for(replay_rows(endless(), broker.address, sensor="r-1", stop=stop), 20)
    assert summary.interrupted
    assert not summary.complete
    assert "run it again" in summary.line()


async def test_a_refused_login_fails_with_what_to_do(tmp_path):
    guarded = OwnBroker(tmp_path, passwords={"a": "b"})
    guarded.start()
    try:
        with pytest.raises(ReplayError, match=r"Not authorized; see --username"):
            await replay(table(3), guarded.address)
    finally:
        guarded.stop()


async def test_no_broker_at_all_fails_with_its_address(monkeypatch):
    monkeypatch.setattr("fleet.simulator.replay.CONNECT_S", 0.5)
    with pytest.raises(ReplayError, match=r"no connection to mqtt://127.0.0.1:1 within"):
        await replay(table(3), Broker("127.0.0.1", 1))
