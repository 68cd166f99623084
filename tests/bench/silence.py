"""`python -m tests.bench.silence make SENSORS`, `… sweep OVERDUE SWEEPS`: what needs Django of the work `sweep`.

Its time is that of the bridge's watermark and no other, and moves on by a second from sweep to sweep, as in a running
installation.
"""

import json
import os
import random
import sys
import time
from datetime import datetime, timedelta
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleet.settings")
django.setup()

from django.db import connection  # noqa: E402 - the settings come first
from django.utils import timezone  # noqa: E402

from alerts.models import Alert  # noqa: E402
from alerts.services import create_rule, sweep  # noqa: E402
from alerts.services.sweep import Swept  # noqa: E402
from fleet.garbage import collect_less  # noqa: E402
from sensors.models import Sensor, Watermark  # noqa: E402
from sensors.services import create_network  # noqa: E402

NETWORK: Final = "silence"
# What the configurations say, and what comes of it by the network's factor of 3 and the sensors' grace.
INTERVAL_S: Final = 100
PERIOD_S: Final = 300
GRACE_S: Final = 30
# One sensor in five is behind a gateway, twenty behind each.
SENSORS_PER_GATEWAY: Final = 20
# One sensor in so many has been silent for a day: every fleet has some that are broken, behind gateways and not.
SENSORS_PER_BROKEN: Final = 1_009

_MAKE: Final = (
    """
INSERT INTO sensors_gateway (identifier, network_id, name, created_at)
SELECT 'gateway-' || i, %(network)s, '', %(at)s - interval '30 days'
FROM generate_series(0, %(sensors)s / (5 * %(behind)s) - 1) AS i
""",
    """
INSERT INTO sensors_sensor
    (identifier, network_id, gateway_id, name, labels, period_s, grace_s, created_at, updated_at)
SELECT 'q-' || i, %(network)s, gateway.id, '', '{}', %(period_s)s, %(grace_s)s,
       %(at)s - interval '30 days', %(at)s - interval '30 days'
FROM generate_series(0, %(sensors)s - 1) AS i
LEFT JOIN sensors_gateway AS gateway
    ON i %% 5 = 0 AND gateway.identifier = 'gateway-' || (i / 5 %% (%(sensors)s / (5 * %(behind)s)))
ORDER BY i
""",
    """
INSERT INTO config_revision (sensor_id, number, "values", comment, created_at, published_at, acknowledged_at)
SELECT id, 0, jsonb_build_object('interval_s', %(interval_s)s), '', created_at, created_at, created_at
FROM sensors_sensor WHERE network_id = %(network)s
""",
    """
UPDATE sensors_sensorstate AS state SET
    last_seen_at = made.at, overdue_at = made.at + %(period_s)s * interval '1 second', announced_status = 'up'
FROM (
    SELECT id, %(at)s - CASE WHEN id %% %(broken)s = 0 THEN interval '1 day'
                             ELSE random() * %(interval_s)s * interval '1 second' END AS at
    FROM sensors_sensor WHERE network_id = %(network)s
) AS made
WHERE state.sensor_id = made.id
""",
    # Of each sensor there is a note besides, which covers its configuration.
    "DELETE FROM alerts_scopechange WHERE of_configuration",
    # A running installation does so by itself.
    "ANALYZE",
)
# Whoever was heard is looked at again when a period and the grace are over: in each second some hundreds.
_SPREAD: Final = """
UPDATE alerts_rulestate SET check_at = %(at)s + random() * (check_at - %(at)s) WHERE check_at > %(at)s
"""
# Heard as often as its configuration says.
_HEAR: Final = """
UPDATE sensors_sensorstate SET
    last_seen_at = %(at)s - random() * %(interval_s)s * interval '1 second',
    overdue_at = %(at)s + (%(period_s)s - %(interval_s)s) * interval '1 second', announced_status = 'up'
WHERE sensor_id = ANY(%(sensors)s)
"""
# As if each had been heard last so long ago that its time is over half a second before `at`.
_MISS: Final = (
    """
UPDATE sensors_sensorstate SET
    last_seen_at = %(over_at)s - (%(period_s)s + %(grace_s)s) * interval '1 second',
    overdue_at = %(over_at)s, announced_status = 'late'
WHERE sensor_id = ANY(%(sensors)s)
""",
    "UPDATE alerts_rulestate SET check_at = %(over_at)s WHERE sensor_id = ANY(%(sensors)s)",
)
_OVERDUE: Final = "SELECT id, rule_id, sensor_id FROM alerts_rulestate WHERE check_at < %s ORDER BY check_at"


