"""`manage.py bridge`: the process between the broker and the database."""

import signal
import sys
import threading
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fleet.checks import refuse_unsafe_settings
from fleet.garbage import collect_less
from fleet.mqtt.address import BrokerAddress
from fleet.mqtt.bridge import Bridge
from fleet.mqtt.shards import Shard
from sensors.database import limit_connections


class Command(BaseCommand):
    """Receives from and publishes to the broker at MQTT_URL until SIGTERM."""

    help = (
        "Store what sensors send and publish their configurations, until SIGTERM or SIGINT.\n\n"
        "A message is acknowledged to the broker only after its commit, so none that was acknowledged is lost,\n"
        "whatever is killed. One bridge runs for each shard; a second one waits, and says so. Start all N of a set;\n"
        "to change N run `manage.py reshard` first: a bridge of another set waits for that, and says so.\n\n"
        "Exit codes: 0 stopped, 1 wrong arguments or MQTT_URL, 70 ended by its own watchdog (start it again),\n"
        "75 another bridge took the shard, 78 unsafe settings."
    )
    # Those that matter to a lasting process are made below, with an exit code of their own.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument(
            "--shard",
            default="0/1",
            metavar="I/N",
            help="store only part I of N of the sensors, as 0/2 and 1/2 for two bridges (default: all)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_settings()
        try:
            address = BrokerAddress.from_url(settings.MQTT_URL)
            # A file that it names and that cannot be used is told here, before anything runs.
            address.tls_context()
            shard = Shard.from_text(options["shard"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        # A stuck statement or lock ends as an error, and is tried again, before the watchdog would end the process.
        limit_connections(statement_s=30, by_key=True)
        # Parsing must not keep the writer, which has the database's answer, from going on for Python's 5 ms each time.
        sys.setswitchinterval(0.0005)
        bridge = Bridge(address, shard)
        collect_less()
        for number in (signal.SIGTERM, signal.SIGINT):
            # In a thread: the handler may interrupt a wait on the very lock that `stop` needs.
            signal.signal(number, lambda *_: threading.Thread(target=bridge.stop).start())
        sys.exit(bridge.run())
