"""The rules of the demo network, for the values that the simulated sensors send."""

from typing import Any, Final

from django.db import transaction

from alerts.models import AlertSeverity, Rule, RuleKind
from alerts.services.rules import create_rule
from sensors.models import Network

DEMO_RULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "Temperature outside 0–50 °C",
        "kind": RuleKind.THRESHOLD,
        "attribute": "temperature",
        "below": 0.0,
        "above": 50.0,
        "hysteresis": 0.5,
    },
    {
        "name": "Humidity outside 10–90 %",
        "kind": RuleKind.THRESHOLD,
        "attribute": "humidity",
        "below": 10.0,
        "above": 90.0,
        "hysteresis": 1.0,
    },
    {
        "name": "Voltage outside 200–240 V",
        "kind": RuleKind.THRESHOLD,
        "attribute": "voltage",
        "below": 200.0,
        "above": 240.0,
        "hysteresis": 1.0,
    },
    {
        "name": "Current outside 0–10 A",
        "kind": RuleKind.THRESHOLD,
        "attribute": "current",
        "below": 0.0,
        "above": 10.0,
        "hysteresis": 0.1,
    },
    {
        "name": "Pressure outside 900–1100 hPa",
        "kind": RuleKind.THRESHOLD,
        "attribute": "pressure",
        "below": 900.0,
        "above": 1100.0,
        "hysteresis": 1.0,
    },
    {"name": "Sensor is silent", "kind": RuleKind.STALENESS},
    {"name": "Gateway is silent", "kind": RuleKind.GATEWAY_SILENCE, "severity": AlertSeverity.CRITICAL},
)


def create_demo_rules(network: Network) -> list[Rule]:
    """Return the demo rules that were made: all of them if `network` has no rule yet, else none.

    What was edited stays, and what was deleted does not come back. Two that seed at once wait for each other.
    """
    with transaction.atomic():
        Network.objects.select_for_update(no_key=True).get(pk=network.pk)
        if Rule.objects.filter(network=network).exists():
            return []
        return [create_rule(network, author=None, **fields) for fields in DEMO_RULES]
