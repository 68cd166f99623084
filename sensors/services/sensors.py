"""Gateways and sensors."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from sensors.activity import recheck_silence
from sensors.errors import Invalid, NotFound
from sensors.models import Gateway, Network, Sensor
from sensors.services.checks import check_labels, check_span, clean, unique

_CHANGEABLE: Final = frozenset({"name", "gateway", "labels", "period_s", "grace_s"})


def create_gateway(network: Network, *, identifier: str, name: str = "") -> Gateway:
    """Return the new gateway. Raises Invalid and IdentifierTaken, naming the field."""
    gateway = Gateway(network=network, identifier=identifier, name=name)
    clean(gateway, "identifier", "name")
    with unique("identifier", identifier):
        gateway.save(force_insert=True)
    return gateway


def update_gateway(gateway: Gateway, *, name: str) -> Gateway:
    """Return the gateway with another name; its identifier and network never change."""
    gateway.name = name
    clean(gateway, "name")
    gateway.save(update_fields=["name"])
    return gateway


def delete_gateway(gateway: Gateway) -> None:
    """Delete the gateway; its sensors stay, without one."""
    with transaction.atomic():
        gateway.delete()


def create_sensor(
    network: Network,
    *,
    identifier: str,
    name: str = "",
    gateway: Gateway | None = None,
    labels: Mapping[str, str | int | float | bool] | None = None,
    period_s: int = 60,
    grace_s: int = 30,
) -> Sensor:
    """Return the new sensor, which counts as `new` until it is heard.

    period_s: how often it is expected to be heard; grace_s: how much later it may be. Raises Invalid (also for a
    gateway of another network) and IdentifierTaken, naming the field.
    """
    sensor = Sensor(
        network=network,
        identifier=identifier,
        name=name,
        gateway=gateway,
        labels={} if labels is None else labels,
        period_s=period_s,
        grace_s=grace_s,
    )
    _check(sensor, "identifier", "name")
    with unique("identifier", identifier):
        sensor.save(force_insert=True)
    return sensor


def update_sensor(sensor: Sensor, *, now: datetime, **changes: Any) -> Sensor:
    """Return the sensor with `name`, `gateway`, `labels`, `period_s`, `grace_s` changed as given.

    With another period or grace its silence is judged anew. Raises Invalid, naming the field; also for identifier
    and network, which never change.
    """
    for field in changes.keys() - _CHANGEABLE:
        raise Invalid("This never changes.", field=field)
    for field, value in changes.items():
        setattr(sensor, field, value)
    _check(sensor, "name")
    if not changes:
        return sensor
    with transaction.atomic():
        if not Sensor.objects.select_for_update(no_key=True).filter(pk=sensor.pk).exists():
            raise NotFound(f"The sensor {sensor.identifier} was deleted.")
        sensor.save(update_fields=[*changes, "updated_at"])
        if changes.keys() & {"period_s", "grace_s"}:
            recheck_silence([sensor.pk], now=now)
    return sensor


def delete_sensor(sensor: Sensor) -> None:
    """Delete the sensor with its revisions; it leaves a tombstone, from which broker and telemetry are cleared."""
    with transaction.atomic():
        # First, as the evaluation does: rows that point at the sensor come after it.
        Sensor.objects.select_for_update().filter(pk=sensor.pk).first()
        sensor.delete()


def _check(sensor: Sensor, *fields: str) -> None:
    clean(sensor, *fields)
    check_span(sensor.period_s, field="period_s", least=1)
    check_span(sensor.grace_s, field="grace_s", least=0)
    check_labels(sensor.labels)
    if sensor.gateway is not None and sensor.gateway.network_id != sensor.network_id:
        raise Invalid(f"The gateway {sensor.gateway.identifier} is in another network.", field="gateway")
