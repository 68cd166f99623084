"""Credentials as rows: the outbox, what is compared with the broker, and the command."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from sensors.models import CredentialState, Network, Sensor, SensorCredential
from sensors.services import (
    create_network,
    create_sensor,
    delete_sensor,
    issue_credential,
    issue_credentials,
    revoke_credential,
)
from sensors.services.credentials import compare_credentials, due_credentials, hashed_secrets, mark_applied

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def network() -> Network:
    return create_network(slug="hall", owner=None)


@pytest.fixture
def sensors(network: Network) -> list[Sensor]:
    return [create_sensor(network, identifier=f"s-{n}") for n in range(3)]


def due() -> list[tuple[str, str | None]]:
    return [(each.identifier, each.password) for each in due_credentials(limit=100, now=NOW)]


def apply() -> None:
    mark_applied([each.change for each in due_credentials(limit=100, now=NOW)], now=NOW)


def states() -> dict[str, CredentialState]:
    return {credential.identifier: credential.state for credential in SensorCredential.objects.all()}


def test_what_was_changed_on_its_way_is_brought_again(sensors: list[Sensor]) -> None:
    first = issue_credential(sensors[0], author=None, now=NOW)
    [on_the_way] = due_credentials(limit=10, now=NOW)
    second = issue_credential(sensors[0], author=None, now=NOW)
    assert mark_applied([on_the_way.change], now=NOW) == 0
    assert due() == [("s-0", second.password)]
    assert first.password != second.password


def test_what_is_left_of_a_deleted_sensor_is_an_account_to_end_and_then_nothing(sensors: list[Sensor]) -> None:
    issue_credentials(sensors[:2], author=None, now=NOW)
    apply()
    delete_sensor(sensors[0])
    assert due() == [("s-0", None)]
    assert hashed_secrets().keys() == {"s-1"}
    apply()
    assert states() == {"s-1": CredentialState.ACTIVE}


def test_an_identifier_that_lives_again_begins_without_the_old_ones_account(
    network: Network, sensors: list[Sensor]
) -> None:
    issue_credential(sensors[0], author=None, now=NOW)
    delete_sensor(sensors[0])
    again = create_sensor(network, identifier="s-0")
    assert due() == [("s-0", None)]
    login = issue_credential(again, author=None, now=NOW)
    assert due() == [("s-0", login.password)]
    assert SensorCredential.objects.get().sensor == again


def test_a_deleted_sensor_is_left_out_of_those_issued(sensors: list[Sensor]) -> None:
    Sensor.objects.filter(pk=sensors[1].pk).delete()
    logins = issue_credentials(sensors, author=None, now=NOW)
    assert [login.username for login in logins] == ["s-0", "s-2"]
    assert due() == [(login.username, login.password) for login in logins]


def test_what_the_broker_lost_is_missing_until_it_is_there_again(sensors: list[Sensor]) -> None:
    issue_credentials(sensors, author=None, now=NOW)
    apply()
    later = NOW + timedelta(seconds=1)
    assert compare_credentials(["s-0", "s-2", "s-9"], listed_at=later, now=later) == ({"s-9"}, ["s-1"])
    assert states()["s-1"] == CredentialState.MISSING
    # Nobody but the sensor has its secret: there is nothing that could be brought.
    assert due() == []
    assert compare_credentials(["s-0", "s-1", "s-2"], listed_at=later, now=later) == (set(), [])
    assert set(states().values()) == {CredentialState.ACTIVE}


def test_what_came_to_the_broker_after_it_was_asked_is_not_lost(sensors: list[Sensor]) -> None:
    issue_credentials(sensors[:2], author=None, now=NOW)
    apply()
    issue_credential(sensors[2], author=None, now=NOW)
    assert compare_credentials([], listed_at=NOW, now=NOW) == (set(), [])


def test_what_was_revoked_is_not_wanted_at_the_broker(sensors: list[Sensor]) -> None:
    issue_credentials(sensors, author=None, now=NOW)
    revoke_credential(sensors[0], author=None, now=NOW)
    assert compare_credentials(["s-0", "s-1"], listed_at=NOW, now=NOW) == ({"s-0"}, [])


def test_a_login_shows_no_password_by_accident(sensors: list[Sensor]) -> None:
    login = issue_credential(sensors[0], author=None, now=NOW)
    assert login.password not in repr(login)


# --- manage.py credentials ------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("credentials", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_issue_gives_one_to_who_has_none_and_rotate_to_all(sensors: list[Sensor]) -> None:
    username, password = run("issue", "--sensor", "s-0").split()
    assert hashed_secrets()[username].matches(password)
    logins = json.loads(run("issue", "--network", "hall", "--json"))
    assert [login["username"] for login in logins] == ["s-1", "s-2"]
    assert hashed_secrets()["s-0"].matches(password)
    rotated = list(csv.DictReader(io.StringIO(run("issue", "--all", "--rotate", "--csv"))))
    assert [login["username"] for login in rotated] == ["s-0", "s-1", "s-2"]
    assert not hashed_secrets()["s-0"].matches(password)
    assert hashed_secrets()["s-0"].matches(rotated[0]["password"])


def test_list_and_revoke_say_how_far_each_is(sensors: list[Sensor]) -> None:
    run("issue", "--sensor", "s-0", "--sensor", "s-1")
    assert json.loads(run("revoke", "--sensor", "s-1", "--json")) == [{"sensor": "s-1", "state": "revoking"}]
    listed: list[dict[str, Any]] = json.loads(run("list", "--all", "--json"))
    assert [(row["sensor"], row["state"]) for row in listed] == [
        ("s-0", "waiting"),
        ("s-1", "revoking"),
        ("s-2", "none"),
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["issue"], "choose the sensors"),
        (["issue", "--all", "--network", "hall"], "choose the sensors"),
        (["issue", "--sensor", "s-0", "--sensor", "nobody"], "no such sensor: nobody"),
        (["revoke", "--all", "--rotate"], "--rotate belongs to issue"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(sensors: list[Sensor], arguments: list[str], complaint: str) -> None:
    with pytest.raises(CommandError, match=complaint):
        run(*arguments)
    assert not SensorCredential.objects.exists()
