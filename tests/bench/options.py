"""What is measured, and at which scale: the command line."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

WORKS: Final[Mapping[str, str]] = {
    "drain": "messages of 1 measurement wait in the broker and are drained",
    "batches": "messages of 50 measurements, a tenth as many, also beside a bare COPY",
    "rest": "from publish to readable over REST",
    "live": "from publish to a WebSocket: each viewer one sensor, then all viewers the whole network",
    "configuration": "from POST to the sensor",
    "credentials": "from POST and DELETE until the broker lets a sensor in or out; --credentials in one call, twice",
    "evaluation": "rules over a queue that waits, alone and while messages are drained",
    "rules": "--rules rules over 100 times as many sensors, at twice --rate for three times --seconds; their alerts",
    "sweep": "the look at silence over 1000 times as many sensors, of which --sensors are newly overdue",
    "memory": "the bridge's peak while messages wait (5/3 of --messages) and are drained",
    "sensors": "drain with 100 times as many sensors",
    "history": "drain into --rows stored measurements beside a hundredth of them",
    "queries": "reading over HTTP with --rows stored measurements beside a tenth of them, and export",
    "shards": "drain by two bridges beside one",
}

# What the product takes at once (`sensors.provisioning`, which needs Django).
MOST_CREDENTIALS: Final = 5_000

_DESCRIPTION: Final = """\
Measure the service on this machine, on servers of its own with the product's settings (fsync and
synchronous_commit on), and print a table. Each figure stands beside its floor: the least that anybody could do, on
the same messages or rows in the same run. Quiet machines measure; on a busy one only the shares mean something.
"""
_EPILOG: Final = """\
examples:
  ./scripts/bench                          everything once; half an hour and more, mostly for --rows
  ./scripts/bench --runs 3 --json > 3.json the documented way: medians of three runs, and all of it as JSON
  ./scripts/bench drain batches            only these
  ./scripts/bench --messages 2000 --rows 20000 --sensors 20 --viewers 10 --seconds 3 --requests 20 \\
      --credentials 20                     does it still work? some minutes

exit code: 0 all was measured; 1 something could not be, the rest was; 2 wrong arguments; 3 with --check, a figure
does not reach what docs/performance.md asks for at least (its scale is that of the defaults).
"""


@dataclass(frozen=True, slots=True)
class Options:
    """One call of the bench."""

    works: Sequence[str]
    runs: int
    messages: int
    sensors: int
    rules: int
    rows: int
    rate: float
    seconds: float
    credentials: int
    viewers: int
    dashboards: int
    requests: int
    days: int
    folder: Path | None
    json: bool
    markdown: bool
    check: bool

    def scale(self) -> dict[str, Any]:
        """Return what was measured and at which scale, for JSON."""
        no_scale = {"folder", "json", "markdown", "check"}
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in no_scale}


def read_options(arguments: Sequence[str] | None = None) -> Options:
    """Return the options of the command line; ends the process with code 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        prog="./scripts/bench",
        description=_DESCRIPTION,
        epilog="works:\n" + "".join(f"  {name:14} {text}\n" for name, text in WORKS.items()) + "\n" + _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("works", nargs="*", metavar="WORK", help="what to measure (below); everything if none is named")
    number: dict[str, Any] = {"type": _positive, "metavar": "N"}
    parser.add_argument("--runs", default=1, help="repeat and show medians (default 1, documented are 3)", **number)
    parser.add_argument("--messages", default=60_000, help="how many are queued and drained (60000)", **number)
    parser.add_argument("--sensors", default=100, help="that send them (100)", **number)
    parser.add_argument("--rules", default=1_000, help="about values, of the work rules (1000)", **number)
    parser.add_argument(
        "--rows", default=10_000_000, help="stored measurements of history, queries (10000000)", **number
    )
    parser.add_argument("--days", default=365, help="over which they lie (365)", **number)
    parser.add_argument("--requests", default=300, help="of each kind, queries and export (300)", **number)
    parser.add_argument("--rate", default=500.0, type=float, help="messages/s while latency is measured (500)")
    parser.add_argument("--seconds", default=20.0, type=float, help="how long latency is measured (20)")
    parser.add_argument(
        "--credentials",
        default=1_000,
        help="in one call; a twentieth of them one by one (1000, at most 5000)",
        **number,
    )
    parser.add_argument("--viewers", default=100, help="open WebSockets while live is measured (100)", **number)
    parser.add_argument(
        "--dashboards", default=1, type=int, help="open WebSockets that follow everything during a drain (1)"
    )
    parser.add_argument("--folder", type=Path, help="where databases lie while it runs (default: a temporary one)")
    parser.add_argument("--json", action="store_true", help="JSON to standard output, the table to standard error")
    parser.add_argument("--markdown", action="store_true", help="the table as docs/performance.md has it")
    parser.add_argument("--check", action="store_true", help="exit with 3 when a figure is below what is asked for")
    values = vars(parser.parse_args(arguments))
    unknown = [name for name in values["works"] if name not in WORKS]
    if unknown:
        parser.error(f"no such work: {', '.join(unknown)}; there are {', '.join(WORKS)}")
    if values["credentials"] > MOST_CREDENTIALS:
        parser.error(f"--credentials: one call makes at most {MOST_CREDENTIALS}")
    return Options(**{**values, "works": tuple(values["works"]) or tuple(WORKS)})


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
