"""The threshold rules that samples are to be held against, locked against their editors."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from alerts.evaluation import Threshold, threshold
from alerts.models import Rule


@dataclass(frozen=True, slots=True)
class WatchedRule:
    """A rule and its limits as they are evaluated."""

    rule: Rule
    limits: Threshold


# Shared with the other evaluators; an editor (FOR UPDATE) waits for them and they for the editor, and then for
# what the editor wrote: the condition is checked again on the new row.
_WATCHED: Final = """
SELECT * FROM alerts_rule
WHERE enabled AND kind = 'threshold' AND attribute = ANY(%s)
  AND network_id IN (SELECT network_id FROM sensors_sensor WHERE id = ANY(%s))
ORDER BY id FOR SHARE
"""


def watched_rules(sensor_ids: Collection[int], attributes: Collection[str]) -> dict[int, WatchedRule]:
    """Return by id the enabled threshold rules of the sensors' networks for `attributes`.

    Inside a transaction: until its end nobody edits or deletes them.
    """
    found = {}
    for rule in Rule.objects.raw(_WATCHED, [list(attributes), list(sensor_ids)]):
        limits = threshold(
            above=rule.above,
            below=rule.below,
            hysteresis=rule.hysteresis,
            for_s=rule.for_s,
            keep_firing_s=rule.keep_firing_s,
        )
        found[rule.pk] = WatchedRule(rule, limits)
    return found
