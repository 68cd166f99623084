"""Spans of time in which alerts are recorded and disturb nobody."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from alerts.models import AlertSeverity, Silence
from alerts.queries import visible_rules
from alerts.services.operated import only_operated_network, require_operator
from sensors import queries as sensors_queries
from sensors.errors import Invalid, NotFound
from sensors.models import Network, User
from sensors.services.checks import clean
from sensors.wire import PayloadError, check_text

MATCHERS: Final = ("network", "sensor", "rule", "severity", "label")


def create_silence(
    *,
    user: User,
    matchers: Mapping[str, Any],
    ends_at: datetime,
    starts_at: datetime | None = None,
    comment: str = "",
    now: datetime,
) -> Silence:
    """Return the new silence for alerts that all of `matchers` match, from `starts_at` (now) to `ends_at`.

    matchers: network (slug), sensor (identifier), rule (id), severity, label ("key:value"); at least one. It holds
    in one network: that of network, sensor or rule, else the only one that the user operates. Raises Invalid naming
    the field, Forbidden where the user is no operator.
    """
    network, checked = _check_matchers(user, matchers)
    require_operator(user, network)
    silence = Silence(
        network=network,
        matchers=checked,
        starts_at=starts_at or now,
        ends_at=ends_at,
        comment=comment,
        created_by=user,
    )
    _check_span(silence)
    if ends_at <= now:
        raise Invalid("It would have ended already.", field="ends_at")
    with transaction.atomic():
        silence.save(force_insert=True)
    return silence


def update_silence(
    silence: Silence, *, starts_at: datetime | None = None, ends_at: datetime | None = None, comment: str | None = None
) -> Silence:
    """Return the silence with another span or comment; what it matches never changes.

    To end one early, set `ends_at` to now. Raises Invalid naming the field, NotFound if it was deleted meanwhile.
    """
    with transaction.atomic():
        locked = (
            Silence.objects.select_for_update(of=("self",))
            .select_related("network", "created_by")
            .filter(pk=silence.pk)
            .first()
        )
        if locked is None:
            raise NotFound("The silence was deleted.")
        locked.starts_at = starts_at or locked.starts_at
        locked.ends_at = ends_at or locked.ends_at
        locked.comment = locked.comment if comment is None else comment
        _check_span(locked)
        locked.save(update_fields=["starts_at", "ends_at", "comment"])
    return locked


def delete_silence(silence: Silence) -> None:
    """Delete the silence; who made it and when stays in the audit log."""
    with transaction.atomic():
        silence.delete()


def _check_span(silence: Silence) -> None:
    clean(silence, "comment")
    if silence.ends_at <= silence.starts_at:
        raise Invalid("A silence ends after it starts.", field="ends_at")


def _check_matchers(user: User, matchers: Mapping[str, Any]) -> tuple[Network, dict[str, Any]]:
    if not matchers:
        raise Invalid(f"Name at least one of {', '.join(MATCHERS)}.", field="matchers")
    unknown = sorted(str(name)[:50] for name in matchers.keys() - set(MATCHERS))
    if unknown:
        raise Invalid(f"There is no matcher {unknown[0]!r}; there are {', '.join(MATCHERS)}.", field="matchers")
    networks: list[Network] = []
    for name, value in matchers.items():
        found = _FINDERS[name](user, value)
        if found is not None:
            networks.append(found)
    if not networks:
        networks = [only_operated_network(user, field="matchers", why="name the one, or a sensor or rule of it.")]
    if any(network != networks[0] for network in networks):
        raise Invalid("Network, sensor and rule are not in the same network.", field="matchers")
    return networks[0], dict(matchers)


def _find_network(user: User, value: Any) -> Network:
    network = None
    if isinstance(value, str):
        network = sensors_queries.visible_networks(user).filter(slug=_text(value)).first()
    return _found(network, "network", value)


def _find_sensor(user: User, value: Any) -> Network:
    sensor = None
    if isinstance(value, str):
        sensor = sensors_queries.visible_sensors(user).select_related("network").filter(identifier=_text(value)).first()
    return _found(None if sensor is None else sensor.network, "sensor", value)


def _find_rule(user: User, value: Any) -> Network:
    rule = None
    if type(value) is int and abs(value) < 2**63:
        rule = visible_rules(user).select_related("network").filter(pk=value).first()
    return _found(None if rule is None else rule.network, "rule", value)


def _check_severity(_user: User, value: Any) -> None:
    if value not in AlertSeverity.values:
        raise Invalid(f"A severity is one of {', '.join(AlertSeverity.values)}.", field="matchers")


def _check_label(_user: User, value: Any) -> None:
    if not isinstance(value, str) or ":" not in _text(value):
        raise Invalid("A label is matched as text of the form key:value.", field="matchers")


_FINDERS: Final[dict[str, Callable[[User, Any], Network | None]]] = {
    "network": _find_network,
    "sensor": _find_sensor,
    "rule": _find_rule,
    "severity": _check_severity,
    "label": _check_label,
}


def _found(network: Network | None, name: str, value: Any) -> Network:
    if network is None:
        raise Invalid(f"There is no {name} {str(value)[:100]!r} that you may see.", field="matchers")
    return network


def _text(value: str) -> str:
    try:
        check_text(value, "a matcher")
    except PayloadError as error:
        raise Invalid(f"{error.detail}.", field="matchers") from error
    return value
