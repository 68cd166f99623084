"""Simulated sensors over real MQTT, and replays of CSV files."""

import argparse
import dataclasses
import json
import sys
import time
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError
from django.utils import timezone

from fleet.mqtt.device import Credentials
from fleet.simulator.arguments import add_arguments, epilog
from fleet.simulator.broker import Broker, BrokerOptionsError, allow_open_files, find_broker, read_passwords
from fleet.simulator.claiming import ClaimError, check_takes_lines, claim_places, keep_in
from fleet.simulator.demo import seed_demo
from fleet.simulator.faults import FaultError, assign_faults, parse_fault
from fleet.simulator.process import run_until_signalled
from fleet.simulator.registry import (
    RegistryError,
    find_network,
    forget_database,
    register_replayed,
    register_sensors,
    unregistered,
)
from fleet.simulator.replay import ReplayError, identifier_from, replay_rows
from fleet.simulator.runner import run_simulation
from fleet.simulator.sensor import SimulatedSensor
from fleet.simulator.table import Table, TableError
from sensors.wire import is_identifier


class _Formatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's order of options, and texts in their own lines."""


class Command(BaseCommand):
    help = (
        "Sensors over real MQTT: they take configurations and answer them, measure, send heartbeats and log.\n"
        "With --replay: one CSV file into one sensor.\n"
        "They connect to the broker of MQTT_URL, without its login, which is the bridge's."
    )
    # Runs beside a service of any state, also against a broker alone.
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=epilog(), formatter_class=_Formatter, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["replay"] is not None:
                self._replay(options)
            else:
                self._simulate(options)
        except (BrokerOptionsError, RegistryError, ReplayError, TableError, FaultError, ClaimError) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"the database cannot be used (is the service running, and migrated?): {str(error).strip()}"
            ) from error

    def _simulate(self, options: dict[str, Any]) -> None:
        identifiers = _identifiers(options)
        faults = assign_faults(identifiers, [parse_fault(text) for text in options["fault"]], seed=options["seed"])
        allow_open_files(len(identifiers))
        broker: Broker | None
        if options["claim_code"]:
            if options["demo"] or options["network"]:
                raise CommandError("--claim-code asks for the sensors' places; leave out --demo and --network")
            broker = self._claimed(identifiers, options)
            if broker is None:
                return
        else:
            broker = _broker(options)
            self._prepare(identifiers, options)
        sensors = [
            SimulatedSensor(
                identifier,
                seed=options["seed"],
                interval_s=options["interval"],
                excursions_per_hour=options["excursions"],
                faults=faults.get(identifier, ()),
            )
            for identifier in identifiers
        ]
        self._say(f"Simulating {len(sensors)} sensors at {broker}; Ctrl-C ends it.")
        summary = run_until_signalled(
            lambda stop: run_simulation(sensors, broker, stop=stop, duration_s=options["duration"], status=sys.stderr)
        )
        self.stdout.write(json.dumps(summary.as_dict()) if options["json"] else summary.line())

    def _prepare(self, identifiers: list[str], options: dict[str, Any]) -> None:
        """Make the sensors that are to be made, or warn of those that the service does not know."""
        if options["demo"]:
            seeded = seed_demo(identifiers, interval_s=options["interval"], now=timezone.now())
            forget_database()
            self._say(seeded.line())
        elif options["network"]:
            created = register_sensors(find_network(options["network"]), identifiers, interval_s=options["interval"])
            forget_database()
            self._say(f"Network {options['network']}: created {created} of {len(identifiers)} sensors.")
        else:
            self._warn_of_unknown(identifiers, options)

    def _claimed(self, identifiers: list[str], options: dict[str, Any]) -> Broker | None:
        """Return the broker with a login for each sensor; None if the process was to end while some waited."""
        # First: whoever admits the sensors does not do it for a broker that cannot be used.
        broker = _broker({**options, "password_file": None})
        file: Path | None = options["password_file"]
        logins = {}
        if file is not None and file.exists():
            logins = read_passwords(file)
            check_takes_lines(file)

        def keep(identifier: str, login: Credentials) -> None:
            if file is not None:
                keep_in(file, identifier, login)
            logins[identifier] = login
            self._say(f"{identifier} was admitted.")

        asking = [identifier for identifier in identifiers if identifier not in logins]
        if asking:
            url, code = options["url"], options["claim_code"]
            run_until_signalled(
                lambda stop: claim_places(asking, url=url, code=code, stop=stop, keep=keep, say=self._say)
            )
        waiting = [identifier for identifier in identifiers if identifier not in logins]
        if waiting:
            self._say(f"Ended while {len(waiting)} of {len(identifiers)} sensors waited to be admitted.")
            return None
        return dataclasses.replace(broker, credentials=logins.get)

    def _replay(self, options: dict[str, Any]) -> None:
        path: Path = options["replay"]
        if len(options["sensor"]) > 1 or options["demo"] or options["fault"] or options["claim_code"]:
            raise CommandError("--replay goes into one sensor (--sensor ID), without --demo, --fault and --claim-code")
        sensor = (options["sensor"] or [identifier_from(path)])[0]
        _check_identifier(sensor)
        broker = _broker(options)
        try:
            file = path.open(encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        with file:
            table = Table(
                file,
                now_s=time.time(),
                time_column=options["time_column"],
                time_zone=_zone(options["time_zone"]),
                time_format=options["time_format"],
            )
            if options["network"]:
                if register_replayed(find_network(options["network"]), sensor, file_name=path.name):
                    self._say(f"Created the sensor {sensor} in the network {options['network']}.")
                forget_database()
            elif self._unknown([sensor], options):
                raise CommandError(
                    f"the service does not know the sensor {sensor!r} and would reject all of it as unknown_sensor; "
                    "name its network with --network SLUG to create it, or an existing sensor with --sensor ID"
                )
            self._say(f"Replaying {path} into {sensor} at {broker}; times from column {table.time_column!r}.")
            summary = run_until_signalled(
                lambda stop: replay_rows(
                    table, broker, sensor=sensor, stop=stop, revision=options["revision"], status=sys.stderr
                )
            )
        for problem in summary.problems:
            self._say(f"{path}, {problem}")
        if summary.bad_rows > len(summary.problems):
            self._say(f"… and {summary.bad_rows - len(summary.problems)} more bad rows")
        self.stdout.write(json.dumps(summary.as_dict()) if options["json"] else summary.line())
        if not summary.complete:
            sys.exit(1)

    def _say(self, text: str) -> None:
        # Beside the summary, which has standard output; without the red of an error.
        self.stderr.write(text, style_func=str)

    def _warn_of_unknown(self, identifiers: list[str], options: dict[str, Any]) -> None:
        unknown = self._unknown(identifiers, options)
        if unknown:
            self._say(
                f"Warning: the service does not know {len(unknown)} of {len(identifiers)} sensors "
                f"({', '.join(unknown[:3])}{', …' if len(unknown) > 3 else ''}) and will reject what they send as "
                "unknown_sensor; --network SLUG creates them."
            )

    def _unknown(self, identifiers: list[str], options: dict[str, Any]) -> list[str]:
        if options["no_database"]:
            return []
        try:
            unknown = unregistered(identifiers)
        except DatabaseError as error:
            self._say(f"The database cannot be asked which sensors there are: {str(error).strip()}")
            unknown = []
        forget_database()
        return unknown


def _identifiers(options: dict[str, Any]) -> list[str]:
    if options["sensor"]:
        if options["demo"]:
            raise CommandError("--demo names its sensors itself; leave out --sensor")
        identifiers = list(dict.fromkeys(options["sensor"]))
    else:
        prefix = options["prefix"] or ("demo" if options["demo"] else "simulated")
        identifiers = [f"{prefix}-{number:03d}" for number in range(1, options["sensors"] + 1)]
    for identifier in identifiers:
        _check_identifier(identifier)
    return identifiers


def _check_identifier(identifier: str) -> None:
    if not is_identifier(identifier):
        raise CommandError(
            f"{identifier!r} cannot name a sensor: a letter or digit, "
            "then up to 63 letters, digits, hyphens or underscores"
        )


def _broker(options: dict[str, Any]) -> Broker:
    # With the login that all sensors share, where the local stack's broker asks for one.
    shared: str = settings.MQTT_SENSOR_URL
    return find_broker(
        shared or settings.MQTT_URL,
        username=options["username"],
        password=options["password"],
        passwords=options["password_file"],
        url_login=bool(shared),
    )


def _zone(name: str) -> tzinfo:
    # Needs no time zone database, which slim systems lack.
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CommandError(f"there is no time zone {name!r}; use a name like Europe/Berlin or UTC") from error
