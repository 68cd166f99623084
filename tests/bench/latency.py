"""From publish to WebSocket, and from POST to the sensor, in milliseconds."""

import asyncio
import json
import statistics
import threading
import time
import urllib.request
from pathlib import Path

import websockets

from tests.bench.setting import Result, client, free_port, percentile, process, subscribe, wait


def live(folder: Path, *, token: str, rate: float, seconds: float) -> Result:
    """Measure from an MQTT publish to the frame at a WebSocket client, beside a plain MQTT subscriber."""
    port = free_port()
    web = ("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "fleet.asgi:application")
    with (
        process("manage.py", "bridge", log=folder / "bridge.log"),
        process(*web, log=folder / "web.log"),
        process("-m", "celery", "-A", "fleet", "worker", "--pool", "threads", log=folder / "worker.log"),
    ):
        wait(lambda: _answers(port))
        return asyncio.run(_live(port, token, rate, seconds))


async def _live(port: int, token: str, rate: float, seconds: float) -> Result:
    sent: dict[int, float] = {}
    seen: dict[int, float] = {}
    plain: dict[int, float] = {}
    subscriber = client("bench-plain", bridge=True, on_message=lambda _c, _d, packet: _note(plain, packet.payload))
    subscribe(subscriber, "measurements/#")
    publisher = client("bench-live")
    count = round(rate * seconds)
    address = f"ws://127.0.0.1:{port}/ws/live/?network=bench"
    async with websockets.connect(address, additional_headers={"Authorization": f"Bearer {token}"}) as socket:
        assert json.loads(await socket.recv())["type"] == "snapshot"

        async def receive() -> None:
            while len(seen) < count:
                frame = json.loads(await socket.recv())
                if frame["type"] == "measurements":
                    for item in frame["items"]:
                        seen[item["value"]["n"]] = time.perf_counter()

        receiver = asyncio.create_task(receive())
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            sent[number] = time.perf_counter()
            entry = {"revision": 0, "timestamp": time.time(), "value": {"n": number, "temperature": 20}}
            publisher.publish(f"measurements/s-{number % 100}", json.dumps({"measurements": [entry]}), qos=1)
        await asyncio.wait_for(receiver, 30)
    for each in (subscriber, publisher):
        each.disconnect()
        each.loop_stop()
    times = [1_000 * (seen[number] - sent[number]) for number in sent]
    floor = [1_000 * (plain[number] - sent[number]) for number in sent]
    return Result(
        f"publish → WebSocket at {rate:g} messages/s, median",
        statistics.median(times),
        "ms",
        statistics.median(floor),
        "a plain MQTT subscriber",
        {"p99": percentile(times, 0.99), "floor_p99": percentile(floor, 0.99)},
    )


def _note(times: dict[int, float], payload: bytes) -> None:
    times[json.loads(payload)["measurements"][0]["value"].get("n", -1)] = time.perf_counter()


def configuration(folder: Path, *, token: str, times: int) -> Result:
    """Measure from POSTing a configuration to its arrival at the sensor, beside publishing it directly."""
    port = free_port()
    web = ("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "fleet.asgi:application")
    with (
        process("manage.py", "bridge", log=folder / "bridge.log"),
        process(*web, log=folder / "web.log"),
    ):
        wait(lambda: _answers(port))
        arrived = threading.Event()
        sensor = client("s-0", on_message=lambda *_: arrived.set())
        subscribe(sensor, "configurations/s-0")
        taken = []
        for number in range(times + 1):
            arrived.clear()
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/api/v1/sensors/s-0/configurations/",
                json.dumps({"configuration": {"interval_s": number + 1}}).encode(),
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            began = time.perf_counter()
            threading.Thread(target=urllib.request.urlopen, args=[request]).start()
            assert arrived.wait(10)
            taken.append(1_000 * (time.perf_counter() - began))
        del taken[0]  # The first one opens connections.
        publisher = client("bench-direct", bridge=True)
        floor = []
        for _ in range(times):
            arrived.clear()
            began = time.perf_counter()
            publisher.publish("configurations/s-0", b"{}", qos=1)
            assert arrived.wait(10)
            floor.append(1_000 * (time.perf_counter() - began))
        for each in (sensor, publisher):
            each.disconnect()
            each.loop_stop()
    return Result(
        "POST a configuration → its arrival at the sensor, median",
        statistics.median(taken),
        "ms",
        statistics.median(floor),
        "publishing it directly",
        {"p99": percentile(taken, 0.99)},
    )


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            parts = json.load(answer)["parts"]
    except urllib.error.HTTPError as error:
        parts = json.load(error)["parts"]
    except OSError:
        return False
    return bool(parts["bridge"]["fit"] and parts["broker"]["fit"])
