"""`manage.py up`, with everything that it starts."""

import json
import os
import signal
import socket
import stat
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fleet.mqtt.probe import probe_broker
from fleet.stack import servers
from fleet.stack.console import Console
from fleet.stack.errors import StackError
from fleet.stack.options import Options, Port, read_options
from fleet.stack.places import DataDir
from fleet.stack.ports import random_free_port
from fleet.stack.secret_file import LocalSecrets
from fleet.stack.servers import listening_port
from tests.stack.running import PROCESSES, Up, own_environment, still_alive
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]


@pytest.fixture
def start(own_place: DataDir) -> Iterator[Callable[..., Up]]:
    """Return a function that starts `manage.py up` on this test's data folder."""
    started: list[Up] = []

    def up(*arguments: str, **environment: str) -> Up:
        started.append(Up(own_place.root, *arguments, **environment))
        return started[-1]

    yield up
    for stack in started:
        stack.end(signal.SIGKILL)


def get_token(stack: Up, password: str) -> int:
    """Return the HTTP status of asking for a token as the first operator."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.http_port}/api/v1/auth/token/",
        data=json.dumps({"username": "admin", "password": password}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def test_a_first_start_a_stop_and_a_second_start(start: Callable[..., Up]) -> None:
    stack = start()
    stack.wait_ready()
    assert stack.wait_line(r"^Fleet is ready: (\S+)$")[1] == f"http://127.0.0.1:{stack.http_port}"
    password = stack.wait_line(r"log in .* as admin, password (\S+) \(shown only this once\)")[1]
    assert get_token(stack, password) == 200
    assert stack.readiness().unfit() == []  # type: ignore[union-attr]

    # What others see of it.
    for name in PROCESSES:
        process = stack.find(name)
        # A terminal's Ctrl-C must reach nobody but the supervisor.
        assert os.getsid(process.pid) == process.pid
    assert stack.manage("migrate", "--check").returncode == 0
    again = Up(stack.data_dir)
    assert again.process.wait(30) == 1
    assert f"already running on the data in {stack.data_dir} (pid {stack.process.pid})" in again.text
    listed = " ".join(" ".join(process.cmdline()) for process in stack.family())
    assert not [word for word in json.loads((stack.data_dir / "secrets.json").read_text()).values() if word in listed]
    assert stat.S_IMODE((stack.data_dir / "environment").stat().st_mode) == 0o600
    assert password not in "".join(path.read_text(errors="replace") for path in (stack.data_dir / "logs").iterdir())

    family = stack.family()
    assert stack.end(signal.SIGTERM) == 0
    assert still_alive(family) == []

    # The same data, and no second password.
    second = start()
    second.wait_ready()
    assert "shown only this once" not in second.text
    assert get_token(second, password) == 200
    family = second.family()
    assert second.end(signal.SIGINT) == 0
    assert still_alive(family) == []


def test_whatever_is_killed_comes_back(start: Callable[..., Up]) -> None:
    stack = start()
    stack.wait_ready()
    for name in PROCESSES:
        process = stack.find(name)
        # What is left of a broker that is killed outright is not its supervisor's matter.
        process.send_signal(signal.SIGTERM if name == "mosquitto" else signal.SIGKILL)
        wait_until(lambda: not still_alive([process]), what=f"the end of {name}")  # noqa: B023
        wait_until(lambda: stack.find(name), 40, what=f"another {name}")  # noqa: B023
    stack.wait_fit(timeout_s=90)
    addresses = stack.addresses()
    probe_broker(addresses["MQTT_URL"], 5)
    with psycopg.connect(addresses["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM django_migrations").fetchone() != (0,)


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_succeeds(start: Callable[..., Up]) -> None:
    stack = start()
    stack.wait_ready()
    family = stack.family()
    assert len(family) >= len(PROCESSES)
    assert stack.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: still_alive(family) == [], 10, what="the end of all children")
    start().wait_ready()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_start_ends_it_in_order(start: Callable[..., Up], number: signal.Signals) -> None:
    stack = start()
    stack.wait_line("PostgreSQL .* on ")
    family = stack.family()
    assert stack.end(number) == 0
    assert still_alive(family) == []
    assert stack.lines[-1] == "Stopped."


IMPATIENT = """
import sys
from fleet.stack import supervisor
from fleet.stack.main import main
supervisor.PATIENCE_S, supervisor.LOOK_EVERY_S, supervisor.PROBE_EVERY_S = 8.0, 1.0, 2.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_whatever_hangs_is_started_again(start: Callable[..., Up]) -> None:
    stack = start(program=("-c", IMPATIENT))
    stack.wait_ready()
    for name in PROCESSES:
        process = stack.find(name)
        process.send_signal(signal.SIGSTOP)
        # A tick is stale after 15 s, a stopped process takes its end's time limit.
        wait_until(lambda: not still_alive([process]), 120, what=f"the end of the hung {name}")  # noqa: B023
        wait_until(lambda: stack.find(name), 40, what=f"another {name}")  # noqa: B023
        stack.wait_fit(timeout_s=120)
    assert stack.text.count("starting it again") >= len(PROCESSES)


