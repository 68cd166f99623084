"""`python -m tests.bench.setup fleet SENSORS`, `… rules RULES SENSORS INTERVAL_S`, `… months START END`, `… roll_up`:
what needs Django, in DATABASE_URL.

A process of its own, so that the bench itself can look into several databases.
"""

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402 - the settings come first
from django.core.management import call_command, get_commands  # noqa: E402

from alerts.demo import create_demo_rules  # noqa: E402
from alerts.models import VALUE_KINDS, Rule, RuleScope  # noqa: E402
from alerts.services import create_rule  # noqa: E402
from sensors.models import Network, Sensor  # noqa: E402
from sensors.services import create_network, create_token  # noqa: E402
from telemetry.partitions import ensure_months, months_of  # noqa: E402
from tests.bench.installation import NETWORK  # noqa: E402
from tests.bench.watched import WatchingRule, labels_of, watching_rules  # noqa: E402


def make_fleet(sensors: int) -> str:
    """Migrate; make a network of `s-0` and so on, and `probe`, with rules that match all; return its owner's token.

    Of the demo's rules five are thresholds, one for each attribute that is sent; the others watch for silence.
    """
    call_command("migrate", verbosity=0)
    user = get_user_model().objects.create_user("bench", is_staff=True)
    network = create_network(slug=NETWORK, name="Bench", owner=user)
    names = [*(f"s-{number}" for number in range(sensors)), "probe"]
    # A trigger makes each one's state, whatever the path.
    Sensor.objects.bulk_create([Sensor(identifier=name, network=network) for name in names], batch_size=1_000)
    create_demo_rules(network)
    return create_token(user, name="bench", days=1)[1]


def make_rules(watching: Sequence[WatchingRule]) -> None:
    """Replace the network's rules about values by `watching`, and give its sensors the labels that these select by."""
    network = Network.objects.get(slug=NETWORK)
    Rule.objects.filter(network=network, kind__in=VALUE_KINDS).delete()
    sensors = {sensor.identifier: sensor for sensor in Sensor.objects.filter(identifier__startswith="s-")}
    for number in range(len(sensors)):
        sensors[f"s-{number}"].labels = labels_of(number)
    Sensor.objects.bulk_update(sensors.values(), ["labels"], batch_size=1_000)
    for rule in watching:
        create_rule(
            network,
            name=rule.name,
            kind=rule.kind,
            sensors=[sensors[f"s-{number}"] for number in rule.sensors] if rule.scope == RuleScope.SENSORS else None,
            labels=rule.labels if rule.scope == RuleScope.LABELS else None,
            author=None,
            attribute=rule.attribute,
            above=rule.above,
            below=rule.below,
            hysteresis=rule.hysteresis,
            for_s=rule.for_s,
        )


def make_months(start_at: datetime, end_at: datetime) -> None:
    """Make the partitions from `start_at` to `end_at`."""
    days = range((end_at - start_at).days + 2)
    ensure_months(months_of(min(start_at + timedelta(days=day), end_at) for day in days))


def roll_up() -> None:
    """Bring the rollups up to date, where this release has them."""
    if "roll_up" in get_commands():
        call_command("roll_up")


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["fleet", sensors]:
            print(make_fleet(int(sensors)))
        case ["rules", rules, sensors, interval_s]:
            make_rules(watching_rules(int(rules), sensors=int(sensors), interval_s=float(interval_s)))
        case ["months", start, end]:
            make_months(datetime.fromisoformat(start), datetime.fromisoformat(end))
        case ["roll_up"]:
            roll_up()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
