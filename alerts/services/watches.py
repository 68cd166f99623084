"""The rules about values that samples are to be held against, locked against their editors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from alerts.evaluation import Threshold, calm_band, threshold
from alerts.models import Rule, RuleKind
from alerts.queries import MATCHES


@dataclass(frozen=True, slots=True)
class WatchedRule:
    """A rule and its limits as they are evaluated."""

    rule: Rule
    limits: Threshold


@dataclass(frozen=True, slots=True)
class Watch:
    """The rules of one attribute that hold for the same sensors; low, high: what lies between concerns none of them.

    rates: the same for how the value changes; None where no rule looks at it.
    """

    rules: list[WatchedRule]
    low: float
    high: float
    rates: "Watch | None" = None


def limits_of(rule: Rule) -> Threshold:
    """Return the limits of a rule about values."""
    return threshold(
        above=rule.above,
        below=rule.below,
        hysteresis=rule.hysteresis,
        for_s=rule.for_s,
        keep_firing_s=rule.keep_firing_s,
    )


# Shared with the other evaluators; an editor (FOR UPDATE) waits for them and they for the editor, and then for
# what the editor wrote: the condition is checked again on the new row.
_WATCHED: Final = """
SELECT * FROM alerts_rule
WHERE enabled AND kind IN ('threshold', 'rate_of_change') AND attribute = ANY(%s)
  AND network_id IN (SELECT network_id FROM sensors_sensor WHERE id = ANY(%s))
ORDER BY id FOR SHARE
"""


def watched_rules(sensor_ids: Collection[int], attributes: Collection[str]) -> dict[int, WatchedRule]:
    """Return by id the enabled rules about values of the sensors' networks for `attributes`.

    Inside a transaction: until its end nobody edits or deletes them.
    """
    found = {}
    for rule in Rule.objects.raw(_WATCHED, [list(attributes), list(sensor_ids)]):
        found[rule.pk] = WatchedRule(rule, limits_of(rule))
    return found


# Each sensor is looked up by its key, whatever the planner believes: when a storm has just filled the table its
# statistics are those of an empty one, and a plan made for these took seconds.
_COVERED: Final = f"""
SELECT rule_ids, array_agg(sensor_id) FROM (
    SELECT sensor.id AS sensor_id, array_agg(rule.id ORDER BY rule.id) AS rule_ids
    FROM unnest(%s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM sensors_sensor WHERE id = wanted.id LIMIT 1) AS sensor
    JOIN alerts_rule AS rule ON rule.id = ANY(%s) AND {MATCHES}
    GROUP BY sensor.id
) AS covered
GROUP BY rule_ids
"""  # noqa: S608 - only constants of this app


def watches_of(
    cursor: Any, rules: Mapping[int, WatchedRule], sensor_ids: Collection[int]
) -> dict[int, dict[str, Watch]]:
    """Return by sensor and attribute those of `rules` that hold; sensors without any are left out."""
    cursor.execute(_COVERED, [list(sensor_ids), list(rules)])
    found: dict[int, dict[str, Watch]] = {}
    for rule_ids, covered_ids in cursor.fetchall():
        by_attribute: dict[str, list[WatchedRule]] = {}
        for rule_id in rule_ids:
            watched = rules[rule_id]
            by_attribute.setdefault(watched.rule.attribute, []).append(watched)
        watches = {attribute: _watch(group) for attribute, group in by_attribute.items()}
        found |= dict.fromkeys(covered_ids, watches)
    return found


def _watch(rules: list[WatchedRule]) -> Watch:
    values = [watched for watched in rules if watched.rule.kind == RuleKind.THRESHOLD]
    changes = [watched for watched in rules if watched.rule.kind == RuleKind.RATE_OF_CHANGE]
    rates = Watch(changes, *calm_band(watched.limits for watched in changes)) if changes else None
    return Watch(values, *calm_band(watched.limits for watched in values), rates)