def test_amqtt_is_announced_for_what_it_is(start: Callable[..., Up]) -> None:
    stack = start(FLEET_BROKER="amqtt")
    stack.wait_ready()
    assert "amqtt, which is for trying things out" in stack.text
    assert "sudo apt install mosquitto" in stack.text
    # It reads the accounts itself, and every command knows that there is nobody to bring them to.
    assert stack.addresses()["MQTT_ACCOUNTS"] == "database"
    probe_broker(f"mqtt://127.0.0.1:{stack.mqtt_port}", 5)


def test_simulated_sensors_are_one_more_child(start: Callable[..., Up]) -> None:
    stack = start("--simulate", "2")
    stack.wait_ready()
    wait_until(
        lambda: any("manage.py simulate --sensors 2" in " ".join(child.cmdline()) for child in stack.family()),
        what="the simulator",
    )


# --- Refusals ------------------------------------------------------------------------------------


def refused(data_dir: Path, **environment: str) -> str:
    """Return what `manage.py up` prints when it refuses to start."""
    stack = Up(data_dir, **environment)
    assert stack.process.wait(60) == 1
    stack.end()
    return stack.text


def test_a_chosen_port_that_is_taken_is_an_error(own_place: DataDir) -> None:
    for name in ("FLEET_HTTP_PORT", "FLEET_MQTT_PORT"):
        with socket.create_server(("127.0.0.1", random_free_port())) as listener:
            port = listener.getsockname()[1]
            text = refused(own_place.root, **{name: str(port)})
        assert f"{name}={port}: that port on 127.0.0.1 is taken by another program" in text


def test_a_default_port_that_is_taken_gives_way(own_place: DataDir, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", random_free_port())) as listener:
        port = listener.getsockname()[1]
        options = Options("127.0.0.1", Port(port, chosen=False), Port(1, chosen=False), own_place.root)
        assert listening_port(options, "FLEET_HTTP_PORT", Console()) > port
    assert f"Port {port} is taken by another program" in capsys.readouterr().out


def test_the_web_does_not_take_the_broker_s_port(own_place: DataDir) -> None:
    port = random_free_port()
    options = Options("127.0.0.1", Port(port, chosen=False), Port(port, chosen=True), own_place.root)
    assert listening_port(options, "FLEET_HTTP_PORT", Console(), avoid=[port]) > port
    chosen = Options("127.0.0.1", Port(port, chosen=True), Port(port, chosen=True), own_place.root)
    with pytest.raises(StackError, match="FLEET_HTTP_PORT"):
        listening_port(chosen, "FLEET_HTTP_PORT", Console(), avoid=[port])


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgres://me:hidden@127.0.0.1:{port}/fleet"),
        ("REDIS_URL", "redis://:hidden@127.0.0.1:{port}/0"),
        ("MQTT_URL", "mqtt://me:hidden@127.0.0.1:{port}"),
    ],
)
def test_a_server_of_ones_own_that_does_not_work_is_named(own_place: DataDir, name: str, url: str) -> None:
    text = refused(own_place.root, **{name: url.format(port=random_free_port())})
    assert f"{name} is set to " in text
    assert f"unset {name} to let this start a server of its own" in text
    assert "hidden" not in text


def test_servers_of_ones_own_are_used_and_none_is_started(own_place: DataDir, tmp_path: Path) -> None:
    own = {name: os.environ[name] for name in ("REDIS_URL", "MQTT_URL")}
    stack = Up(own_place.root, **own)
    try:
        stack.wait_ready()
        running = " ".join(" ".join(child.cmdline()) for child in stack.family())
        assert "valkey-server" not in running
        assert "mosquitto" not in running
        assert {name: stack.addresses()[name] for name in own} == own
        assert "at the broker in MQTT_URL" in stack.text
    finally:
        assert stack.end() == 0


def test_where_others_can_reach_it_up_says_what_that_exposes_and_amqtt_is_refused(own_place: DataDir) -> None:
    text = refused(own_place.root, FLEET_HOST="0.0.0.0", FLEET_BROKER="amqtt")
    assert "Nothing of that is encrypted" in text
    assert "The broker they reach with TLS only" in text
    assert "Install mosquitto" in text


def test_mosquitto_that_is_not_installed_can_be_insisted_on(
    own_place: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "find_mosquitto", lambda: None)
    environ = own_environment({"FLEET_DATA_DIR": str(own_place.root), "FLEET_BROKER": "mosquitto"})
    with pytest.raises(StackError, match="mosquitto is not installed: sudo apt install mosquitto"):
        servers.make_servers(read_options(environ), own_place, LocalSecrets(), Console())
