"""`manage.py backtest`: what a rule would have found in the past."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from alerts.backtest import MAX_EPISODES, Backtest, backtest
from alerts.models import VALUE_KINDS, Rule
from alerts.queries import matching_sensors, sensors_in_scope
from alerts.services import draft_rule
from sensors.errors import DomainError
from sensors.management.lookups import network_named
from sensors.models import Sensor

_LIMITS = ("attribute", "above", "below", "hysteresis", "for_s", "keep_firing_s")


class Command(BaseCommand):
    """Say how often a rule would have fired over a past range, before it is saved.

    Name a saved rule with --rule, or describe one: --network, --attribute and a limit. What is stored is evaluated
    as if it had come in the order in which it was measured; nothing is saved. The same as POST
    /api/v1/alert-rules/backtest/, without its limit of values.
    """

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--rule", type=int, metavar="ID", help="a saved rule, instead of all that follows")
        parser.add_argument("--network", metavar="SLUG", help="the network of the sensors")
        parser.add_argument("--sensors", nargs="+", metavar="SENSOR", help="only these of its sensors")
        parser.add_argument(
            "--kind", default=VALUE_KINDS[0], choices=VALUE_KINDS, help="of the rule (default: %(default)s)"
        )
        parser.add_argument("--attribute", help="what the rule watches")
        parser.add_argument("--above", type=float, help="fires while the value is above")
        parser.add_argument("--below", type=float, help="fires while the value is below")
        parser.add_argument("--hysteresis", type=float, help="how far inside a value clears (0)")
        parser.add_argument("--for-s", type=int, help="how long it must be violated before it fires (0)")
        parser.add_argument("--keep-firing-s", type=int, help="how long it must be inside before it clears (0)")
        parser.add_argument("--start", type=_moment, metavar="TIME", help="ISO 8601 (30 days before the end)")
        parser.add_argument("--end", type=_moment, metavar="TIME", help="ISO 8601, not included (now)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and no progress")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Evaluate and print; CommandError with what is wrong with the rule or the range."""
        end = options["end"] or timezone.now()
        start = options["start"] or end - timedelta(days=30)
        try:
            rule, sensors = _saved(options["rule"]) if options["rule"] else _described(options)
            with transaction.atomic():
                found = backtest(
                    rule, sensors, start=start, end=end, max_samples=None, progress=self._progress(options["json"])
                )
        except DomainError as error:
            field = f"--{error.field.replace('_', '-')}: " if error.field else ""
            raise CommandError(f"{field}{error.detail}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"start": start, "end": end, **asdict(found)}, cls=DjangoJSONEncoder))
        else:
            self._print(found)

    def _progress(self, is_quiet: bool) -> Any:
        def say(found: Backtest) -> None:
            if not is_quiet and found.sensors % 100 == 0:
                self.stderr.write(f"{found.sensors:,} sensors, {found.samples:,} values, {found.fired:,} alerts")

        return say

    def _print(self, found: Backtest) -> None:
        for episode in found.episodes:
            until = "still firing at the end" if episode.resolved_at is None else f"until {episode.resolved_at:%F %T}"
            began = f"violated from {episode.started_at:%F %T}, firing from {episode.fired_at:%F %T}"
            self.stdout.write(f"{episode.sensor}: {began} {until} UTC, last value {episode.value:g}")
        if found.fired > len(found.episodes):
            self.stdout.write(f"… the first {MAX_EPISODES:,} of {found.fired:,}")
        hours = found.firing_s / 3_600
        self.stdout.write(
            f"{found.fired:,} alerts, firing for {hours:,.1f} hours in all; {found.cleared_early:,} violations cleared"
            f" before they fired. {found.samples:,} values of {found.sensors:,} sensors were looked at."
        )


def _saved(rule_id: int) -> tuple[Rule, Any]:
    rule = Rule.objects.select_related("network").filter(pk=rule_id).first()
    if rule is None:
        raise CommandError(f"There is no rule {rule_id}.")
    return rule, matching_sensors(rule).order_by("identifier").iterator()


def _described(options: dict[str, Any]) -> tuple[Rule, Any]:
    if not options["network"]:
        raise CommandError("Name a saved rule (--rule ID), or the --network of the one that is to be tried.")
    network = network_named(options["network"])
    listed = None
    if options["sensors"]:
        listed = list(Sensor.objects.filter(network=network, identifier__in=options["sensors"]))
        missing = sorted(set(options["sensors"]) - {sensor.identifier for sensor in listed})
        if missing:
            raise CommandError(f"There is no sensor {missing[0]} in {network.slug}.")
    given = {name: options[name] for name in _LIMITS if options[name] is not None}
    rule = draft_rule(network, name="backtest", kind=options["kind"], sensors=listed, **given)
    sensors = sensors_in_scope(network, kind=rule.kind, scope=rule.scope, listed=[sensor.pk for sensor in listed or ()])
    return rule, sensors.order_by("identifier").iterator()


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text) or parse_datetime(f"{text}T00:00:00")
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{text!r} is no time; write it like 2026-03-01T12:00:00Z or 2026-03-01 (UTC).")
    return moment if moment.tzinfo else timezone.make_aware(moment, timezone.get_default_timezone())
