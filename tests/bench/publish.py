"""Publishes in a process of its own, with QoS 1.

`python -m tests.bench.publish backlog URL BACKLOG`: as fast as the broker takes them.
`python -m tests.bench.publish steady URL SENSORS RATE BEGINS_AT SECONDS`: at a rate, measured when published.
"""

import json
import sys
import threading
import time
from typing import Any

from tests.bench.backlog import Backlog, value_of
from tests.bench.clients import close, connect_client

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


def publish_steadily(url: str, *, sensors: int, rate: float, begins_at_s: float, seconds: float) -> None:
    """Publish `rate` messages/s by the sensors in turns; the timestamp of each is the moment of its publishing."""
    client = connect_client(url, "bench-publisher")
    count = round(rate * seconds)
    client.on_publish = confirmations = Confirmations(count)
    for number in range(count):
        # The rate is the load: each message has its moment.
        time.sleep(max(0.0, begins_at_s + number / rate - time.time()))
        value = value_of(number % sensors, number // sensors)
        entry = {"revision": 0, "timestamp": time.time(), "value": value}
        client.publish(f"measurements/s-{number % sensors}", json.dumps({"measurements": [entry]}), qos=1)
    late_s = time.time() - begins_at_s - seconds
    confirmations.wait(60)
    close(client)
    assert late_s < 0.1 * seconds + 1, f"the machine is too slow for {rate:g} messages/s: {late_s:.1f} s late"


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["backlog", url, text]:
            publish_backlog(url, Backlog.from_text(text))
        case ["steady", url, sensors, rate, begins_at, seconds]:
            publish_steadily(
                url, sensors=int(sensors), rate=float(rate), begins_at_s=float(begins_at), seconds=float(seconds)
            )
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