def make(count: int) -> None:
    """Make `count` sensors with acknowledged configurations, one staleness rule and one about gateways, all settled."""
    at = timezone.now()
    network = create_network(slug=NETWORK, name="Silence", owner=None)
    _execute(*_MAKE, at=at, network=network.pk, sensors=count, broken=SENSORS_PER_BROKEN, behind=SENSORS_PER_GATEWAY)
    create_rule(network, name="Sensor is silent", kind="staleness", author=None)
    create_rule(network, name="Gateway is silent", kind="gateway_silence", share=0.5, author=None)
    Watermark.objects.create(shard="0/1", drained_until=at, steady_since=at - timedelta(days=30))
    _expect(sweep(now=at), opened=count // SENSORS_PER_BROKEN, matched=True)
    _execute(_SPREAD, at=at)


def run_sweeps(overdue: int, sweeps: int) -> dict[str, list[float]]:
    """Return the ms of `sweeps` sweeps that find `overdue` sensors newly overdue, of as many that find nothing due, and
    of as many bare looks at what is due; with how many rows these found.

    No worker runs. Raises RuntimeError unless each opens exactly its alerts.
    """
    at = Watermark.objects.get().drained_until
    assert at is not None
    # As the worker, which sweeps in a running installation.
    collect_less()
    watched = Sensor.objects.filter(network__slug=NETWORK).order_by("pk").values_list("pk", flat=True)
    well = [sensor_id for sensor_id in watched if sensor_id % SENSORS_PER_BROKEN]
    _execute(_HEAR, at=at, sensors=well)
    # Statements are planned, connections opened.
    _settle(at)
    found: dict[str, list[float]] = {"sweep": [], "empty": [], "select": [], "due": []}
    for _ in range(sweeps):
        found["empty"].append(_timed(lambda at=at: _expect(sweep(now=at), opened=0)))
        at += timedelta(seconds=1)
        missing = random.Random(f"{at}").sample(well, overdue)
        _execute(*_MISS, over_at=at - timedelta(seconds=0.5), sensors=missing)
        Watermark.objects.update(drained_until=at)
        with connection.cursor() as cursor:
            found["select"].append(_timed(lambda at=at, cursor=cursor: cursor.execute(_OVERDUE, [at])))
            found["due"].append(cursor.rowcount)
        found["sweep"].append(_timed(lambda at=at: _expect(sweep(now=at), opened=overdue)))
        opened = Alert.objects.filter(fired_at=at, resolved_at=None).values_list("sensor", flat=True)
        if sorted(opened) != sorted(missing):
            raise RuntimeError(
                f"alerts were opened of {len(opened)} sensors, and not of the {overdue} that are overdue"
            )
        _execute(_HEAR, at=at, sensors=missing)
        _settle(at)
    return found


def _settle(at: datetime) -> None:
    """Sweep what is due or heard again."""
    _expect(sweep(now=at), opened=0)


def _expect(swept: Swept, *, opened: int, matched: bool = False) -> None:
    if swept.is_busy or swept.opened != opened or bool(swept.matched) is not matched:
        raise RuntimeError(f"{opened} alerts were to be opened: {swept}")


def _timed(work: Any) -> float:
    began_s = time.perf_counter()
    work()
    return 1_000 * (time.perf_counter() - began_s)


def _execute(*statements: str, **values: Any) -> None:
    values |= {"interval_s": INTERVAL_S, "period_s": PERIOD_S, "grace_s": GRACE_S}
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, values)


def main(arguments: list[str]) -> None:
    """Do what the arguments say."""
    match arguments:
        case ["make", sensors]:
            make(int(sensors))
        case ["sweep", overdue, sweeps]:
            print(json.dumps(run_sweeps(int(overdue), int(sweeps))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
