"""From publish to the frames of many WebSockets."""

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.bench import Bench
from tests.bench.clients import close, connect_client, subscribe
from tests.bench.installation import Installation
from tests.bench.latency import whole_product
from tests.bench.processes import cpu_between, cpu_seconds
from tests.bench.results import Row, Run, Target, percentile
from tests.bench.sightings import everything, one_sensor_each, viewing
from tests.bench.steady import steady_load


def live(bench: Bench) -> Iterator[Row]:
    """Each viewer one sensor, then all viewers the whole network."""
    viewers, sensors = bench.options.viewers, bench.options.sensors
    each = "publish → WebSocket at {:g} messages/s, {} viewers of {}, p99"
    target = Target(150, 50, small=True)
    with bench.installation("live") as installation:
        for queries, of_what, sightings in (
            (one_sensor_each(viewers, sensors), "one sensor each", viewers / sensors),
            (everything(viewers), "the whole network", viewers),
        ):

            def once(run: int, queries: list[str] = queries, sightings: float = sightings) -> Run:
                return _measure(bench, installation, queries, sightings)

            what = each.format(bench.options.rate, viewers, of_what)
            yield Row("live", what, "ms", bench.repeat(once), "a plain MQTT subscriber", target)


def _measure(bench: Bench, installation: Installation, queries: list[str], sightings: float) -> Run:
    """Return one run. sightings: by how many viewers a message is to be seen, on average."""
    plain: dict[float, float] = {}

    def note(_client: object, _data: object, packet: Any) -> None:
        now_s = time.time()
        measured_s = json.loads(packet.payload)["measurements"][0]["timestamp"]
        plain[measured_s] = 1_000 * (now_s - measured_s)

    with whole_product(installation) as running, viewing(running, queries=queries) as viewers:
        subscriber = connect_client(installation.servers.broker.url, "bench-plain", on_message=note)
        subscribe(subscriber, "measurements/#")
        parts = running.pids() | {"viewers": viewers.pid}
        with steady_load(bench, installation) as since_s:
            viewers.count_since(since_s)
            before = cpu_seconds(parts)
        used = cpu_between(before, cpu_seconds(parts))
        # The last items are on their way; what is later than this counts as missing.
        time.sleep(1)
        seen = viewers.seen()
        close(subscriber)
    floor = [delay for measured_s, delay in plain.items() if measured_s >= since_s]
    detail = {
        "p50": seen.percentile_ms(0.5),
        "floor_p50": percentile(floor, 0.5),
        "seen_share": seen.items / (len(floor) * sightings),
        "items_per_frame": seen.items / max(1, seen.frames),
        "left_out": seen.left_out,
        "sockets_lost": seen.lost,
        **used,
    }
    return Run(seen.percentile_ms(0.99), percentile(floor, 0.99), detail)
