"""The command line of `manage.py simulate`."""

import argparse
import math
import re
from pathlib import Path
from typing import Final

from fleet.simulator.configuration import MAX_INTERVAL_S
from fleet.simulator.faults import FAULTS
from sensors.wire import MAX_REVISION

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_EPILOG: Final = """\
Faults (--fault NAME, or NAME:SHARE for a share of the sensors, as in silence:0.2):
{faults}

Examples:
  manage.py simulate --demo --sensors 20
  manage.py simulate --network hall --prefix press --sensors 5 --interval 2
  manage.py simulate --sensor s-17 --fault disconnects
  manage.py simulate --claim-code 7KQ2-9XWB-3MTZ-F0HR-8CVD --password-file passwords --sensors 3
  manage.py simulate --replay office.csv --network hall

Replaying a file again stores nothing twice. Ends on Ctrl-C or SIGTERM with a summary and exit code 0;
a replay that was interrupted ends with 1.
"""


def epilog() -> str:
    """Return what stands below the options in --help: the faults and examples."""
    return _EPILOG.format(faults="\n".join(f"  {name:22} {kind.summary}" for name, kind in FAULTS.items()))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add all options of `simulate`."""
    who = parser.add_argument_group("which sensors")
    who.add_argument("--sensors", type=_count, default=10, metavar="N", help="how many (10)")
    who.add_argument("--prefix", metavar="NAME", help="they are NAME-001, NAME-002, … (simulated; demo with --demo)")
    who.add_argument(
        "--sensor", action="append", default=[], metavar="ID", help="this one instead; repeatable. Also of a replay"
    )
    who.add_argument("--network", metavar="SLUG", help="create sensors that do not exist yet in this network")
    who.add_argument(
        "--demo", action="store_true", help="first make a demo network with gateways, sensors, configurations and rules"
    )
    who.add_argument("--no-database", action="store_true", help="do not look whether the service knows the sensors")

    how = parser.add_argument_group("how they behave")
    how.add_argument(
        "--interval",
        type=_interval,
        default=5.0,
        metavar="S",
        help="seconds between measurements, until a configuration says otherwise (5)",
    )
    how.add_argument("--seed", type=int, default=1, metavar="K", help="another seed, other signals (1)")
    how.add_argument("--duration", type=_positive, metavar="S", help="end after so many seconds")
    how.add_argument(
        "--excursions",
        type=_not_negative,
        default=2.0,
        metavar="N",
        help="times an hour that a value of a sensor leaves its range (2)",
    )
    how.add_argument(
        "--fault", action="append", default=[], metavar="NAME[:SHARE]", help="a fault; repeatable, see below"
    )

    replay = parser.add_argument_group("replay")
    replay.add_argument(
        "--replay", type=Path, metavar="FILE", help="a CSV file with a header, a time column and value columns"
    )
    replay.add_argument("--time-column", default="", metavar="NAME", help="guessed by its name if left out")
    replay.add_argument(
        "--time-zone", default="UTC", metavar="ZONE", help="of times that name none, as Europe/Berlin (UTC)"
    )
    replay.add_argument(
        "--time-format", default="", metavar="FORMAT", help="as of strptime; by default ISO 8601 or Unix time"
    )
    replay.add_argument(
        "--revision", type=_revision, default=0, metavar="N", help="under which the values were measured (0)"
    )

    login = parser.add_argument_group("login at the broker")
    login.add_argument("--username", default="", help="one login for all sensors")
    login.add_argument("--password", default="", help="others on this machine can see it; rather use --password-file")
    login.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="a line `identifier password` for each sensor, as `credentials issue` prints",
    )
    login.add_argument(
        "--claim-code",
        default="",
        metavar="CODE",
        help="ask the service for a place and a login first (docs/claims.md), and add it to --password-file; who stands"
        " in that file has one",
    )
    login.add_argument(
        "--url", default=DEFAULT_URL, metavar="URL", help=f"of the service, for --claim-code ({DEFAULT_URL})"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the summary as JSON, and nothing else on standard output"
    )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number


def _positive(text: str) -> float:
    number = _number(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} must be above 0")
    return number


def _not_negative(text: str) -> float:
    number = _number(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} must not be below 0")
    return number


def _interval(text: str) -> float:
    number = _positive(text)
    if number > MAX_INTERVAL_S:
        raise argparse.ArgumentTypeError(f"{text} is more than {MAX_INTERVAL_S} seconds")
    return number


def _whole(text: str, *, least: int, most: int) -> int:
    if not re.fullmatch(r"\d{1,10}", text) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def _count(text: str) -> int:
    return _whole(text, least=1, most=100_000)


def _revision(text: str) -> int:
    return _whole(text, least=0, most=MAX_REVISION)
