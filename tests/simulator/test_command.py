"""`manage.py simulate` as a process, at a broker and without a database."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from fleet.simulator.arguments import add_arguments, epilog
from fleet.simulator.broker import BrokerOptionsError, allow_open_files, find_broker, read_passwords
from fleet.simulator.faults import FAULTS

from .wire import Client, OwnBroker, until

ROOT = Path(__file__).resolve().parents[2]
# The bridge's login, which sensors must not use: the broker would refuse it.
BRIDGE = "fleet-bridge:secret"


def simulate(broker: OwnBroker, *arguments: str, login: str = BRIDGE) -> subprocess.Popen[str]:
    environment = {**os.environ, "MQTT_URL": f"mqtt://{login}@127.0.0.1:{broker.port}"}
    return subprocess.Popen(
        [sys.executable, "manage.py", "simulate", "--no-database", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    return output, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_a_summary_and_exit_code_0(broker, client, number):
    process = simulate(broker, "--sensors", "3", "--interval", "0.5", "--prefix", "x", "--json")
    await until(lambda: all(client.entries("measurements", f"x-00{n}") for n in (1, 2, 3)), 30)
    process.send_signal(number)
    output, errors = finish(process)
    summary = json.loads(output)
    assert (summary["sensors"], summary["connections"], summary["unacknowledged"]) == (3, 3, 0)
    assert summary["acknowledged"] == summary["messages"] == len(client.received)
    assert "Simulating 3 sensors at mqtt://127.0.0.1:" in errors
    assert "secret" not in errors + output


async def test_it_ends_by_itself_after_its_duration(broker, client):
    output, _ = finish(simulate(broker, "--sensor", "only-me", "--duration", "1"))
    assert re.fullmatch(r"Simulated 1 sensor for 1\.\d s: \d messages, \d acknowledged; .*\n", output)
    assert {topic.partition("/")[2] for topic, _ in client.received} == {"only-me"}


async def test_a_replay_tells_bad_rows_by_line_and_sends_the_rest(broker, client, tmp_path):
    path = tmp_path / "office (north).csv"
    path.write_bytes(
        b"\xef\xbb\xbfTime;Temp;Note\n2024-01-01 01:00;20.5;ok\n"
        b"later;1;x\n2024-01-01 02:00;;\xff\n2024-01-01 03:00;21;\n"
    )
    output, errors = finish(simulate(broker, "--replay", str(path), "--time-zone", "Europe/Berlin", "--revision", "4"))
    assert output.startswith("Replayed 2 rows into office-north in 1 message: 2 acknowledged, 2 bad rows left out")
    assert f"{path}, line 3: 'later' is no time" in errors
    assert f"{path}, line 4: Note is not UTF-8 text" in errors
    assert client.entries("measurements", "office-north") == [
        {"revision": 4, "timestamp": 1704067200.0, "value": {"Temp": 20.5, "Note": "ok"}},
        {"revision": 4, "timestamp": 1704074400.0, "value": {"Temp": 21}},
    ]


async def test_a_guarded_broker_lets_sensors_in_by_their_own_passwords(tmp_path):
    guarded = OwnBroker(tmp_path, passwords={"listener": "l", "g-001": "one", "g-002": "two words"})
    guarded.start()
    try:
        client = Client(guarded.port, login=("listener", "l"))
        (tmp_path / "sensors").write_text("# made today\ng-001 one\ng-002 two words\n")
        options = ("--sensors", "2", "--prefix", "g", "--json")
        passwords = ("--password-file", str(tmp_path / "sensors"))
        output, _ = finish(simulate(guarded, *options, *passwords, "--duration", "1.5"))
        assert json.loads(output)["connections"] == 2
        assert {topic.partition("/")[2] for topic, _ in client.received} == {"g-001", "g-002"}
        # The login of MQTT_URL is valid here, and is still not used.
        output, _ = finish(simulate(guarded, *options, "--duration", "1", login="g-001:one"))
        assert json.loads(output)["connections"] == 0
        assert json.loads(output)["refused_connections"] >= 2
        client.close()
    finally:
        guarded.stop()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fault", "sleepy"], "there is no fault 'sleepy'; there are silence, flapping"),
        (["--interval", "0"], "0 must be above 0"),
        (["--interval", "86401"], "more than 86400 seconds"),
        (["--sensors", "0"], "from 1 to 100000"),
        (["--sensor", "no spaces"], "'no spaces' cannot name a sensor"),
        (["--demo", "--sensor", "a"], "--demo names its sensors itself"),
        (["--replay", "missing.csv"], "missing.csv cannot be read: No such file"),
        (["--replay", "pyproject.toml", "--sensor", "a", "--sensor", "b"], "--replay goes into one sensor"),
        (["--replay", "pyproject.toml", "--time-zone", "Mars/North"], "there is no time zone 'Mars/North'"),
        (["--replay", "pyproject.toml"], "name it with --time-column"),
        (["--password", "x"], "a password needs a username"),
        (["--password-file", "missing"], "missing cannot be read"),
    ],
)
def test_a_wrong_option_is_told_with_its_value(arguments, problem):
    with pytest.raises(CommandError, match=re.escape(problem)):
        call_command("simulate", "--no-database", *arguments)


def test_every_option_and_fault_is_documented():
    text = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = {name for action in parser._actions for name in action.option_strings} - {"-h", "--help"}
    assert {name for name in options if f"{name}" not in text} == set()
    for name, kind in FAULTS.items():
        assert f"| `{name}` |" in text
        assert kind.summary in epilog()


def test_passwords_are_read_as_they_are_printed(tmp_path):
    path = tmp_path / "sensors"
    for text in (
        "a one\nb:two\n\n# c three\n",
        '[{"username": "a", "password": "one"}, {"username": "b", "password": "two"}]',
    ):
        path.write_text(text)
        assert {name: login.password for name, login in read_passwords(path).items()} == {"a": "one", "b": "two"}


@pytest.mark.parametrize("text", ["just-a-password\n", "[1]", '[{"username": "a"}]', "a \n"])
def test_a_password_file_that_is_none_is_refused_without_showing_it(tmp_path, text):
    path = tmp_path / "sensors"
    path.write_text(text)
    with pytest.raises(BrokerOptionsError) as caught:
        read_passwords(path)
    assert "just-a-password" not in str(caught.value)


def test_the_address_may_bring_tls_and_a_shared_login_of_sensors(tmp_path):
    broker = find_broker("mqtts://everybody:word@broker.example", url_login=True)
    assert (broker.host, broker.port, str(broker)) == ("broker.example", 8883, "mqtts://broker.example:8883")
    assert broker.tls is not None
    login = broker.credentials("s-1")
    assert login is not None
    assert (login.username, login.password) == ("everybody", "word")
    assert find_broker("mqtt://bridge:word@broker.example").credentials("s-1") is None
    for url in ("http://broker.example", "mqtts://broker.example?ca=/nowhere"):
        with pytest.raises(BrokerOptionsError):
            find_broker(url)


def test_more_sensors_than_the_system_has_files_is_told_beforehand():
    with pytest.raises(BrokerOptionsError, match="ulimit -Hn"):
        allow_open_files(2**40)
