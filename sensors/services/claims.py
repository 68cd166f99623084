"""Sensors that introduce themselves: codes, what devices ask by them, and what operators decide."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from sensors.claim_codes import hash_code, hash_proof, new_code, prefix_of
from sensors.errors import Conflict, DomainError, Forbidden, Gone, IdentifierTaken, Invalid, NotFound
from sensors.models import (
    AuditEntry,
    Claim,
    ClaimCode,
    ClaimCodeState,
    ClaimState,
    Gateway,
    Network,
    Sensor,
    SensorCredential,
    SensorState,
    User,
)
from sensors.sealing import Unreadable, seal, unseal
from sensors.secrets import HashedSecret
from sensors.services.checks import check_labels, clean
from sensors.services.credentials import Login, issue_credential
from sensors.services.sensors import create_sensor, update_sensor

# How soon a device is to ask again. Whoever admits it sees it come within this time; a thousand that wait make 67
# requests a second.
RETRY_AFTER_S: Final = 15
# How long a device may fetch its login again when the answer was lost on its way; less if it was heard meanwhile.
AGAIN_FOR: Final = timedelta(minutes=15)
# How long decided claims are remembered after the device asked last: one that was refused stays so.
REMEMBERED_FOR: Final = timedelta(days=30)
# How long a code is good unless its maker says otherwise: a delivery is set up by then.
DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 3_650
MAX_SENSORS: Final = 1_000_000
# A claim that asks often writes its row once in so long.
_NOTED_EVERY: Final = timedelta(seconds=10)
_PURPOSE: Final = "passwords that wait for claiming sensors"
# One text for all, so that it tells nothing of codes to who has none.
_REFUSAL: Final = "Refused: the claim code is wrong, revoked, expired or used up, or somebody said no to this device."
_OVER: Final = "To begin anew, make a new proof and claim again."


class WrongCode(Forbidden):
    """There is no such code; it looks like any other refusal, and counts as a guess."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one claim of many. state: the one that was decided, None if not; error: why not, else None."""

    id: int
    identifier: str
    state: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: claims that nobody decided, old ones that were decided, and passwords that were forgotten."""

    given_up: int
    forgotten: int
    passwords: int


def create_claim_code(
    network: Network, *, name: str, days: int | None, max_sensors: int | None = None, author: User | None, now: datetime
) -> tuple[ClaimCode, str]:
    """Return a new code's row and the code itself, which is shown here and never again.

    days: how long it lets devices ask, None for ever; max_sensors: so many are admitted by it at most. Raises Invalid.
    """
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise Invalid(f"{days} is not from 1 to {MAX_DAYS} days.", field="days")
    if max_sensors is not None and not 1 <= max_sensors <= MAX_SENSORS:
        raise Invalid(f"{max_sensors} is not from 1 to {MAX_SENSORS}.", field="max_sensors")
    code = new_code()
    row = ClaimCode(
        network=network,
        name=name,
        digest=hash_code(code),
        prefix=prefix_of(code),
        created_by=author,
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
        max_sensors=max_sensors,
    )
    clean(row, "name")
    row.save(force_insert=True)
    return row, code


def revoke_claim_code(code: ClaimCode, *, author: User | None, now: datetime) -> ClaimCode:
    """Return the code, by which nobody asks any more; what waits by it is refused. Who was admitted stays.

    Raises Conflict if it was revoked before.
    """
    with transaction.atomic():
        row = _locked_code(code.pk)
        if row is None:
            raise NotFound("The code was deleted with its network.")
        if row.revoked_at is not None:
            raise Conflict(f"The code {row.name!r} was revoked before.")
        row.revoked_at = now
        row.save(update_fields=["revoked_at"])
        row.claims.filter(state=ClaimState.WAITING).update(state=ClaimState.REFUSED, decided_by=author, decided_at=now)
    return row


def present_claim(
    code: str,
    *,
    identifier: str,
    proof: str,
    name: str = "",
    labels: Mapping[str, Any] | None = None,
    address: str = "",
    now: datetime,
) -> Login | None:
    """Return the device's login once it was admitted; None while it waits. The same call again is the poll.

    Raises WrongCode for a code that there is not, Forbidden for one that has ended and for who was refused (both say
    the same, as for a network that is deleted meanwhile), Gone when the login was fetched and used or is not the
    sensor's any more, and Conflict when too many wait by this code. What is known of the identifier in other networks
    changes nothing of the answer.
    """
    found = ClaimCode.objects.filter(digest=hash_code(code)).first()
    if found is None:
        raise WrongCode(_REFUSAL)
    claim = found.claims.filter(identifier=identifier, proof_hash=hash_proof(proof)).first()
    if claim is None:
        # Who asked while the code was good is answered as was decided, also when it is not any more. Who asks for the
        # first time by one that has ended is no guesser: a delivery of devices may have come too late.
        if found.state(now=now) != ClaimCodeState.ACTIVE:
            raise Forbidden(_REFUSAL)
        _add_claim(found, identifier, proof, name=name, labels=labels or {}, address=address, now=now)
        return None
    if now - claim.last_asked_at >= _NOTED_EVERY:
        Claim.objects.filter(pk=claim.pk).update(last_asked_at=now, address=address)
    if claim.state == ClaimState.WAITING:
        return None
    if claim.state == ClaimState.REFUSED:
        raise Forbidden(_REFUSAL)
    return _collect(claim.pk, now=now)


def approve_claim(
    claim: Claim,
    *,
    author: User | None,
    now: datetime,
    replace: bool = False,
    name: str | None = None,
    gateway: Gateway | None = None,
    labels: Mapping[str, Any] | None = None,
) -> Claim:
    """Return the claim, admitted: its sensor is there, with a login that the device fetches when it asks next.

    name, labels: in the place of what the device said; gateway: of the same network. replace: where a sensor of the
    network has this identifier, the device becomes that sensor; its older login ends. Raises Conflict if somebody
    decided before, the code is used up, or there is such a sensor and `replace` was not said; Invalid and
    IdentifierTaken, naming the field. Of several at once one wins, and one sensor is made.
    """
    with transaction.atomic():
        row = _waiting(claim)
        code = row.code
        if code.max_sensors is not None and code.used >= code.max_sensors:
            raise Conflict(
                f"The code {code.name!r} was for {code.max_sensors} sensors, and all of them are admitted;"
                " make another code, or make the sensor by hand."
            )
        sensor = Sensor.objects.filter(network_id=row.network_id, identifier=row.identifier).first()
        if sensor is None:
            try:
                sensor = create_sensor(
                    row.network,
                    identifier=row.identifier,
                    name=row.name if name is None else name,
                    gateway=gateway,
                    labels=dict(row.labels if labels is None else labels),
                )
            except IdentifierTaken as error:
                # Who decides chooses no identifier; who set up the device does.
                raise IdentifierTaken(
                    f"Another sensor of this service is called {row.identifier} already; refuse this device and give it"
                    " another identifier.",
                    field=error.field,
                ) from error
        elif not replace:
            raise Conflict(
                f"The network has a sensor {row.identifier} already. Admit this device in its place (`replace`: it"
                " gets a new password, and the older one ends), or refuse it."
            )
        else:
            said = {"name": name, "gateway": gateway, "labels": None if labels is None else dict(labels)}
            changes = {field: value for field, value in said.items() if value is not None}
            sensor = update_sensor(sensor, now=now, **changes)
        login = issue_credential(sensor, author=author, now=now)
        row.sensor = sensor
        row.sealed_password = seal(login.password, purpose=_PURPOSE, keys=[settings.SECRET_KEY])
        _decide(row, ClaimState.APPROVED, author=author, now=now)
        ClaimCode.objects.filter(pk=code.pk).update(used=F("used") + 1)
    return row


def refuse_claim(claim: Claim, *, author: User | None, now: datetime) -> Claim:
    """Return the claim, refused: the device hears it whenever it asks. Raises Conflict if somebody decided before."""
    with transaction.atomic():
        row = _waiting(claim)
        _decide(row, ClaimState.REFUSED, author=author, now=now)
    return row


def decide_claims(
    claims: list[Claim], *, approve: bool, author: User | None, now: datetime, replace: bool = False
) -> list[Decided]:
    """Approve or refuse each of them and return what became of it, in their order; each stands alone.

    Of several that ask for one identifier in a network the first is approved: with `replace` the second would throw it
    out again.
    """
    done = []
    admitted: set[tuple[int, str]] = set()
    for claim in claims:
        place = (claim.network_id, claim.identifier)
        try:
            if approve and place in admitted:
                raise Conflict(
                    f"Another device was just admitted as {claim.identifier}; only one can be. Refuse this one."
                )
            if approve:
                row = approve_claim(claim, author=author, now=now, replace=replace)
                admitted.add(place)
            else:
                row = refuse_claim(claim, author=author, now=now)
            done.append(Decided(claim.pk, claim.identifier, row.state, None))
        except DomainError as error:
            done.append(Decided(claim.pk, claim.identifier, None, error.detail))
    return done


def sweep_claims(*, now: datetime) -> Swept:
    """Give up what nobody decided for CLAIM_DAYS, forget passwords that were fetched or that nobody fetches, and
    delete what was decided long ago.
    """
    days = timedelta(days=settings.CLAIM_DAYS)
    given_up, _ = Claim.objects.filter(state=ClaimState.WAITING, first_asked_at__lt=now - days).delete()
    over = Q(state=ClaimState.COLLECTED) & (
        Q(collected_at__lt=now - AGAIN_FOR) | Q(sensor__state__last_seen_at__gt=F("collected_at")) | Q(sensor=None)
    )
    unfetched = Q(state=ClaimState.APPROVED) & (Q(decided_at__lt=now - days) | Q(sensor=None))
    ids = list(Claim.objects.exclude(sealed_password="").filter(over | unfetched).values_list("pk", flat=True))
    passwords = Claim.objects.filter(pk__in=ids).update(sealed_password="")
    long_ago = now - REMEMBERED_FOR
    old = Claim.objects.filter(last_asked_at__lt=long_ago, decided_at__lt=long_ago)
    forgotten, _ = old.delete()
    return Swept(given_up, forgotten, passwords)


def _add_claim(
    code: ClaimCode, identifier: str, proof: str, *, name: str, labels: Mapping[str, Any], address: str, now: datetime
) -> None:
    row = Claim(
        code=code,
        network_id=code.network_id,
        identifier=identifier,
        name=name,
        labels=check_labels(dict(labels)),
        proof_hash=hash_proof(proof),
        address=address,
        first_asked_at=now,
        last_asked_at=now,
    )
    clean(row, "identifier", "name")
    with transaction.atomic():
        # One after the other, so that no flood passes the limit, and none is added to a code while it is revoked.
        locked = _locked_code(code.pk)
        if locked is None or locked.state(now=now) != ClaimCodeState.ACTIVE:
            raise Forbidden(_REFUSAL)
        if code.claims.filter(state=ClaimState.WAITING).count() >= settings.CLAIMS_PER_CODE:
            raise Conflict("Too many devices wait by this code; ask again when somebody has decided on them.")
        # The same request may have been sent twice at once.
        Claim.objects.bulk_create([row], ignore_conflicts=True)


def _collect(pk: int, *, now: datetime) -> Login:
    """Return the login of an admitted claim; raises Gone, after the password was forgotten.

    Raises Forbidden if the claim went meanwhile: its network was deleted, or the sweep forgot it.
    """
    with transaction.atomic():
        row = Claim.objects.select_for_update(no_key=True).filter(pk=pk).first()
        if row is None:
            raise Forbidden(_REFUSAL)
        login, reason = _open(row, now=now)
        if login is None:
            row.sealed_password = ""
        elif row.collected_at is None:
            row.state, row.collected_at = ClaimState.COLLECTED, now
        row.save(update_fields=["sealed_password", "state", "collected_at"])
    if login is None:
        raise Gone(f"{reason} {_OVER}")
    return login


def _open(row: Claim, *, now: datetime) -> tuple[Login | None, str]:
    """Return the login that the claim still holds, or why it holds none."""
    fetched = "This login was fetched before, and is not given out again."
    if row.collected_at is not None:
        heard_at = SensorState.objects.filter(sensor=row.sensor_id).values_list("last_seen_at", flat=True).first()
        if now - row.collected_at > AGAIN_FOR or (heard_at is not None and heard_at > row.collected_at):
            return None, fetched
    if not row.sealed_password:
        return None, fetched if row.collected_at else "This login waited too long and was given up."
    # Somebody may have rotated or revoked it by hand, or deleted the sensor.
    credential = SensorCredential.objects.filter(sensor=row.sensor_id).first() if row.sensor_id else None
    try:
        password = unseal(row.sealed_password, purpose=_PURPOSE, keys=[settings.SECRET_KEY])
    except Unreadable:
        return None, "This login cannot be read any more."
    if (
        credential is None
        or not credential.secret_hash
        or not HashedSecret.parse(credential.secret_hash).matches(password)
    ):
        return None, "This login was revoked or replaced, or its sensor deleted."
    return Login(credential.identifier, password), ""


def _locked_code(pk: int) -> ClaimCode | None:
    """Return the code, locked; None if it was deleted with its network."""
    return ClaimCode.objects.select_for_update(no_key=True).filter(pk=pk).first()


def _waiting(claim: Claim) -> Claim:
    """Return the claim locked, after its code; Conflict unless it waits."""
    code = _locked_code(claim.code_id)
    row = Claim.objects.select_for_update(no_key=True).filter(pk=claim.pk).first()
    if code is None or row is None:
        raise NotFound(f"The claim of {claim.identifier} is not there any more.")
    if row.state != ClaimState.WAITING:
        done = "refused" if row.state == ClaimState.REFUSED else "admitted"
        by = f" by {row.decided_by.get_username()}" if row.decided_by else ""
        raise Conflict(f"The claim of {row.identifier} was {done} already{by}.")
    row.code = code
    return row


def _decide(row: Claim, state: ClaimState, *, author: User | None, now: datetime) -> None:
    row.state, row.decided_by, row.decided_at = state, author, now
    row.save(update_fields=["state", "decided_by", "decided_at", "sensor", "sealed_password"])
    # Neither what was sealed nor any hash is part of it.
    AuditEntry.objects.log_create(
        row, force_log=True, action=AuditEntry.Action.UPDATE, changes={"state": [ClaimState.WAITING.value, state.value]}
    )
