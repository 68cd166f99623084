"""PostgreSQL dies, is away, or takes no writes: nothing is acknowledged that is not stored, and memory is bounded."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.faults.careless import Careless
from tests.faults.disk import SmallDisk
from tests.faults.load import Devices
from tests.faults.proxy import PUBACK, Proxy
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost
from tests.live.web import WebProcess
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MakeProxy = Callable[..., Proxy]
# What the bridge may grow by while it waits. 5,000 messages of 100 bytes wait in it, and the broker keeps the rest;
# 32 MiB is the most that may wait, and what a message costs beside its payload is in the same order.
MEMORY_BYTES = 64 * 1024 * 1024


@contextmanager
def serving(stack: Stack, folder: Path) -> Iterator[WebProcess]:
    """Serve the web pages of this stack, `/readyz` among them."""
    web = WebProcess(log=folder / "web.log", **stack.environment)
    web.start()
    try:
        yield web
    finally:
        web.stop()


def says_of_the_bridge(web: WebProcess, *, fit: bool) -> bool:
    """Return whether `/readyz` says so; without worker and beat it is never 200."""
    status, body = web.get("/readyz")
    assert status == 503
    return f'"bridge": {{"fit": {"true" if fit else "false"}' in body


def test_an_immediate_restart_of_postgresql_loses_nothing(
    stack: Stack, make_load: MakeLoad, devices: Devices, long: bool
) -> None:
    stack.start_bridge()
    load = make_load(rate=1_000)
    restarts = 6 if long else 2
    for _ in range(restarts):
        stack.revise()
        load.run_for(700)
        stack.database.kill(signal.SIGQUIT)  # "immediate": as after a power cut, with recovery
        stack.database.start()
    load.run_for(500)
    assert_nothing_is_lost(stack, load)
    assert_answered_once(stack, revisions=restarts)


def test_postgresql_away_bounds_the_memory_and_loses_nothing(stack: Stack, make_load: MakeLoad, long: bool) -> None:
    stack.start_bridge()
    assert stack.bridge.process is not None
    process = psutil.Process(stack.bridge.process.pid)
    load = make_load(rate=2_000)
    load.run_for(1_000)
    before = process.memory_info().rss
    stack.database.stop()
    load.run_for(2_000 * (60 if long else 5))
    grown = process.memory_info().rss - before
    load.end()
    stack.database.start()

    assert grown < MEMORY_BYTES
    # At full length the time is the promise; the short form only bounds a failing test by it.
    assert_nothing_is_lost(stack, load, within_s=30 if long else 60, least=10_000)


def test_a_subscriber_that_goes_on_after_a_database_error_loses(
    stack: Stack, make_load: MakeLoad, make_careless: Callable[..., Careless]
) -> None:
    """The control of the tests above."""
    careless = make_careless("skips")
    load = make_load(rate=500)
    load.run_for(300)
    stack.database.stop()
    load.run_for(300)
    stack.database.start()
    load.run_for(300)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100


def refuses_acknowledges_nothing_and_recovers(
    stack: Stack, proxy: Proxy, load: MakeLoad, folder: Path, *, refuse: Callable[[], None], accept: Callable[[], None]
) -> None:
    """Let the database refuse writes under load; the bridge goes through `proxy`, which counts acknowledgements."""
    stack.bridge = stack.make_bridge(broker_url=proxy.url)
    stack.start_bridge()
    running = load(rate=300)
    with serving(stack, folder) as web:
        wait_until(lambda: says_of_the_bridge(web, fit=True), 30, "/readyz to call the bridge fit")
        running.run_for(300)
        refuse()
        wait_until(lambda: "storing waits for the database" in stack.bridge.text(), 30, "the bridge to say so")
        stored, acknowledged = stack.stored(), proxy.packets(PUBACK)
        wait_until(lambda: says_of_the_bridge(web, fit=False), 40, "/readyz to call the bridge unfit")
        running.run_for(300)
        assert proxy.packets(PUBACK) == acknowledged
        # What it holds must not depend on this process either.
        stack.bridge.kill(signal.SIGKILL)
        accept()
        wait_until(stack.database_answers, 60, "the database to answer")
        assert stack.stored() == stored
        stack.start_bridge()
        wait_until(lambda: says_of_the_bridge(web, fit=True), 30, "/readyz to call the bridge fit again")
    assert_nothing_is_lost(stack, running)


def test_a_read_only_database_is_not_ready_gets_no_acknowledgement_and_recovers(
    stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, tmp_path: Path
) -> None:
    refuses_acknowledges_nothing_and_recovers(
        stack,
        make_proxy(stack.broker.url, mqtt=True),
        make_load,
        tmp_path,
        refuse=lambda: stack.set_read_only(on=True),
        accept=lambda: stack.set_read_only(on=False),
    )


def test_a_full_disk_is_not_ready_gets_no_acknowledgement_and_recovers(
    small_disk: SmallDisk, stack: Stack, make_load: MakeLoad, make_proxy: MakeProxy, tmp_path: Path
) -> None:
    def accept() -> None:
        small_disk.free()
        # If it ended itself because its log had no room, it is started again as a supervisor would do.
        stack.database.start()

    refuses_acknowledges_nothing_and_recovers(
        stack, make_proxy(stack.broker.url, mqtt=True), make_load, tmp_path, refuse=small_disk.fill, accept=accept
    )


def test_a_database_that_writes_again_gets_everything_from_the_same_process(stack: Stack, make_load: MakeLoad) -> None:
    stack.start_bridge()
    load = make_load(rate=500)
    load.run_for(300)
    stack.set_read_only(on=True)
    wait_until(lambda: "storing waits for the database" in stack.bridge.text(), 30, "the bridge to say so")
    load.run_for(500)
    stack.set_read_only(on=False)
    assert_nothing_is_lost(stack, load)


def test_a_subscriber_that_skips_loses_what_a_read_only_database_refused(
    stack: Stack, make_load: MakeLoad, make_careless: Callable[..., Careless]
) -> None:
    """The control of the three tests above."""
    careless = make_careless("skips")
    load = make_load(rate=500)
    load.run_for(300)
    stack.set_read_only(on=True)
    with psycopg.connect(stack.database.url) as connection:
        wait_until(
            lambda: connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",), 10, "the reload"
        )
    load.run_for(300)
    stack.set_read_only(on=False)
    load.run_for(300)
    load.end()
    wait_until(lambda: load.outstanding() == 0, 30, "the broker's acknowledgements")

    assert len(load.acknowledged() - careless.wait_stored({load.count - 1})) >= 100
