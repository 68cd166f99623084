"""Publishes in a process of its own, with QoS 1.

`python -m tests.bench.publish backlog URL BACKLOG`: as fast as the broker takes them.
`python -m tests.bench.publish steady URL SENSORS RATE BEGINS_AT SECONDS`: at a rate, measured when published.
`python -m tests.bench.publish stream URL SENSORS ROUNDS RATE BEGINS_AT_US`: at a rate, measured when it was due.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.bench.backlog import Backlog, value_of
from tests.bench.clients import close, connect_client
from tests.bench.watched import Stream

# A packet id has 16 bits (MQTT 3.1.1, 2.3.1): paho gives no second message an id that is not confirmed yet.
UNCONFIRMED = 20_000


class Confirmations:
    """Counts what the broker has confirmed, and lets so many more be published."""

    def __init__(self, messages: int) -> None:
        self._left = messages
        self._done = threading.Event()
        self.room = threading.Semaphore(UNCONFIRMED)

    def __call__(self, *_: Any) -> None:
        self.room.release()
        self._left -= 1
        if not self._left:
            self._done.set()

    def wait(self, seconds: float) -> None:
        """Wait until all are confirmed."""
        assert self._done.wait(seconds), f"{self._left} messages were not confirmed"


def publish_backlog(url: str, backlog: Backlog) -> None:
    """Publish all of it."""
    client = connect_client(url, "bench-publisher")
    client.on_publish = confirmations = Confirmations(backlog.messages)
    for number in range(backlog.messages):
        confirmations.room.acquire()
        client.publish(backlog.topic(number), backlog.payload(number), qos=1)
    confirmations.wait(600)
    close(client)


def publish_steadily(
    url: str, message: Callable[[int], tuple[str, bytes]], *, count: int, rate: float, begins_at_s: float
) -> None:
    """Publish `message(number)` for `count` numbers, `rate` of them a second; each is asked for when it is due."""
    client = connect_client(url, "bench-publisher")
    client.on_publish = confirmations = Confirmations(count)
    for number in range(count):
        # The rate is the load: each message has its moment.
        time.sleep(max(0.0, begins_at_s + number / rate - time.time()))
        topic, payload = message(number)
        client.publish(topic, payload, qos=1)
    late_s = time.time() - begins_at_s - count / rate
    confirmations.wait(60)
    close(client)
    assert late_s < 0.1 * count / rate + 1, f"the machine is too slow for {rate:g} messages/s: {late_s:.1f} s late"


def measured_now(number: int, sensors: int) -> tuple[str, bytes]:
    """Return topic and payload of message `number` of `sensors` sensors in turns, measured at this moment."""
    step, sensor = divmod(number, sensors)
    entry = {"revision": 0, "timestamp": time.time(), "value": value_of(sensor, step)}
    return f"measurements/s-{sensor}", json.dumps({"measurements": [entry]}).encode()


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["backlog", url, text]:
            publish_backlog(url, Backlog.from_text(text))
        case ["steady", url, sensors, rate, begins_at, seconds]:
            message = partial(measured_now, sensors=int(sensors))
            count = round(float(rate) * float(seconds))
            publish_steadily(url, message, count=count, rate=float(rate), begins_at_s=float(begins_at))
        case ["stream", url, sensors, rounds, rate, begins_at_us]:
            stream = Stream(int(sensors), int(rounds), float(rate), int(begins_at_us))
            begins_at_s = stream.begins_at_us / 1e6
            publish_steadily(url, stream.message, count=stream.messages, rate=stream.rate, begins_at_s=begins_at_s)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
