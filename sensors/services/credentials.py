"""Credentials of sensors at the broker: issued, rotated, revoked, and brought there by the bridges."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from sensors.errors import Invalid, NotFound
from sensors.models import AuditEntry, Sensor, SensorCredential, User
from sensors.sealing import Unreadable, seal, unseal
from sensors.secrets import HashedSecret, hash_secret, new_secret

_PURPOSE: Final = "secrets of sensors on their way to the broker"
# Hashing takes a tenth of a millisecond each; what is locked meanwhile are the sensors of one request.
_ROWS_PER_STATEMENT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Login:
    """How a sensor logs in at the broker. client_id: the only one that it may connect with."""

    username: str
    password: str

    @property
    def client_id(self) -> str:
        """The sensor's identifier, as the username is."""
        return self.username

    def __repr__(self) -> str:
        return f"Login({self.username!r})"


@dataclass(frozen=True, slots=True)
class DueCredential:
    """An account that the broker is to have, or (without a password) to have no more."""

    id: int
    identifier: str
    change: UUID
    password: str | None


def broker_asks() -> bool:
    """Return whether the broker asks for accounts by itself, so that nothing has to be brought to it.

    Then what the database says is so at once: a new credential is active, and one that was revoked lets nobody in.
    """
    return bool(settings.MQTT_ACCOUNTS != "dynamic-security")


def issue_credential(sensor: Sensor, *, author: User | None, now: datetime) -> Login:
    """Return a new login for the sensor, whose older one ends; the password is shown here and never again.

    The broker takes it within about a second while a bridge is connected, or at once if it asks for accounts. Raises
    NotFound if the sensor was deleted.
    """
    logins = issue_credentials([sensor], author=author, now=now)
    if not logins:
        raise NotFound(f"The sensor {sensor.identifier} was deleted.")
    return logins[0]


