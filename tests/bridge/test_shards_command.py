"""`manage.py reshard`: what it says, refuses and does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleet.mqtt.guard import ShardGuard
from fleet.mqtt.shards import Shard, set_of
from sensors.models import ServiceTick
from tests.bridge.hall import EACH, Hall, assert_settled
from tests.bridges import ROOT, database_url

# Most of the time is that of starting processes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def command(hall: Hall, settings: Any) -> Callable[..., str]:
    settings.MQTT_URL = hall.broker.url

    def run(*arguments: str) -> str:
        out = StringIO()
        call_command("reshard", *arguments, stdout=out)
        return out.getvalue()

    return run


@contextmanager
def running(shard: Shard) -> Iterator[None]:
    """Hold what a running bridge of the shard holds."""
    guard = ShardGuard(shard, on_notice=lambda: None, on_lost=lambda: None)
    assert guard.acquire()
    yield
    guard.release()


def run_process(hall: Hall, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": database_url(), "MQTT_URL": hall.broker.url}
    return subprocess.run(
        [sys.executable, "manage.py", "reshard", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_any_bridge_there_is_nothing_to_do(command: Callable[..., str]) -> None:
    assert command("2") == (
        "Nothing to do. The bridges are: manage.py bridge --shard 0/2, manage.py bridge --shard 1/2\n"
    )


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(hall: Hall, command: Callable[..., str]) -> None:
    hall.begin(1)
    with running(Shard(0, 1)):
        assert command("2", "--dry-run").splitlines() == [
            "These bridges must be ended first: 0/1.",
            "Sessions that the broker would be told to keep: 0/2, 1/2.",
            "Sessions whose messages would be stored: 0/1.",
            "Sessions that would be deleted: 0/1.",
            "Bridges to start then: manage.py bridge --shard 0/2, manage.py bridge --shard 1/2",
        ]
    plan = json.loads(command("2", "--dry-run", "--json"))
    assert plan == {
        "to": 2,
        "is_needed": True,
        "old": [1],
        "leftover": [],
        "running": [],
        "start": ["bridge --shard 0/2", "bridge --shard 1/2"],
    }
    assert not ServiceTick.objects.filter(name="reshard").exists()
    assert [hall.has_session(shard) for shard in set_of(2)] == [False, False]


def test_the_command_changes_the_set_and_says_what_to_start(hall: Hall, command: Callable[..., str]) -> None:
    hall.begin(1)
    with running(Shard(0, 1)):
        busy = run_process(hall, "2")
    assert (busy.returncode, busy.stdout) == (75, "")
    assert "these bridges are running: 0/1. End them and run this again; nothing was changed." in busy.stderr
    hall.send()

    done = run_process(hall, "2", "--json")

    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["drained"] == [{"shard": "0/1", "had_session": True, "messages": EACH, "stored": EACH}]
    assert result["start"] == ["bridge --shard 0/2", "bridge --shard 1/2"]
    assert_settled(hall, 2)
    assert command("2").startswith("Nothing to do. The bridges are: manage.py bridge --shard 0/2")
    back = run_process(hall, "1")
    assert back.returncode == 0
    assert back.stdout.splitlines()[-1] == "Done. Start: manage.py bridge --shard 0/1"


@pytest.mark.parametrize("count", ["0", "-1", "101"])
def test_a_number_that_is_none_is_refused(count: str, command: Callable[..., str]) -> None:
    with pytest.raises(CommandError, match=f"{count} is no number of shards"):
        command("--", count)


def test_a_broker_that_refuses_the_login_is_told(hall: Hall, settings: Any) -> None:
    hall.begin(1)
    settings.MQTT_URL = f"mqtt://fleet-bridge:wrong@127.0.0.1:{hall.broker.port}"
    with pytest.raises(SystemExit) as end:
        call_command("reshard", "2")
    assert end.value.code == 69
