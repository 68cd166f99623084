"""Rules as people write them."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Field

from alerts.models import (
    BRIDGE_AWAY_AFTER_S,
    LOG_WINDOW_S,
    VALUE_KINDS,
    Alert,
    AlertSeverity,
    Resolution,
    Rule,
    RuleKind,
    RuleScope,
)
from alerts.rendering import RULE_FIELDS
from alerts.services.announce import announce_alerts
from alerts.services.endings import end_rule
from alerts.services.locks import close_turnstile
from alerts.services.scopes import check_scope_labels
from alerts.windows import MAX_COUNT
from sensors.errors import Invalid, NotFound
from sensors.models import Network, Sensor, User
from sensors.services.checks import check_span, clean

_COMMON: Final = ("name", "enabled", "severity")
# In the order in which they are checked, so that the same mistake always names the same field.
_LIMITS: Final = tuple(dict.fromkeys(name for names in RULE_FIELDS.values() for name in names))
# A list that one request and one row of history can hold; larger sets are what labels are for.
MAX_LISTED: Final = 1_000


def create_rule(
    network: Network,
    *,
    name: str,
    kind: RuleKind | str,
    sensors: Iterable[Sensor] | None = None,
    labels: Mapping[str, Any] | None = None,
    enabled: bool = True,
    severity: AlertSeverity | str = AlertSeverity.WARNING,
    author: User | None,
    **limits: Any,
) -> Rule:
    """Return the new rule of `network`, for all of its sensors, the listed ones, or those with all of `labels`.

    limits: the fields of its kind (`RULE_FIELDS`). Once this has returned (and its transaction is committed) the
    rule holds for every sample that is received. Raises Invalid naming the field.
    """
    listed = None if sensors is None else list(sensors)
    rule = draft_rule(network, name=name, kind=kind, sensors=listed, labels=labels, **limits)
    rule.enabled, rule.severity, rule.created_by = enabled, severity, author
    check_rule(rule)
    with transaction.atomic():
        if listed is not None:
            _lock_sensors(listed)
        rule.save(force_insert=True)
        if listed is not None:
            rule.sensors.set(listed)
    return rule


def draft_rule(
    network: Network,
    *,
    name: str,
    kind: RuleKind | str,
    sensors: list[Sensor] | None = None,
    labels: Mapping[str, Any] | None = None,
    **limits: Any,
) -> Rule:
    """Return the rule that `create_rule` would make, checked and not saved. Raises Invalid naming the field."""
    rule = Rule(network=network, name=name, kind=kind)
    _set_limits(rule, limits)
    _set_scope(rule, sensors, labels)
    check_rule(rule)
    return rule


def update_rule(rule: Rule, *, now: datetime, **changes: Any) -> Rule:
    """Return the rule with name, enabled, severity, its limits or its scope changed.

    The scope is changed by `scope` with `sensors` or `labels`. Kind and network never change. Whatever was open by
    the old form is resolved in the same transaction (a new name alone ends nothing), and nobody evaluates the old
    form after it. Raises Invalid naming the field, NotFound if the rule was deleted meanwhile.
    """
    allowed = {*_COMMON, *_LIMITS, "scope", "sensors", "labels"}
    for field in changes.keys() - allowed:
        raise Invalid("This never changes.", field=field)
    changes = dict(changes)
    listed = changes.pop("sensors", None)
    listed = None if listed is None else list(listed)
    with transaction.atomic():
        # Turnstile, sensors, rules: the order of locks that everybody keeps.
        _stop_evaluations(rule)
        if listed is not None:
            _lock_sensors(listed, leaving=rule)
        locked = _lock(rule)
        before = _form(locked)
        labels = changes.pop("labels", None)
        scope = changes.pop("scope", None)
        _set_limits(locked, {name: changes.pop(name) for name in list(changes) if name in _LIMITS})
        for field, value in changes.items():
            setattr(locked, field, value)
        if scope is not None or listed is not None or labels is not None:
            _set_scope(locked, listed, labels)
        check_rule(locked)
        after = _form(locked, listed=listed)
        changed = {name for name in after if after[name] != before[name]}
        if changed - {"name"}:
            reason = Resolution.RULE_DISABLED if before["enabled"] and not locked.enabled else Resolution.RULE_EDITED
            end_rule(locked, reason=reason, now=now)
        elif changed:
            _rename(locked, now=now)
        if changed:
            locked.save()
            if "listed" in changed:
                locked.sensors.set(listed or [])
    return locked


def delete_rule(rule: Rule, *, now: datetime) -> None:
    """Delete the rule; its open alerts are resolved with that reason and, like all of its alerts, stay.

    Raises NotFound if somebody was quicker.
    """
    with transaction.atomic():
        _stop_evaluations(rule)
        locked = _lock(rule)
        end_rule(locked, reason=Resolution.RULE_DELETED, now=now)
        locked.delete()


def check_rule(rule: Rule) -> None:
    """Raise Invalid, naming the field, unless the rule's fields make sense for its kind and together."""
    clean(rule, "name", "kind", "severity", "scope", "attribute")
    if not rule.name.strip():
        raise Invalid("A rule has a name.", field="name")
    for field in _LIMITS:
        if field not in RULE_FIELDS[rule.kind] and getattr(rule, field) != _default(field):
            raise Invalid(f"Only for rules of another kind, not for {rule.kind}.", field=field)
    if rule.kind in VALUE_KINDS:
        _check_limits(rule)
        return
    if rule.kind == RuleKind.LOG_SEVERITY:
        _check_window(rule)
        return
    if rule.kind == RuleKind.CONFIGURATION_FAILURE:
        check_span(_whole(rule, "timeout_s"), field="timeout_s", least=1)
        return
    if rule.period_s is not None:
        check_span(_whole(rule, "period_s"), field="period_s", least=1)
    if rule.grace_s is not None:
        check_span(_whole(rule, "grace_s"), field="grace_s", least=0)
    if rule.window_s is not None:
        check_span(_whole(rule, "window_s"), field="window_s", least=1)
    if not 0 < _finite(rule, "share") <= 1:
        raise Invalid("A share is above 0 and at most 1 (all of the gateway's sensors).", field="share")
    if rule.kind == RuleKind.BRIDGE_AWAY and rule.scope != RuleScope.NETWORK:
        raise Invalid("The bridges serve the whole network; name it instead.", field=RuleScope(rule.scope).value)