def issue_credentials(sensors: Sequence[Sensor], *, author: User | None, now: datetime) -> list[Login]:
    """Return new logins for the sensors, in their order, as `issue_credential` does; deleted ones are left out.

    Raises Invalid, and issues none, if one of them is named like a login of the service itself.
    """
    for sensor in sensors:
        if sensor.identifier in settings.MQTT_RESERVED_USERNAMES:
            raise Invalid(
                f"{sensor.identifier!r} is a login of the service itself; no sensor can have it.",
                field="identifier",
            )
    asks = broker_asks()
    with transaction.atomic():
        # Until the end of the transaction none of them can be deleted, which would revoke what is not there yet.
        there = set(
            Sensor.objects.select_for_update(no_key=True)
            .filter(pk__in=[sensor.pk for sensor in sensors])
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        logins = [Login(sensor.identifier, new_secret()) for sensor in sensors if sensor.pk in there]
        ids = {sensor.identifier: sensor.pk for sensor in sensors}
        SensorCredential.objects.bulk_create(
            [
                SensorCredential(
                    identifier=login.username,
                    sensor_id=ids[login.username],
                    secret_hash=str(hash_secret(login.password)),
                    sealed_secret="" if asks else seal(login.password, purpose=_PURPOSE, keys=[settings.SECRET_KEY]),
                    change=uuid4(),
                    changed_at=now,
                    changed_by=author,
                    applied_at=now if asks else None,
                )
                # In the order in which `mark_applied` takes them.
                for login in sorted(logins, key=lambda login: login.username)
            ],
            batch_size=_ROWS_PER_STATEMENT,
            update_conflicts=True,
            unique_fields=["identifier"],
            update_fields=[
                *("sensor", "secret_hash", "sealed_secret", "change", "changed_at", "changed_by"),
                *("applied_at", "missing_at"),
            ],
        )
        for sensor in sensors:
            if sensor.pk in there:
                _audit(sensor, "issued")
    return logins


def revoke_credential(sensor: Sensor, *, author: User | None, now: datetime) -> SensorCredential:
    """Return the sensor's credential, which lets nobody in any more; its connection is closed by the broker.

    A broker that asks for accounts may leave it open (docs/brokers.md). Raises NotFound if there is none, or none any
    more.
    """
    with transaction.atomic():
        revoked = SensorCredential.objects.filter(sensor=sensor).exclude(secret_hash="").update(
            secret_hash="", sealed_secret="", change=uuid4(), changed_at=now, changed_by=author,
            applied_at=now if broker_asks() else None, missing_at=None,
        )  # fmt: skip
        if not revoked:
            raise NotFound(f"The sensor {sensor.identifier} has no credential.")
        _audit(sensor, "revoked")
    return SensorCredential.objects.get(sensor=sensor)


def due_credentials(*, limit: int, after: int = 0, now: datetime) -> list[DueCredential]:
    """Return what the broker does not have yet as it is to be, oldest first, past id `after`.

    One whose secret cannot be read any more (SECRET_KEY was changed in between) is marked as missing: it can only be
    rotated.
    """
    rows = SensorCredential.objects.filter(applied_at__isnull=True, missing_at__isnull=True, pk__gt=after)
    due, unreadable = [], []
    for row in rows.order_by("pk")[:limit]:
        try:
            password = _opened(row) if row.secret_hash else None
        except Unreadable:
            unreadable.append(row.change)
            continue
        due.append(DueCredential(row.pk, row.identifier, row.change, password))
    if unreadable:
        rows.filter(change__in=unreadable).update(sealed_secret="", missing_at=now)
    return due


def mark_applied(changes: Collection[UUID], *, now: datetime) -> int:
    """Record that the broker has what these changes made; return how many of them are still the newest.

    The secret is forgotten; what is left of a deleted sensor is deleted.
    """
    with transaction.atomic():
        rows = SensorCredential.objects.filter(change__in=changes)
        list(rows.select_for_update(no_key=True).order_by("identifier").values_list("pk"))
        applied = rows.update(applied_at=now, sealed_secret="", missing_at=None)
        rows.filter(sensor__isnull=True).delete()
    return applied


def settle_credentials(*, now: datetime) -> int:
    """Record that a broker that asks has everything as it is to be; return how much was new.

    What was on its way to another broker, and what deleted sensors left.
    """
    with transaction.atomic():
        due = SensorCredential.objects.filter(Q(applied_at__isnull=True) | Q(missing_at__isnull=False))
        ids = list(due.select_for_update(no_key=True).order_by("identifier").values_list("pk", flat=True))
        if not ids:
            return 0
        rows = SensorCredential.objects.filter(pk__in=ids)
        settled = rows.update(applied_at=now, sealed_secret="", missing_at=None)
        rows.filter(sensor__isnull=True).delete()
    return settled


def compare_credentials(at_broker: Iterable[str], *, listed_at: datetime, now: datetime) -> tuple[set[str], list[str]]:
    """Compare with the identifiers that the broker had accounts for; return (those it should not have, lost ones).

    listed_at: before the broker was asked. Lost are those that it had taken by then: they are marked as missing, and
    those that are there again no more.
    """
    names = set(at_broker)
    wanted = SensorCredential.objects.exclude(secret_hash="")
    known = dict(wanted.values_list("identifier", "applied_at"))
    lost = sorted(name for name, at in known.items() if at is not None and at < listed_at and name not in names)
    wanted.filter(identifier__in=lost, missing_at__isnull=True).update(missing_at=now)
    wanted.filter(applied_at__isnull=False, missing_at__isnull=False, identifier__in=names).update(missing_at=None)
    return names - known.keys(), lost


def hashed_secrets() -> dict[str, HashedSecret]:
    """Return the hashes of all credentials that are not revoked, by identifier: what a broker's own file needs."""
    rows = SensorCredential.objects.exclude(secret_hash="").values_list("identifier", "secret_hash")
    return {identifier: HashedSecret.parse(stored) for identifier, stored in rows.iterator()}


def _audit(sensor: Sensor, what: str) -> None:
    """Say in the history of the sensor who did it; the rows themselves are of no interest, and hold secrets."""
    AuditEntry.objects.log_create(
        sensor, force_log=True, action=AuditEntry.Action.UPDATE, changes={"credential": ["", what]}
    )


def _opened(row: SensorCredential) -> str:
    return unseal(row.sealed_secret, purpose=_PURPOSE, keys=[settings.SECRET_KEY])
