"""`/healthz` and `/readyz` of a real daphne, with real servers that hang and die."""

import json
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from sensors.activity import record_tick
from tests.bridges import database_url
from tests.live.web import WebProcess
from tests.waiting import wait_until

# Four seconds is what fleet/health.py promises twice over; daphne and the test share two cores.
ANSWER_WITHIN_S = 4.0


def tick_all(*, connected: bool = True) -> None:
    now = datetime.now(UTC)
    record_tick("bridge 0/1", now=now, detail={"connected": connected, "queue": 0})
    record_tick("worker", now=now)
    record_tick("beat", now=now)


def unfit(web: WebProcess) -> set[str]:
    """Return the parts that are not fit, by an answer that is consistent in itself."""
    status, body = web.get("/readyz")
    answer = json.loads(body)
    names = {name for name, part in answer["parts"].items() if not part["fit"]}
    assert (status, answer["ready"]) == ((503, False) if names else (200, True))
    return names


def test_every_part_is_named(web: WebProcess):
    tick_all()
    wait_until(lambda: not unfit(web))
    parts = json.loads(web.get("/readyz")[1])["parts"]
    assert sorted(parts) == ["beat", "bridge", "broker", "database", "redis", "worker"]
    assert all(parts[name]["age_s"] < 15 for name in ("beat", "bridge", "worker"))


def test_an_answer_names_no_server(web: WebProcess):
    _, body = web.get("/readyz")
    assert not re.search(r"127\.0\.0\.1|localhost|://|password|Error", body)


def test_a_broker_that_the_bridge_lost_is_unfit(web: WebProcess):
    tick_all(connected=False)
    wait_until(lambda: unfit(web) == {"broker"})
    tick_all()
    wait_until(lambda: not unfit(web))


def test_only_reading_is_answered(web: WebProcess, client):
    for path in ("/healthz", "/readyz", "/metrics"):
        assert client.post(path).status_code == 405
        assert client.head(path).status_code in (200, 401, 503)


def test_a_flood_of_probes_asks_the_database_about_once_a_second(web: WebProcess):
    tick_all()
    wait_until(lambda: not unfit(web))
    before, started = scans(), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        statuses = [status for status, _ in pool.map(lambda _: web.get("/readyz"), range(400))]
    took_s = time.monotonic() - started
    assert statuses == [200] * 400
    assert took_s < 15
    # The server's own statistics are up to a second late.
    time.sleep(1.5)
    assert scans() - before <= took_s + 2


def scans() -> int:
    """Return how often the ticks were read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = 'sensors_servicetick'")
        return cursor.fetchone()[0]


def test_a_database_that_hangs_makes_readyz_red_in_time_and_leaves_healthz_green(web: WebProcess):
    tick_all()
    wait_until(lambda: not unfit(web))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE sensors_servicetick IN ACCESS EXCLUSIVE MODE")
        time.sleep(1.1)
        for _ in range(4):
            started = time.monotonic()
            assert unfit(web) == {"database", "broker", "bridge", "worker", "beat"}
            assert time.monotonic() - started < ANSWER_WITHIN_S
        assert web.get("/healthz")[0] == 200
    wait_until(lambda: not unfit(web))


def test_a_database_that_takes_no_writes_is_unfit_while_all_ticks_are_fresh(own_web):
    # As for a standby, or after ALTER SYSTEM SET default_transaction_read_only.
    web = own_web(DATABASE_URL=f"{database_url()}?options=-c%20default_transaction_read_only%3Don")
    tick_all()
    wait_until(lambda: unfit(web) == {"database"})
    assert json.loads(web.get("/readyz")[1])["parts"]["database"] == {"fit": False, "detail": "is read-only"}


def test_a_bridge_that_is_refused_turns_it_red_and_a_stored_batch_green_again(web: WebProcess):
    tick_all()
    wait_until(lambda: not unfit(web))
    now = datetime.now(UTC)
    record_tick("bridge 0/1", now=now, detail={"connected": True, "failing_since": now.timestamp() - 10})
    wait_until(lambda: unfit(web) == {"bridge"})
    tick_all()
    wait_until(lambda: not unfit(web))


@pytest.mark.fault
def test_a_hung_redis_makes_readyz_red_in_time_and_leaves_healthz_green(own_web, own_valkey):
    web = own_web(REDIS_URL=own_valkey.url)
    tick_all()
    wait_until(lambda: not unfit(web))
    own_valkey.process.send(signal.SIGSTOP)
    try:
        time.sleep(1.1)
        for _ in range(3):
            tick_all()
            started = time.monotonic()
            assert unfit(web) == {"redis"}
            assert time.monotonic() - started < ANSWER_WITHIN_S
        assert web.get("/healthz")[0] == 200
    finally:
        own_valkey.process.send(signal.SIGCONT)
    wait_until(lambda: not unfit(web))


@pytest.mark.fault
def test_a_dead_redis_is_named_until_it_is_back(own_web, own_valkey):
    web = own_web(REDIS_URL=own_valkey.url)
    own_valkey.kill(signal.SIGKILL)
    tick_all()
    wait_until(lambda: unfit(web) == {"redis"})
    own_valkey.start()
    wait_until(lambda: not unfit(web))