def _check_limits(rule: Rule) -> None:
    if not rule.attribute:
        raise Invalid(f"A {rule.kind} rule names the attribute that it watches.", field="attribute")
    if rule.above is None and rule.below is None:
        raise Invalid(f"A {rule.kind} rule has a limit: above, below or both.", field="above")
    above = math.inf if rule.above is None else _finite(rule, "above")
    below = -math.inf if rule.below is None else _finite(rule, "below")
    hysteresis = _finite(rule, "hysteresis")
    if hysteresis < 0:
        raise Invalid("A hysteresis is not negative: it is how far inside a value clears.", field="hysteresis")
    if below > above:
        raise Invalid(f"The lower limit {below:g} is above the upper limit {above:g}.", field="below")
    if below + hysteresis > above - hysteresis:
        raise Invalid(
            f"With a hysteresis of {hysteresis:g} no value between {below:g} and {above:g} would ever clear.",
            field="hysteresis",
        )
    for field in ("for_s", "keep_firing_s"):
        check_span(_whole(rule, field), field=field, least=0)


def _check_window(rule: Rule) -> None:
    clean(rule, "log_severity")
    if type(rule.count) is not int or not 1 <= rule.count <= MAX_COUNT:
        raise Invalid(f"{rule.count!r} is not a whole number from 1 to {MAX_COUNT} messages.", field="count")
    check_span(_whole(rule, "window_s"), field="window_s", least=1)


