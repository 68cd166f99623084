"""`manage.py up`: the command line of the local stack."""

import argparse
import os
import sys
from collections.abc import Sequence

from .console import Console
from .errors import StackError
from .options import read_options
from .supervisor import Supervisor

DESCRIPTION = """\
Start the whole product on this machine and stay in the foreground: PostgreSQL, Valkey, an MQTT broker, then web,
bridge, worker and beat. Prints "Fleet is ready: http://…" when all of them are fit for work, starts again
what ends or stops working, and stops everything in order on Ctrl-C (SIGINT) or SIGTERM.
"""
EPILOG = """\
environment:
  FLEET_DATA_DIR        where everything is kept: databases, the broker's state, generated secrets, logs
                        (default: .local in the checkout; delete it for an empty start)
  FLEET_HOST            address to listen on (default 127.0.0.1). With any other one, other machines can reach pages
                        and API, unencrypted, and the broker with TLS only (--tls is on by itself) and with a login
  FLEET_HTTP_PORT, FLEET_MQTT_PORT, FLEET_MQTT_TLS_PORT, FLEET_MQTT_WEBSOCKET_PORT
                        default 8000, 1883 (without TLS: this machine only), and with --tls 8883 and 9001. A default
                        that is taken gives way to the next free port, and a line says so; one that you set and that
                        is taken is an error
  FLEET_ADMIN_PASSWORD  password of the first operator, "admin" (default: generated, printed at the first start)
  FLEET_BROKER          "mosquitto" or "amqtt" to insist on one (default: mosquitto if it is installed)
  DATABASE_URL, REDIS_URL, MQTT_URL
                        a server of your own instead of one that this starts

Commands in another terminal find the running stack by themselves:  .venv/bin/python manage.py create_token admin
Logs are in FLEET_DATA_DIR/logs, one for each process.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `up` to `parser`."""
    parser.add_argument(
        "--simulate",
        metavar="N",
        type=_count,
        default=0,
        help="also run N simulated sensors in a demo network with rules",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="the broker also takes MQTT over TLS (8883) and in WebSockets over TLS (9001), with a certificate of an "
        "authority that is made for it and kept in FLEET_DATA_DIR/certificates",
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of sensors")
    return int(text)


def supervise(*, simulated_sensors: int, tls: bool) -> int:
    """Run the local stack until a signal ends it; returns the exit code."""
    console = Console()
    try:
        options = read_options(os.environ, simulated_sensors=simulated_sensors, tls=tls)
    except StackError as error:
        console.warn(str(error))
        return 1
    return Supervisor(options, console).run()


def main(arguments: Sequence[str]) -> int:
    """Parse the arguments after `manage.py up` and run; returns the exit code.

    Needs no Django: the settings come from what this starts.
    """
    parser = argparse.ArgumentParser(
        prog="manage.py up",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parsed = parser.parse_args(arguments)
    return supervise(simulated_sensors=parsed.simulate, tls=parsed.tls)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
