"""From a claim to a stored measurement over real servers: device → web → database → bridge → mosquitto → database."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.stack.mosquitto import MosquittoServer
from sensors.models import Claim, ClaimState, Network, Role, Sensor, User
from sensors.services import create_network, set_member
from telemetry.models import Measurement
from tests.api.callers import Caller
from tests.bridges import ROOT, BridgeProcess
from tests.docker.broker import Client
from tests.live.web import WebProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def web(broker: MosquittoServer, tmp_path: Path) -> Iterator[WebProcess]:
    """The service, with a bridge."""
    bridge = BridgeProcess(broker_url=broker.url, log=tmp_path / "bridge.log").start()
    # Other tests present wrong codes from the same address.
    environment = {"MQTT_URL": broker.url, "CLAIM_THROTTLE": "100000/min"}
    web = WebProcess(log=tmp_path / "web.log", **environment).start()
    bridge.wait_ready()
    yield web
    web.stop()
    bridge.stop()


@pytest.fixture
def network() -> Network:
    return create_network(slug="hall", owner=None)


@pytest.fixture
def operator(network: Network) -> Caller:
    user = User.objects.create_user("ada")
    set_member(network, user=user, role=Role.OPERATOR)
    return Caller(user)


@pytest.fixture
def code(operator: Caller) -> str:
    answer = operator.post("claim-codes/", {"network": "hall", "name": "Delivery"})
    return str(answer.json()["code"])


@pytest.fixture
def launch(web: WebProcess, broker: MosquittoServer, code: str, tmp_path: Path) -> Iterator[Launch]:
    """Return a function that starts a program as a device; it has no other way to the database than the service."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        known = {
            "MQTT_URL": broker.url,
            "FLEET_URL": f"http://{web.host}",
            "CLAIM_CODE": code,
            # Where there is none.
            "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        }
        with (tmp_path / "device.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=tmp_path,
                env={**os.environ, **known, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def approve(operator: Caller, *identifiers: str) -> None:
    waiting = wait_until(
        lambda: rows if len(rows := Claim.objects.filter(state=ClaimState.WAITING)) == len(identifiers) else None,
        30,
        "the devices to ask",
    )
    assert sorted(claim.identifier for claim in waiting) == sorted(identifiers)
    answer = operator.post("claims/approve/", {"claims": [claim.pk for claim in waiting]})
    assert answer.json()["failed"] == 0


def documented_program() -> str:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "claims.md").read_text(), re.DOTALL)
    return str(program)


def test_the_documented_program_is_admitted_and_its_measurement_is_stored(
    launch: Launch, operator: Caller, code: str, broker: MosquittoServer, tmp_path: Path
) -> None:
    program = documented_program()
    device = launch("-c", program, SENSOR="boiler-1")
    approve(operator, "boiler-1")

    assert device.wait(60) == 0, (tmp_path / "device.log").read_text()
    stored = wait_until(Measurement.objects.first, 20, "the measurement")
    assert stored.value == {"temperature": 21.5}
    assert stored.sensor_id == Sensor.objects.get(identifier="boiler-1").pk
    assert Claim.objects.get().state == ClaimState.COLLECTED
    # Without what it was told nobody gets in.
    stranger = Client("boiler-1", None)
    assert stranger.connect(broker.port) == "Not authorized"
    stranger.close()
    # Started again it uses what it kept, and asks for nothing.
    again = launch("-c", program, SENSOR="boiler-1", FLEET_URL="http://127.0.0.1:1")
    assert again.wait(60) == 0, (tmp_path / "device.log").read_text()
    wait_until(lambda: Measurement.objects.count() == 2, 20, "the second measurement")
    logged = (tmp_path / "web.log").read_text() + (tmp_path / "bridge.log").read_text()
    assert "POST /api/v1/claims/" in logged
    assert code not in logged
    assert json.loads((tmp_path / "device.json").read_text())["password"] not in logged


def test_the_documented_program_outlasts_a_restart_of_the_service(
    launch: Launch, operator: Caller, web: WebProcess, tmp_path: Path
) -> None:
    web.stop()
    device = launch("-u", "-c", documented_program(), SENSOR="boiler-1")
    log = tmp_path / "device.log"
    wait_until(lambda: device.poll() is not None or "refused" in log.read_text(), 30, "the device to find nobody")
    web.start()
    approve(operator, "boiler-1")
    assert device.wait(60) == 0, log.read_text()


def test_simulated_sensors_are_admitted_and_keep_their_passwords(
    launch: Launch, operator: Caller, code: str, web: WebProcess, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    arguments = [
        *(
            str(ROOT / "manage.py"),
            "simulate",
            "--claim-code",
            code,
            "--url",
            f"http://{web.host}",
            "--interval",
            "0.2",
        ),
        *("--prefix", "press", "--sensors", "2", "--password-file", str(passwords)),
    ]
    process = launch(*arguments)
    approve(operator, "press-001", "press-002")
    wait_until(lambda: Measurement.objects.values("sensor_id").distinct().count() == 2, 60, "measurements of both")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0, (tmp_path / "device.log").read_text()
    assert passwords.stat().st_mode & 0o777 == 0o600
    assert sorted(line.split()[0] for line in passwords.read_text().splitlines()) == ["press-001", "press-002"]

    before = Measurement.objects.count()
    again = launch(*arguments)
    wait_until(lambda: Measurement.objects.count() > before, 60, "more measurements")
    again.send_signal(signal.SIGTERM)
    assert again.wait(20) == 0
    assert Claim.objects.count() == 2


def test_a_simulated_sensor_with_a_wrong_code_says_what_it_was_told(
    launch: Launch, web: WebProcess, tmp_path: Path
) -> None:
    wrong = launch(
        *(str(ROOT / "manage.py"), "simulate", "--claim-code", "WRONG", "--url", f"http://{web.host}", "--sensors", "1")
    )
    assert wrong.wait(30) == 1
    assert "simulated-001: 403 Refused: the claim code is wrong" in (tmp_path / "device.log").read_text()


def test_simulated_sensors_that_still_wait_end_in_good_order(
    launch: Launch, code: str, web: WebProcess, tmp_path: Path
) -> None:
    arguments = ("simulate", "--claim-code", code, "--url", f"http://{web.host}", "--sensors", "1")
    process = launch(str(ROOT / "manage.py"), *arguments)
    wait_until(Claim.objects.exists, 30, "the device to ask")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "Ended while 1 of 1 sensors waited to be admitted." in (tmp_path / "device.log").read_text()