def _finite(rule: Rule, field: str) -> float:
    value = getattr(rule, field)
    if type(value) not in (int, float) or not abs(value) <= 1.7976931348623157e308:
        raise Invalid(f"{value!r} is no finite number.", field=field)
    return float(value)


def _whole(rule: Rule, field: str) -> int:
    value = getattr(rule, field)
    if type(value) is not int:
        raise Invalid(f"{value!r} is no whole number of seconds.", field=field)
    return value


def _set_limits(rule: Rule, limits: Mapping[str, Any]) -> None:
    for field, value in limits.items():
        if field not in _LIMITS:
            raise Invalid("There is no such field.", field=field)
        # null, in forms empty, means "as if it was not given", also where the column holds a default.
        setattr(rule, field, _default(field) if value is None or value == "" else value)
    if rule.kind == RuleKind.BRIDGE_AWAY and rule.period_s is None:
        rule.period_s = BRIDGE_AWAY_AFTER_S
    if rule.kind == RuleKind.LOG_SEVERITY and rule.window_s is None:
        rule.window_s = LOG_WINDOW_S


def _default(field: str) -> Any:
    column = Rule._meta.get_field(field)
    assert isinstance(column, Field)
    return column.get_default()


def _set_scope(rule: Rule, listed: list[Sensor] | None, labels: Mapping[str, Any] | None) -> None:
    if listed is not None and labels is not None:
        raise Invalid("Give sensors or labels, not both.", field="labels")
    rule.scope, rule.labels = RuleScope.NETWORK, {}
    if listed is not None:
        if not 1 <= len(listed) <= MAX_LISTED:
            raise Invalid(f"List from 1 to {MAX_LISTED} sensors; labels select more.", field="sensors")
        strangers = [sensor.identifier for sensor in listed if sensor.network_id != rule.network_id]
        if strangers:
            raise Invalid(f"The sensor {strangers[0]} is in another network.", field="sensors")
        rule.scope = RuleScope.SENSORS
    elif labels is not None:
        rule.scope, rule.labels = RuleScope.LABELS, check_scope_labels(labels)


def _form(rule: Rule, *, listed: list[Sensor] | None = None) -> dict[str, Any]:
    """Return everything that an edit can change, comparable."""
    form: dict[str, Any] = {name: getattr(rule, name) for name in (*_COMMON, *_LIMITS, "scope", "labels")}
    if rule.scope != RuleScope.SENSORS:
        form["listed"] = set()
    elif listed is None:
        form["listed"] = set(rule.sensors.values_list("pk", flat=True))
    else:
        form["listed"] = {sensor.pk for sensor in listed}
    return form


def _stop_evaluations(rule: Rule) -> None:
    with connection.cursor() as cursor:
        close_turnstile(cursor, rule.network_id)


def _lock(rule: Rule) -> Rule:
    """Return the rule as it is now, locked against evaluators (FOR SHARE) and other editors until the end."""
    locked = Rule.objects.select_for_update(of=("self",)).select_related("network").filter(pk=rule.pk).first()
    if locked is None:
        raise NotFound(f"The rule {rule.name} was deleted.")
    return locked


def _lock_sensors(sensors: list[Sensor], *, leaving: Rule | None = None) -> None:
    """Keep the sensors from being deleted while they are put into a rule's list, or taken out of `leaving`'s."""
    ids = {sensor.pk for sensor in sensors}
    leaving_ids = set() if leaving is None else set(leaving.sensors.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM sensors_sensor WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE", [list(ids | leaving_ids)]
        )
        if not ids <= {row[0] for row in cursor.fetchall()}:
            raise Invalid("A sensor of the list was deleted meanwhile.", field="sensors")


def _rename(rule: Rule, *, now: datetime) -> None:
    """Let the open alerts carry the rule's new name."""
    is_open = Alert.objects.filter(rule=rule, resolved_at__isnull=True)
    ids = list(is_open.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    Alert.objects.filter(pk__in=ids).update(rule_name=rule.name, updated_at=now)
    announce_alerts(ids, now=now)
