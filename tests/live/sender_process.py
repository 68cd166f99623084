"""A process that sends live events as it is told, and says how long that held it up.

Reads lines of JSON: {"events": [arguments of send_event, …]} is answered by {"took_s": seconds}; {"end": code} ends
the process: as Python does, or with {"end": "kill"} at once.
"""

import json
import os
import sys
import time

import django

django.setup()

from sensors import live  # noqa: E402 - settings must be ready first

for line in sys.stdin:
    message = json.loads(line)
    if message.get("end") == "kill":
        os._exit(9)
    if "end" in message:
        sys.exit(message["end"])
    started = time.perf_counter()
    for event in message["events"]:
        live.send_event(**event)
    print(json.dumps({"took_s": time.perf_counter() - started}), flush=True)
