"""Two bridges under one client id: the second one waits or gives up, says so, and none takes from the other."""

import signal

import psycopg
import pytest

from tests.faults.load import Devices
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost, migrate
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(400)]

# As long as a second bridge needs to see by its messages that there is another one, with room for a busy machine.
NOTICES_WITHIN_S = 60


def test_a_second_bridge_waits_loudly_and_follows_the_first_one(
    stack: Stack, make_load: MakeLoad, devices: Devices
) -> None:
    stack.start_bridge()
    load = make_load(rate=300)
    first, second = stack.bridge, stack.make_bridge(log="second")
    second.start()
    try:
        wait_until(lambda: "another bridge of this shard is running" in second.text(), 30, "the second one to say so")
        stack.revise()
        load.run_for(600)
        # It took nothing from the first one: that has had one connection.
        assert "epoch=2" not in first.text()
        assert " connected " not in second.text()
        assert first.kill(signal.SIGKILL) == -signal.SIGKILL
        stack.bridge = second
        stack.wait_ready()
        load.run_for(300)
        assert_nothing_is_lost(stack, load)
        assert_answered_once(stack, revisions=1)
    finally:
        first.stop()
        second.stop()


def test_a_second_bridge_of_another_database_gives_up_and_the_first_one_stores_everything(
    stack: Stack, make_load: MakeLoad
) -> None:
    """No lock stands between them, and the broker gives the session to whoever comes last, without end."""
    with psycopg.connect(stack.database.superuser_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE other OWNER fleet")
    other_url = stack.database.url.rpartition("/")[0] + "/other"
    migrate(other_url)
    stack.start_bridge()
    first = stack.bridge
    assert first.process is not None
    load = make_load(rate=100)
    load.run_for(100)
    second = stack.make_bridge(log="second", DATABASE_URL=other_url)
    second.start()
    try:
        assert second.process is not None
        # 75, EX_TEMPFAIL: its supervisor starts it again later, and later each time.
        assert second.process.wait(NOTICES_WITHIN_S) == 75
        assert "another bridge" in second.text()
        load.run_for(100)
        # Messages that the second one acknowledged after storing them in its own database are that one's.
        load.end()
        wait_until(lambda: load.outstanding() == 0, 60, "the broker's acknowledgements")
        assert first.process.poll() is None, first.text()
        wait_until(lambda: load.count - 1 in stack.stored(), 60, "the first one to have the last message")
        # A bounded number of take-overs, none of them hidden.
        assert first.text().count(" connected ") < 30
    finally:
        second.stop()
