"""The work `credentials` at a tiny scale, and that what it tries at the broker can fail."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleet.mqtt import account_keeper
from fleet.mqtt.accounts import Login
from fleet.mqtt.dynamic_security import end_account, make_account
from fleet.stack.mosquitto import MosquittoServer
from fleet.stack.places import DataDir
from sensors.provisioning import MAX_ROWS
from sensors.secrets import new_secret
from tests.bench.accounts import (
    MOST_ACCOUNTS,
    DirectAccounts,
    await_closed,
    connected,
    connected_when_accepted,
    stay_out,
)
from tests.bench.options import MOST_CREDENTIALS, read_options
from tests.bench.servers import ROOT
from tests.servers import make_mosquitto


@pytest.fixture
def broker(own_place: DataDir, own_servers: Callable[[MosquittoServer], MosquittoServer]) -> MosquittoServer:
    """A mosquitto that takes nobody without a login."""
    return own_servers(make_mosquitto(own_place, anonymous=False))


def login(name: str) -> Login:
    return Login(name, new_secret())


# It starts servers of its own and migrates a database.
@pytest.mark.timeout(400)
def test_the_work_finds_every_figure_at_a_tiny_scale() -> None:
    given = {"DATABASE_URL", "REDIS_URL", "MQTT_URL", "FLEET_TEST_SERVERS", "FLEET_DATA_DIR", "SECRET_KEY"}
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench", "credentials", "--credentials", "40", "--json"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in given},
        capture_output=True,
        text=True,
        check=False,
        timeout=390,
    )

    assert answer.returncode == 0, answer.stderr[-3_000:]
    found = json.loads(answer.stdout)
    assert found["failed"] == []
    assert found["options"]["credentials"] == 40
    assert [(row["work"], row["unit"], row["asked_for"]) for row in found["results"]] == [
        ("credentials", "ms", "≤ 2,000"),
        ("credentials", "ms", "≤ 5,000"),
        ("credentials", "ms", "≤ 2,000"),
        ("credentials", "ms", "≤ 5,000"),
        *[("credentials", "s", "≤ 10")] * 4,
    ]
    issue, closed, rotate, revoke, *many = found["results"]
    for row in (issue, closed, rotate, revoke):
        assert "slowest of 2" in row["what"]
        assert 0 < row["detail"]["p50"] <= row["figure"]
        assert 0 < row["detail"]["floor_p50"] <= row["floor"]
    assert closed["figure"] < rotate["figure"]
    assert ["40 accounts there already" in row["what"] for row in many] == [False, False, True, True]
    for answered, usable in (many[:2], many[2:]):
        assert 0 < answered["figure"] < usable["figure"]
        assert usable["floor"] > 0


def test_more_than_one_call_takes_are_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert MAX_ROWS == MOST_CREDENTIALS
    assert read_options(["credentials", "--credentials", "5000"]).credentials == 5_000

    with pytest.raises(SystemExit, match="2"):
        read_options(["credentials", "--credentials", "5001"])

    assert "at most 5000" in capsys.readouterr().err


def test_who_gets_in_after_the_end_fails_the_run(broker: MosquittoServer) -> None:
    ended, staying = login("s-1"), login("s-2")
    with DirectAccounts(broker.url) as accounts:
        accounts.make([ended, staying])
        client = connected(broker.port, ended)
        accounts.send(end_account("s-1", tag="bench"))
        await_closed(client)
        accounts.await_answer()

    stay_out(broker.port, ended, times=3)
    with pytest.raises(RuntimeError, match="s-2 was answered with 'Success' at CONNECT 1 after its end"):
        stay_out(broker.port, staying, times=3)
    with pytest.raises(RuntimeError, match="'Not authorized' instead of being let in"):
        connected(broker.port, ended)


def test_a_connection_that_stays_open_fails_the_run(broker: MosquittoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.accounts.WITHIN_S", 0.2)
    staying = login("s-1")
    with DirectAccounts(broker.url) as accounts:
        accounts.make([staying])
        client = connected(broker.port, staying)
        with pytest.raises(RuntimeError, match="still open"):
            await_closed(client)
        client.close()


def test_what_the_plugin_refuses_fails_the_run(broker: MosquittoServer) -> None:
    twice = make_account("s-1", new_secret(), tag="bench")[-1:] * 2
    with DirectAccounts(broker.url) as accounts:
        accounts.send(twice)
        with pytest.raises(RuntimeError, match="Client already exists"):
            accounts.await_answer()


def test_a_sensor_tries_until_its_account_is_there(broker: MosquittoServer) -> None:
    waiting = login("s-1")
    with DirectAccounts(broker.url) as accounts, ThreadPoolExecutor(1) as pool:
        stay_out(broker.port, waiting)
        client = pool.submit(connected_when_accepted, broker.port, waiting, again_after_s=0.01)
        accounts.make([waiting])
        client.result().close()


def test_many_accounts_are_sent_in_messages_like_those_of_the_bridge(broker: MosquittoServer) -> None:
    assert MOST_ACCOUNTS == account_keeper.MOST_ACCOUNTS
    logins = [login(f"s-{number}") for number in range(2 * MOST_ACCOUNTS + 1)]
    with DirectAccounts(broker.url) as accounts:
        accounts.make(logins)

    for each in (logins[0], logins[MOST_ACCOUNTS], logins[-1]):
        connected(broker.port, each).close()
