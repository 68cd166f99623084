"""Queued and drained: messages wait in the broker, and the clock runs from the first one taken to the last commit."""

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from paho.mqtt import client as paho

from tests.bench.setting import ATTRIBUTES, ROOT, Result, client, process, subscribe, wait

FLOOR_ID = "bench-floor"


def drain(folder: Path, *, messages: int, entries: int, sensors: int) -> Result:
    """Measure the bridge against a subscriber that only acknowledges, on the same queue."""
    from sensors.models import ServiceTick  # noqa: PLC0415 - settings are configured by the caller
    from telemetry.models import Measurement  # noqa: PLC0415

    floor = client(FLOOR_ID, clean=False, manual_ack=True, bridge=True)
    subscribe(floor, "measurements/#")
    floor.disconnect()
    floor.loop_stop()
    log = folder / "bridge.log"
    ServiceTick.objects.all().delete()
    with process("manage.py", "bridge", log=log) as bridge:
        # Its session must exist before the queue can wait for it.
        wait(lambda: ServiceTick.objects.filter(detail__connected=True).exists())
        bridge.send_signal(signal.SIGTERM)
        bridge.wait()

    publish = [sys.executable, "-m", "tests.bench.publish", str(messages), str(entries), str(sensors)]
    subprocess.run(publish, cwd=ROOT, check=True)

    floor_s = _acknowledge_only(messages)
    before = Measurement.objects.count()
    began = datetime.now(UTC)
    with process("manage.py", "bridge", log=log):
        wait(lambda: Measurement.objects.count() - before >= messages * entries, 300)
        ended = datetime.now(UTC)
    first = (
        Measurement.objects.filter(received_at__gte=began).order_by("received_at").values_list("received_at", flat=True)
    )
    taken_s = (ended - first[0]).total_seconds()
    rate = messages / taken_s
    return Result(
        f"drain {messages} messages of {entries} × {len(ATTRIBUTES)} values, {sensors} sensors",
        rate,
        "messages/s",
        messages / floor_s,
        "a paho subscriber that only acknowledges",
        {"values_per_s": rate * entries * len(ATTRIBUTES), "share_of_floor": rate * floor_s / messages},
    )


def _acknowledge_only(messages: int) -> float:
    """Return how long a subscriber takes that acknowledges and does nothing else, from the first message on."""
    done = threading.Event()
    times: list[float] = []

    def take(floor: paho.Client, _data: object, packet: paho.MQTTMessage) -> None:
        times.append(time.monotonic())
        floor.ack(packet.mid, packet.qos)
        if len(times) == messages:
            done.set()

    floor = client(FLOOR_ID, clean=False, manual_ack=True, bridge=True, on_message=take)
    assert done.wait(300)
    floor.unsubscribe("measurements/#")
    floor.disconnect()
    floor.loop_stop()
    return times[-1] - times[0]
