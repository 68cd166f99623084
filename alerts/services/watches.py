"""The rules about values that samples are to be held against, locked against their editors."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from alerts.evaluation import Threshold, calm_band, threshold
from alerts.models import Rule, RuleKind, RuleScope
from alerts.queries import MATCHES


@dataclass(frozen=True, slots=True)
class WatchedRule:
    """As much of a rule as every evaluation needs; what an alert takes over from it is read where one begins.

    labels: as the database writes them, to be compared.
    """

    id: int
    network_id: int
    scope: str
    labels: str
    kind: str
    attribute: str
    limits: Threshold


class Watch(NamedTuple):
    """The rules of one attribute that hold for the same sensors; low, high: what lies between concerns none of them.

    groups: the rules, those of each scope together. rates: the same for how the value changes; None where no rule
    looks at it.
    """

    groups: tuple[Sequence[WatchedRule], ...]
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
SELECT id, network_id, scope, labels::text, kind, attribute, above, below, hysteresis, for_s, keep_firing_s
FROM alerts_rule
WHERE enabled AND kind IN ('threshold', 'rate_of_change') AND attribute = ANY(%s)
  AND network_id IN (SELECT network_id FROM sensors_sensor WHERE id = ANY(%s))
ORDER BY id FOR SHARE
"""


def watched_rules(cursor: Any, sensor_ids: Collection[int], attributes: Collection[str]) -> dict[int, WatchedRule]:
    """Return by id the enabled rules about values of the sensors' networks for `attributes`.

    Inside a transaction: until its end nobody edits or deletes them.
    """
    cursor.execute(_WATCHED, [list(attributes), list(sensor_ids)])
    return {row[0]: _watched_rule(row) for row in cursor.fetchall()}


def _watched_rule(row: Sequence[Any]) -> WatchedRule:
    rule_id, network_id, scope, labels, kind, attribute, above, below, hysteresis, for_s, keep_firing_s = row
    limits = threshold(above=above, below=below, hysteresis=hysteresis, for_s=for_s, keep_firing_s=keep_firing_s)
    return WatchedRule(rule_id, network_id, scope, labels, kind, attribute, limits)


# Each sensor is looked up by its key, whatever the planner believes: when a storm has just filled the table its
# statistics are those of an empty one, and a plan made for these took seconds. Rules that list sensors are found by
# the sensor, because nearly all of them list others.
_COVERED: Final = f"""
WITH sensor AS MATERIALIZED (
    SELECT sensor.* FROM unnest(%(sensors)s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM sensors_sensor WHERE id = wanted.id LIMIT 1) AS sensor
)
SELECT id, array_agg(rule_id) FROM (
    SELECT sensor.id, rule.id AS rule_id FROM sensor
    JOIN alerts_rule AS rule ON rule.id = ANY(%(others)s) AND {MATCHES}
    UNION ALL
    SELECT sensor.id, rule.id FROM sensor
    JOIN alerts_rule_sensors AS listed ON listed.sensor_id = sensor.id
    JOIN alerts_rule AS rule ON rule.id = listed.rule_id AND rule.network_id = sensor.network_id
    WHERE rule.id = ANY(%(listing)s)
) AS covered
GROUP BY id
"""  # noqa: S608 - only constants of this app


def watches_of(
    cursor: Any, rules: Mapping[int, WatchedRule], sensor_ids: Collection[int]
) -> dict[int, dict[str, Watch]]:
    """Return by sensor and attribute those of `rules` that hold; sensors without any are left out.

    Costs scopes by sensors and not rules by sensors: rules that say the same of whom they cover are matched once.
    """
    scopes = _scopes(rules.values())
    listing = [first for first in scopes if rules[first].scope == RuleScope.SENSORS]
    others = list(scopes.keys() - set(listing))
    cursor.execute(_COVERED, {"sensors": list(sensor_ids), "others": others, "listing": listing})
    # Sensors that the same scopes cover share their watches.
    joined: dict[frozenset[int], dict[str, Watch]] = {}
    found = {}
    for sensor_id, covering in cursor.fetchall():
        key = frozenset(covering)
        if key not in joined:
            joined[key] = _join_all([scopes[first] for first in key])
        found[sensor_id] = joined[key]
    return found


def _scopes(rules: Iterable[WatchedRule]) -> dict[int, dict[str, Watch]]:
    """Return by attribute the watches of each scope, under the id of one of the rules that have it."""
    groups: dict[tuple[Any, ...], list[WatchedRule]] = {}
    for rule in rules:
        # Whom two rules list is not compared.
        said = rule.id if rule.scope == RuleScope.SENSORS else rule.labels
        groups.setdefault((rule.network_id, rule.scope, said), []).append(rule)
    scopes = {}
    for group in groups.values():
        by_attribute: dict[str, list[WatchedRule]] = {}
        for rule in group:
            by_attribute.setdefault(rule.attribute, []).append(rule)
        scopes[group[0].id] = {attribute: _watch(some) for attribute, some in by_attribute.items()}
    return scopes


def _watch(rules: list[WatchedRule]) -> Watch:
    values = [rule for rule in rules if rule.kind == RuleKind.THRESHOLD]
    changes = [rule for rule in rules if rule.kind == RuleKind.RATE_OF_CHANGE]
    rates = Watch((changes,), *calm_band(rule.limits for rule in changes)) if changes else None
    return Watch((values,), *calm_band(rule.limits for rule in values), rates)


def _join_all(scopes: Iterable[Mapping[str, Watch]]) -> dict[str, Watch]:
    joined: dict[str, Watch] = {}
    for scope in scopes:
        for attribute, watch in scope.items():
            known = joined.get(attribute)
            joined[attribute] = watch if known is None else _join(known, watch)
    return joined


def _join(one: Watch, other: Watch) -> Watch:
    rates = one.rates or other.rates
    if one.rates is not None and other.rates is not None:
        rates = _join(one.rates, other.rates)
    low = one.low if one.low > other.low else other.low
    high = one.high if one.high < other.high else other.high
    return Watch(one.groups + other.groups, low, high, rates)
