"""Valkey hangs, or dies and is empty: ingest does not notice, live views resume, and alerts are evaluated."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

import psutil
import pytest
import redis

from alerts.services import create_rule
from fleet.stack.services import product_services
from sensors.models import Network, Role, User
from sensors.services import set_member
from tests.bridges import ROOT, Client, measurement
from tests.faults.load import Devices
from tests.faults.messages import SENSORS
from tests.faults.stack import MakeLoad, Stack, assert_answered_once, assert_nothing_is_lost, hanging
from tests.live.web import WebProcess, open_socket
from tests.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]


# Numbers of messages that were sent when Valkey was fit again; nothing else in a frame has these digits.
LATER = 987_600_000


def watch(stack: Stack) -> Network:
    """Give the sensors' network a rule that fires above 50, so that samples are queued and hints are sent."""
    network = Network.objects.get(slug="hall")
    create_rule(network, name="Hot", kind="threshold", attribute="temperature", above=50.0, author=None)
    create_rule(network, name="Many", kind="threshold", attribute="n", above=1e9, author=None)
    return network


@contextmanager
def working(stack: Stack) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run worker and beat as the local stack and production do."""
    logs = stack.folder
    environment = {**os.environ, **stack.environment, "MQTT_URL": stack.broker.url}
    services = product_services(
        host="127.0.0.1", http_port=0, beat_schedule=logs / "beat.db", environment=environment, logs=logs
    )
    with ExitStack() as ending:
        processes = []
        for service in services:
            if service.name in ("worker", "beat"):
                log = ending.enter_context((logs / f"{service.name}.log").open("ab"))
                process = subprocess.Popen(
                    [sys.executable, *service.arguments], cwd=ROOT, env=environment, stdout=log, stderr=log
                )
                ending.callback(end, process)
                processes.append(process)
        yield processes


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and wait for it."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_a_hung_valkey_holds_up_no_message_and_live_views_resume(
    django_stack: Stack, make_load: MakeLoad, devices: Devices
) -> None:
    stack = django_stack
    network = watch(stack)
    viewer = User.objects.create_user("viewer")
    set_member(network, user=viewer, role=Role.VIEWER)
    stack.start_bridge()
    web = WebProcess(log=stack.folder / "web.log", **stack.environment).start()
    try:
        with open_socket(web, viewer, networks=["hall"]) as socket:
            socket.receive_kind("snapshot")
            load = make_load(rate=500)
            socket.receive_kind("measurements", 30)
            with hanging(stack.redis):
                load.run_for(500)
                wait_until(lambda: stack.stored()[-1:] > [load.count - 500], 30, "storing to go on")
                stack.revise()
                load.run_for(500)
                assert_nothing_is_lost(stack, load)
                assert_answered_once(stack, revisions=1)
            again = make_load(rate=100, first=LATER)
            socket.receive_until(lambda frame: frame["type"] == "measurements" and str(LATER)[:4] in str(frame), 30)
            again.end()
    finally:
        web.stop()


@pytest.mark.long
def test_ingest_keeps_its_rate_while_valkey_hangs(django_stack: Stack) -> None:
    """Queued messages are drained in turns with Valkey fit and hanging; nine tenths of the rate, by the medians."""
    stack = django_stack
    watch(stack)
    stack.start_bridge()
    assert stack.bridge.process is not None
    bridge = psutil.Process(stack.bridge.process.pid)
    client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
    size, sent = 20_000, 0
    took: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(10):
        hung = bool(turn % 2)
        bridge.suspend()
        for number in range(sent, sent + size):
            client.send(f"measurements/s-{number % SENSORS}", {"measurements": [measurement({"n": number})]})
        sent += size
        wait_until(lambda: client.acknowledgements.total() >= sent, 60, "the queue")  # noqa: B023 - used at once
        with hanging(stack.redis) if hung else nullcontext():
            began = time.monotonic()
            bridge.resume()
            wait_until(lambda: count(stack) >= sent, 120, "the queue to be drained")  # noqa: B023 - used at once
            took[hung].append(time.monotonic() - began)
    client.close()
    assert stack.stored() == list(range(sent))
    assert statistics.median(took[False]) >= 0.9 * statistics.median(took[True]), took


def count(stack: Stack) -> int:
    """Return how many measurements are stored."""
    ((number,),) = stack.run("SELECT count(*) FROM telemetry_measurement")
    return number


def test_alerts_are_evaluated_after_valkey_died_and_forgot_everything(django_stack: Stack, long: bool) -> None:
    """What waits for evaluation waits in PostgreSQL. At full length Valkey is away for long, and time counts."""
    stack = django_stack
    watch(stack)
    stack.start_bridge()
    with working(stack), redis.Redis.from_url(stack.redis.url) as valkey:
        wait_until(lambda: len(ticks(stack)) == 2, 60, "worker and beat to tick")
        valkey.set("witness", "1")
        stack.redis.kill(signal.SIGKILL)
        client = Client(f"mqtt://127.0.0.1:{stack.broker.port}")
        began = time.monotonic()
        for number in range(SENSORS):
            client.publish(f"measurements/s-{number}", {"measurements": [measurement({"temperature": 60.0})]})
        wait_until(lambda: count(stack) == SENSORS, 30, "the measurements to be stored")
        if long:
            wait_until(lambda: time.monotonic() - began > 60, 70, "a long outage")
        stack.redis.start()
        returned = time.monotonic()
        assert valkey.get("witness") is None
        wait_until(lambda: firing(stack) == SENSORS, 60, "the alerts")
        took_s = time.monotonic() - returned
        client.close()
    print(f"alerts {took_s:.1f} s after the return")
    # Two ticks of a second each, and what connecting again takes.
    assert not long or took_s < 4, took_s


def firing(stack: Stack) -> int:
    """Return how many alerts fire."""
    ((number,),) = stack.run("SELECT count(*) FROM alerts_alert WHERE state = 'firing'")
    return number


def ticks(stack: Stack) -> list[str]:
    """Return which of worker and beat have ticked."""
    rows = stack.run("SELECT name FROM sensors_servicetick WHERE name IN ('worker', 'beat')")
    return [row[0] for row in rows]
