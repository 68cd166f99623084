"""Claims as rows: codes as they are typed, the sweep, and several who decide at once."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from sensors import tasks
from sensors.claim_codes import ALPHABET, hash_code, new_code
from sensors.errors import Conflict, Forbidden, Gone
from sensors.models import (
    Claim,
    ClaimCode,
    ClaimState,
    Network,
    Sensor,
    SensorCredential,
    SensorState,
    User,
)
from sensors.services import (
    approve_claim,
    create_claim_code,
    create_network,
    decide_claims,
    delete_network,
    present_claim,
    refuse_claim,
    revoke_claim_code,
    sweep_claims,
)
from sensors.services.credentials import hashed_secrets
from tests.together import at_once, beside
from tests.waiting import wait_until

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PROOF = "aQ3Tn0_v8Zb1xLk7RyPw2Hd5"


@pytest.fixture
def network(db: None) -> Network:
    return create_network(slug="hall", owner=None)


@pytest.fixture
def code(network: Network) -> str:
    return create_claim_code(network, name="Delivery", days=365, author=None, now=NOW)[1]


def asked(code: str, identifier: str = "s-1", *, now: datetime = NOW) -> Claim:
    assert present_claim(code, identifier=identifier, proof=PROOF, now=now) is None
    return Claim.objects.get(identifier=identifier)


def approved(code: str, identifier: str = "s-1", *, now: datetime = NOW) -> Claim:
    return approve_claim(asked(code, identifier, now=now), author=None, now=now)


def test_a_code_has_100_random_bits_in_characters_that_are_not_taken_for_each_other() -> None:
    codes = {new_code() for _ in range(100)}
    assert len(codes) == 100
    for code in codes:
        groups = code.split("-")
        assert [len(group) for group in groups] == [4] * 5
        assert set("".join(groups)) <= set(ALPHABET)
    assert len(ALPHABET) == 32
    assert not set("ILOU") & set(ALPHABET)


@pytest.mark.parametrize("typed", ["0A1B-2C3D", "0a1b2c3d", "oAIb 2c3D", "OAlB-2-C3D"])
def test_a_code_means_the_same_however_it_is_typed(typed: str) -> None:
    assert hash_code(typed) == hash_code("0A1B-2C3D")
    assert hash_code("0A1B-2C3E") != hash_code("0A1B-2C3D")


def test_a_claim_that_nobody_decided_ends_and_may_be_made_anew(code: str, settings: Any) -> None:
    asked(code, "old")
    asked(code, "new", now=NOW + 5 * DAY)
    assert sweep_claims(now=NOW + 7 * DAY).given_up == 0
    assert sweep_claims(now=NOW + 7 * DAY + timedelta(seconds=1)).given_up == 1
    assert [claim.identifier for claim in Claim.objects.all()] == ["new"]
    asked(code, "old", now=NOW + 8 * DAY)
    settings.CLAIM_DAYS = 1
    assert sweep_claims(now=NOW + 8 * DAY).given_up == 1


def test_a_password_is_forgotten_once_it_was_fetched_and_when_nobody_fetches_it(code: str) -> None:
    fetched, heard, unfetched = (approved(code, name) for name in ("fetched", "heard", "unfetched"))
    for claim in (fetched, heard):
        assert present_claim(code, identifier=claim.identifier, proof=PROOF, now=NOW) is not None
    assert sweep_claims(now=NOW).passwords == 0
    SensorState.objects.filter(sensor__identifier="heard").update(last_seen_at=NOW + timedelta(seconds=1))
    assert sweep_claims(now=NOW + timedelta(seconds=2)).passwords == 1
    assert sweep_claims(now=NOW + timedelta(minutes=16)).passwords == 1
    assert [claim.identifier for claim in Claim.objects.exclude(sealed_password="")] == ["unfetched"]
    assert sweep_claims(now=NOW + 8 * DAY).passwords == 1
    with pytest.raises(Gone, match="waited too long"):
        present_claim(code, identifier=unfetched.identifier, proof=PROOF, now=NOW + 8 * DAY)
    # The sensor and its credential are there; only the way to it has ended.
    assert hashed_secrets().keys() == {"fetched", "heard", "unfetched"}


def test_who_was_refused_stays_so_while_it_asks_and_is_forgotten_in_the_end(code: str) -> None:
    refuse_claim(asked(code), author=None, now=NOW)
    for days in (20, 40, 60):
        sweep_claims(now=NOW + days * DAY)
        with pytest.raises(Forbidden):
            present_claim(code, identifier="s-1", proof=PROOF, now=NOW + days * DAY)
    assert sweep_claims(now=NOW + 91 * DAY).forgotten == 1
    assert not Claim.objects.exists()


def test_the_schedule_sweeps(code: str) -> None:
    asked(code)
    tasks.sweep()
    assert not Claim.objects.exists()


def test_a_password_sealed_with_another_key_is_gone(code: str, settings: Any) -> None:
    approved(code)
    settings.SECRET_KEY = "another key, with which nothing was sealed"
    with pytest.raises(Gone, match="cannot be read"):
        present_claim(code, identifier="s-1", proof=PROOF, now=NOW)


def test_a_deleted_network_takes_its_codes_and_claims_with_it(code: str, network: Network) -> None:
    approved(code)
    asked(code, "s-2")
    delete_network(network)
    assert not ClaimCode.objects.exists()
    assert not Claim.objects.exists()
    with pytest.raises(Forbidden):
        present_claim(code, identifier="s-2", proof=PROOF, now=NOW)


def test_a_sensor_that_was_deleted_beside_the_services_has_no_login_to_fetch(code: str) -> None:
    approved(code)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sensors_sensorstate")
        cursor.execute("DELETE FROM sensors_sensor WHERE identifier = 's-1'")
    with pytest.raises(Gone, match="its sensor deleted"):
        present_claim(code, identifier="s-1", proof=PROOF, now=NOW)


def test_the_database_holds_no_password_of_who_was_not_admitted(code: str) -> None:
    claim = asked(code)
    with pytest.raises(IntegrityError, match="claim_undecided_has_no_password"), transaction.atomic():
        Claim.objects.filter(pk=claim.pk).update(sealed_password="x")


@pytest.mark.parametrize("replace", [False, True])
def test_of_rivals_that_are_approved_together_the_first_keeps_its_login(
    network: Network, code: str, replace: bool
) -> None:
    proofs = [f"{letter}Q3Tn0_v8Zb1xLk7RyPw2Hd5" for letter in "abc"]
    for proof in proofs:
        assert present_claim(code, identifier="s-1", proof=proof, now=NOW) is None
    chosen = list(Claim.objects.order_by("pk"))
    done = decide_claims(chosen, approve=True, replace=replace, author=None, now=NOW)
    assert [each.state for each in done] == [ClaimState.APPROVED, None, None]
    assert all("only one can be" in (each.error or "") for each in done[1:])
    login = present_claim(code, identifier="s-1", proof=proofs[0], now=NOW)
    assert login is not None
    assert hashed_secrets()["s-1"].matches(login.password)
    assert [present_claim(code, identifier="s-1", proof=proof, now=NOW) for proof in proofs[1:]] == [None, None]


# --- Several at once ------------------------------------------------------------------------------


@pytest.fixture
def people(transactional_db: None) -> list[User]:
    return [User.objects.create_user(f"operator-{number}") for number in range(4)]


def test_of_several_who_approve_at_once_one_makes_the_sensor(people: list[User], network: Network, code: str) -> None:
    claim = asked(code)
    done = at_once(*[lambda who=who: approve_claim(claim, author=who, now=NOW) for who in people], expected=Conflict)
    assert sorted(type(each).__name__ for each in done) == ["Claim", "Conflict", "Conflict", "Conflict"]
    winner = next(each for each in done if isinstance(each, Claim))
    assert all(f"by {winner.decided_by}" in each.detail for each in done if isinstance(each, Conflict))
    assert Sensor.objects.get() == winner.sensor
    assert ClaimCode.objects.get().used == 1
    login = present_claim(code, identifier="s-1", proof=PROOF, now=NOW)
    assert login is not None
    assert hashed_secrets()["s-1"].matches(login.password)


def test_approving_and_refusing_at_once_leaves_one_decision(people: list[User], network: Network, code: str) -> None:
    claim = asked(code)
    done = at_once(
        lambda: approve_claim(claim, author=people[0], now=NOW),
        lambda: refuse_claim(claim, author=people[1], now=NOW),
        expected=Conflict,
    )
    assert sorted(type(each).__name__ for each in done) == ["Claim", "Conflict"]
    is_admitted = Claim.objects.get().state == ClaimState.APPROVED
    assert Sensor.objects.exists() is SensorCredential.objects.exists() is is_admitted


def test_a_code_for_one_admits_one_of_several_approved_at_once(people: list[User], network: Network) -> None:
    _, code = create_claim_code(network, name="One", days=1, max_sensors=1, author=None, now=NOW)
    claims = [asked(code, f"s-{number}") for number in range(4)]
    done = at_once(
        *[lambda claim=claim: approve_claim(claim, author=None, now=NOW) for claim in claims], expected=Conflict
    )
    assert sorted(type(each).__name__ for each in done) == ["Claim", "Conflict", "Conflict", "Conflict"]
    assert Sensor.objects.count() == ClaimCode.objects.get().used == 1


def test_one_device_that_asks_twice_at_once_is_one_claim(people: list[User], network: Network, code: str) -> None:
    done = at_once(*[lambda: present_claim(code, identifier="s-1", proof=PROOF, now=NOW)] * 4)
    assert done == [None] * 4
    assert Claim.objects.count() == 1


def test_the_limit_holds_for_devices_that_come_at_once(
    people: list[User], network: Network, code: str, settings: Any
) -> None:
    settings.CLAIMS_PER_CODE = 2
    names = [f"s-{number}" for number in range(5)]
    done = at_once(
        *[lambda name=name: present_claim(code, identifier=name, proof=PROOF, now=NOW) for name in names],
        expected=Conflict,
    )
    assert sorted(type(each).__name__ for each in done) == ["Conflict"] * 3 + ["NoneType"] * 2
    assert Claim.objects.count() == 2


@contextmanager
def refused_meanwhile(code: str) -> Iterator[list[Forbidden]]:
    """Run the block while a device that asks waits for locked codes and claims; the list has its refusal at the end."""
    refusals: list[Forbidden] = []
    are_locked = threading.Event()

    def ask() -> None:
        assert are_locked.wait(10)
        with pytest.raises(Forbidden) as refusal:
            present_claim(code, identifier="s-1", proof=PROOF, now=NOW)
        refusals.append(refusal.value)

    with beside(ask), transaction.atomic():
        list(ClaimCode.objects.select_for_update())
        list(Claim.objects.select_for_update())
        are_locked.set()
        wait_until(_somebody_waits_for_us, 10, "the device to wait for its code or claim")
        yield refusals


def test_nothing_is_left_waiting_by_a_code_that_is_revoked_while_devices_ask(
    people: list[User], network: Network, code: str
) -> None:
    with refused_meanwhile(code) as refusals:
        revoke_claim_code(ClaimCode.objects.get(), author=None, now=NOW)
    assert len(refusals) == 1
    assert not Claim.objects.exists()


@pytest.mark.parametrize("has_asked", [False, True])
def test_a_network_that_is_deleted_while_a_device_asks_is_a_refusal(
    people: list[User], network: Network, code: str, has_asked: bool
) -> None:
    if has_asked:
        approved(code)
    with refused_meanwhile(code) as refusals:
        delete_network(network)
    with pytest.raises(Forbidden) as wrong:
        present_claim(new_code(), identifier="s-1", proof=PROOF, now=NOW)
    assert [(type(refusal), refusal.detail) for refusal in refusals] == [(Forbidden, wrong.value.detail)]


def _somebody_waits_for_us() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


# --- manage.py claim_codes, manage.py claims ------------------------------------------------------


def run(*arguments: str) -> Any:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_codes_are_made_listed_and_revoked_by_command(network: Network) -> None:
    code = run("claim_codes", "create", "--network", "hall", "--name", "Delivery", "--max-sensors", "2").strip()
    assert ClaimCode.objects.get().digest == hash_code(code)
    made = json.loads(run("claim_codes", "create", "--network", "hall", "--name", "Endless", "--endless", "--json"))
    assert made["expires_at"] is None
    rows = json.loads(run("claim_codes", "list", "--json"))
    assert [(row["name"], row["state"], row["max_sensors"]) for row in rows] == [
        ("Endless", "active", None),
        ("Delivery", "active", 2),
    ]
    assert code not in json.dumps(rows)
    assert code[:4] in run("claim_codes", "list", "--network", "hall")
    run("claim_codes", "revoke", str(rows[1]["id"]))
    with pytest.raises(Forbidden):
        present_claim(code, identifier="s-1", proof=PROOF, now=NOW)


def test_claims_are_listed_and_decided_by_command(network: Network, code: str) -> None:
    for name in ("s-1", "s-2", "s-3"):
        asked(code, name)
    rows = json.loads(run("claims", "list", "--json"))
    assert [row["identifier"] for row in rows] == ["s-3", "s-2", "s-1"]
    run("claims", "approve", str(rows[2]["id"]), str(rows[1]["id"]))
    run("claims", "refuse", str(rows[0]["id"]))
    assert {sensor.identifier for sensor in Sensor.objects.all()} == {"s-1", "s-2"}
    assert run("claims", "list") == ""
    rows = json.loads(run("claims", "list", "--all", "--network", "hall", "--json"))
    assert [row["state"] for row in rows] == ["refused", "approved", "approved"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["claim_codes", "create", "--network", "hall"], "--name"),
        (["claim_codes", "create", "--name", "x"], "--network"),
        (["claim_codes", "create", "--network", "nowhere", "--name", "x"], "There is no network 'nowhere'"),
        (["claim_codes", "create", "--network", "hall", "--name", "x", "--days", "0"], "0 is not from 1"),
        (["claim_codes", "revoke"], "which"),
        (["claim_codes", "list", "7"], "list takes no id"),
        (["claim_codes", "create", "7", "--network", "hall", "--name", "x"], "create takes no id"),
        (["claim_codes", "revoke", "4711"], "there is no claim code 4711"),
        (["claims", "approve"], "which"),
        (["claims", "approve", "4711"], "there is no claim 4711"),
        (["claims", "list", "4711"], "list takes no ids"),
        (["claims", "list", "--network", "nowhere"], "There is no network 'nowhere'; there are: hall"),
        (["claim_codes", "list", "--network", "nowhere"], "There is no network 'nowhere'"),
        (["credentials", "list", "--network", "nowhere"], "There is no network 'nowhere'"),
        (["claims", "refuse", "4711", "--replace"], "--replace belongs to approve"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(network: Network, arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        run(*arguments)
    assert not ClaimCode.objects.exists()


def test_a_claim_that_cannot_be_approved_ends_the_command_with_1(network: Network, code: str) -> None:
    claim = asked(code, "fleet-bridge")
    with pytest.raises(SystemExit, match="1"):
        run("claims", "approve", str(claim.pk))
    assert Claim.objects.get().state == ClaimState.WAITING
