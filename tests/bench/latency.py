"""From publish to readable over REST, and from POST to the sensor."""

import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from tests.bench.backlog import value_of
from tests.bench.bench import Bench
from tests.bench.clients import close, connect_client, subscribe
from tests.bench.installation import Installation, Running
from tests.bench.results import Row, Run, Target, percentile
from tests.bench.steady import steady_load
from tests.bench.web import Web

PROBE: Final = "measurements/probe"
# Often enough for a p99 within 20 s, seldom enough that asking is no load of its own.
PROBES_PER_S: Final = 15.0
CONFIGURATIONS: Final = 100
_ARRIVES_S: Final = 30.0


@contextmanager
def whole_product(installation: Installation) -> Iterator[Running]:
    """Run everything, with an empty broker; the bridge is connected when the block begins."""
    installation.servers.begin_anew()
    with installation.running("web", "worker", "beat") as running, installation.bridges() as bridges:
        installation.await_connected(bridges)
        running.services.update({each.name: each for each in bridges})
        yield running


def rest(bench: Bench) -> Iterator[Row]:
    """A sample of messages is looked for over REST, while others come at the rate."""
    with bench.installation("rest") as installation:

        def once(run: int) -> Run:
            with whole_product(installation) as running, steady_load(bench, installation):
                readable, plain, asking = _probe(running, until_s=time.time() + bench.options.seconds)
            detail = {
                "p50": statistics.median(readable),
                "floor_p50": statistics.median(plain),
                "one_request_p50": statistics.median(asking),
                "probes": len(readable),
            }
            return Run(percentile(readable, 0.99), percentile(plain, 0.99), detail)

        what = f"publish → readable over REST at {bench.options.rate:g} messages/s, p99"
        yield Row("rest", what, "ms", bench.repeat(once), "a plain MQTT subscriber", Target(100, 30, small=True))


def _probe(running: Running, *, until_s: float) -> tuple[list[float], list[float], list[float]]:
    """Return the delays in ms until probes were readable over REST, and until a plain subscriber had them.

    And how long the last request of each took, the one that showed it: its part of the first delay.
    """
    servers = running.installation.servers
    arrived = threading.Event()
    plain: list[float] = []

    def note(_client: object, _data: object, packet: Any) -> None:
        entry = json.loads(packet.payload)["measurements"][0]
        plain.append(1_000 * (time.time() - entry["timestamp"]))
        arrived.set()

    subscriber = connect_client(servers.broker.url, "bench-plain", on_message=note)
    subscribe(subscriber, PROBE)
    publisher = connect_client(servers.broker.sensor_url, "bench-prober")
    web = Web(running)
    path = "sensors/probe/measurements/latest/"
    web.get(path)
    readable: list[float] = []
    asking: list[float] = []
    pauses = random.Random(1)
    while time.time() < until_s:
        # A probe now and then is the load, at no multiple of anything.
        time.sleep(pauses.uniform(0.5, 1.5) / PROBES_PER_S)
        arrived.clear()
        sent_s = time.time()
        entry = {"revision": 0, "timestamp": sent_s, "value": value_of(0, len(readable))}
        publisher.publish(PROBE, json.dumps({"measurements": [entry]}), qos=1)
        asked_s = time.time()
        while not _shows(web.get(path), sent_s):
            asked_s = time.time()
            assert asked_s < sent_s + _ARRIVES_S, "a probe was not stored"
        now_s = time.time()
        readable.append(1_000 * (now_s - sent_s))
        asking.append(1_000 * (now_s - asked_s))
        assert arrived.wait(_ARRIVES_S), "a probe did not arrive at the plain subscriber"
    web.close()
    close(subscriber)
    close(publisher)
    return readable, plain, asking


def _shows(latest: dict[str, Any] | None, sent_s: float) -> bool:
    # The time on the wire is rounded to microseconds.
    return latest is not None and datetime.fromisoformat(latest["measured_at"]).timestamp() >= sent_s - 1e-5


def configuration(bench: Bench) -> Iterator[Row]:
    """From POSTing a configuration to its arrival at the sensor, beside publishing it directly."""
    with bench.installation("configuration") as installation:

        def once(run: int) -> Run:
            with whole_product(installation) as running:
                taken, floor = _configure(running)
            detail = {"p99": percentile(taken, 0.99), "floor_p99": percentile(floor, 0.99)}
            return Run(statistics.median(taken), statistics.median(floor), detail)

        what = "POST a configuration → its arrival at the sensor, p50"
        yield Row("configuration", what, "ms", bench.repeat(once), "publishing it directly")


def _configure(running: Running) -> tuple[list[float], list[float]]:
    servers = running.installation.servers
    arrived = threading.Event()
    sensor = connect_client(servers.broker.sensor_url, "s-0", on_message=lambda *_: arrived.set())
    subscribe(sensor, "configurations/s-0")
    publisher = connect_client(servers.broker.url, "bench-direct")
    web = Web(running)
    path = "sensors/s-0/configurations/"
    # The first one opens connections.
    web.post(path, {"configuration": {"interval_s": 0}})
    assert arrived.wait(_ARRIVES_S)
    taken, floor = [], []
    with ThreadPoolExecutor(1) as pool:
        for number in range(CONFIGURATIONS):
            arrived.clear()
            began_s = time.perf_counter()
            # It may arrive before the answer does.
            answer = pool.submit(web.post, path, {"configuration": {"interval_s": number + 1}})
            assert arrived.wait(_ARRIVES_S), "a configuration did not arrive"
            taken.append(1_000 * (time.perf_counter() - began_s))
            answer.result()
            arrived.clear()
            began_s = time.perf_counter()
            publisher.publish("configurations/s-0", b'{"revision": 0, "configuration": {}}', qos=1)
            assert arrived.wait(_ARRIVES_S)
            floor.append(1_000 * (time.perf_counter() - began_s))
    web.close()
    close(sensor)
    close(publisher)
    return taken, floor
