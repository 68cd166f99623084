"""`python -m tests.bench.publish MESSAGES ENTRIES SENSORS`: publish with QoS 1 as fast as the broker takes them."""

import json
import random
import sys
import threading
import time

from tests.bench.setting import ATTRIBUTES, client

MESSAGES, ENTRIES, SENSORS = (int(argument) for argument in sys.argv[1:4])

done = threading.Event()
confirmed = 0


def on_publish(*_: object) -> None:
    global confirmed  # noqa: PLW0603 - counted by one callback thread
    confirmed += 1
    if confirmed == MESSAGES:
        done.set()


publisher = client(f"bench-{random.random()}")
publisher.on_publish = on_publish
began = time.time()
for number in range(MESSAGES):
    # Times lie apart and in the past, so that every entry is a row of its own.
    entries = [
        {
            "revision": 0,
            "timestamp": round(began - (MESSAGES - number) - index / (ENTRIES + 1), 6),
            "value": {attribute: round(20 + (number * 7 + index) % 1000 / 100, 2) for attribute in ATTRIBUTES},
        }
        for index in range(ENTRIES)
    ]
    publisher.publish(f"measurements/s-{number % SENSORS}", json.dumps({"measurements": entries}), qos=1)
assert done.wait(300), f"{confirmed} of {MESSAGES} confirmed"
publisher.disconnect()
publisher.loop_stop()
