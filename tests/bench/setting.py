"""What every measurement needs: a migrated database, sensors with rules, processes, clients."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from paho.mqtt import client as paho

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = ("temperature", "humidity", "voltage", "current", "pressure")


@dataclass(frozen=True)
class Result:
    """One row of the table: a figure and its floor, both in `unit`."""

    work: str
    figure: float
    unit: str
    floor: float | None = None
    floor_is: str = ""
    detail: dict[str, float] = field(default_factory=dict)


def prepare(sensors: int) -> str:
    """Migrate, make a network of `sensors` sensors with rules that match them all; return a staff user's token."""
    from django.contrib.auth import get_user_model  # noqa: PLC0415 - settings are configured by the caller
    from django.core.management import call_command  # noqa: PLC0415

    from alerts.demo import create_demo_rules  # noqa: PLC0415
    from sensors.services import create_network, create_sensor, create_token  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create_user("bench", is_staff=True)
    network = create_network(slug="bench", name="Bench", owner=user)
    for number in range(sensors):
        create_sensor(network, identifier=f"s-{number}")
    create_demo_rules(network)
    return create_token(user, name="bench", days=1)[1]


@contextmanager
def process(*arguments: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python process with its output in `log`; end it with SIGTERM."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broker_port() -> int:
    return urlsplit(os.environ["MQTT_URL"]).port or 1883


def client(
    name: str,
    *,
    clean: bool = True,
    manual_ack: bool = False,
    bridge: bool = False,
    on_message: paho.CallbackOnMessage | None = None,
) -> paho.Client:
    """Return a connected client; `bridge`: with the bridge's login, which may read everything."""
    result = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, manual_ack=manual_ack)
    if bridge:
        parts = urlsplit(os.environ["MQTT_URL"])
        result.username_pw_set(parts.username, parts.password)
    result.max_inflight_messages_set(1_000)
    result.on_message = on_message
    result.connect("127.0.0.1", broker_port())
    result.loop_start()
    wait(result.is_connected)
    return result


def subscribe(subscriber: paho.Client, topic: str) -> None:
    """Subscribe with QoS 1 and wait for the broker's answer."""
    answered = threading.Event()
    subscriber.on_subscribe = lambda *_: answered.set()
    subscriber.subscribe(topic, qos=1)
    assert answered.wait(10)


def wait(predicate: Callable[[], object], timeout_s: float = 120.0) -> None:
    """Wait until `predicate()` is true, looking often enough for the figures here."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))]
