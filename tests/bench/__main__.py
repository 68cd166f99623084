"""`./scripts/bench`."""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
os.environ.setdefault("LOG_LEVEL", "WARNING")
# Measurements ask often; a throttle would be what is measured.
os.environ["API_THROTTLE"] = "1000000/min"
django.setup()

from rich.console import Console  # noqa: E402 - the settings come first
from rich.table import Table  # noqa: E402

from tests.bench.drain import drain  # noqa: E402
from tests.bench.latency import configuration, live  # noqa: E402
from tests.bench.setting import Result, prepare  # noqa: E402

WORK = ("drain", "batches", "live", "configuration")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", nargs="*", choices=[*WORK, []], help=f"any of {', '.join(WORK)}; default: all")
    parser.add_argument("--messages", type=int, default=30_000, help="how many are queued and drained")
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--rate", type=float, default=50, help="messages/s while latency is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    token = prepare(options.sensors)
    console = Console(stderr=options.json)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="fleet-bench-") as name:
        folder = Path(name)
        for work in options.work or WORK:
            console.print(f"measuring {work} …")
            if work == "drain":
                results.append(drain(folder, messages=options.messages, entries=1, sensors=options.sensors))
            elif work == "batches":
                results.append(drain(folder, messages=options.messages // 10, entries=50, sensors=options.sensors))
            elif work == "live":
                results.append(live(folder, token=token, rate=options.rate, seconds=20))
            else:
                results.append(configuration(folder, token=token, times=50))
    if options.json:
        json.dump([asdict(result) for result in results], sys.stdout, indent=2)
    else:
        Console().print(_table(results))
    return 0


def _table(results: list[Result]) -> Table:
    table = Table("work", "figure", "floor", "more")
    for result in results:
        floor = "" if result.floor is None else f"{result.floor:,.1f} {result.unit}\n{result.floor_is}"
        more = "\n".join(f"{name} {value:,.2f}" for name, value in result.detail.items())
        table.add_row(result.work, f"{result.figure:,.1f} {result.unit}", floor, more)
    return table


sys.exit(main())
