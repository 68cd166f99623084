"""Who changed what: what the audit log holds, who sees it, how it is written out, and that nobody alters it."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client, override_settings

from sensors import history, services
from sensors.models import AuditEntry, Claim, Network, Role, Sensor, User
from sensors.services.audit import prune_audit_log
from tests.api.callers import API, Caller, listed, make_network, make_user

# Django collects an asynchronous answer for a test's client, and warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")

ENTRIES = "audit-log/"


def made_sensor(world, identifier="pump-1"):
    answer = world.operator.post("sensors/", {"identifier": identifier, "network": world.network.slug})
    assert answer.status_code == 201
    return Sensor.objects.get(identifier=identifier)


def exported(caller, query=""):
    answer = caller.get(f"{ENTRIES}export/{query}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer).decode(), answer


# --- What an entry says ----------------------------------------------------------------------------


def test_an_entry_says_who_from_where_by_which_token_what_before_and_after(world):
    made_sensor(world)
    world.operator.patch("sensors/pump-1/", {"name": "=Pump"}, REMOTE_ADDR="192.0.2.7")
    entry = listed(world.owner, ENTRIES, kind="sensor", action="update")[0]
    assert entry.pop("id")
    assert datetime.fromisoformat(entry.pop("at")) <= datetime.now(UTC)
    assert entry == {
        "actor": world.operator.user.username,
        "token": "test",
        "address": "192.0.2.7",
        "action": "update",
        "kind": "sensor",
        "object": "=Pump",
        "network": world.network.slug,
        "changes": [{"field": "name", "before": "", "after": "=Pump"}],
    }


def test_a_session_is_no_token(world):
    user = world.owner.user
    user.set_password("correct-horse-battery")
    user.save()
    browser = Client()
    browser.force_login(user)
    path = f"{API}networks/{world.network.slug}/"
    assert browser.patch(path, {"name": "Renamed"}, content_type="application/json").status_code == 200
    entry = AuditEntry.objects.filter(object_repr="Renamed").get()
    assert (entry.actor_name, entry.token_name) == (user.username, "")


def test_who_logs_in_for_a_token_made_it(db):
    user = make_user(password="correct-horse-battery")
    body = {"username": user.username, "password": "correct-horse-battery"}
    assert Caller().post("auth/token/", body, REMOTE_ADDR="192.0.2.9").status_code == 200
    entry = AuditEntry.objects.get(object_repr="login over HTTP")
    assert (entry.actor, entry.actor_name, entry.token_name, entry.remote_addr) == (
        user,
        user.username,
        "",
        "192.0.2.9",
    )


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "198.51.100.9", "192.0.2.7"),
        (1, "203.0.113.1, 198.51.100.9", "198.51.100.9"),
        (1, "2001:db8::1", "2001:db8::1"),
        (1, "<script>", None),
    ],
)
def test_the_address_is_the_one_before_the_proxies(world, proxies, forwarded, address, settings):
    made_sensor(world)
    with override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}):
        answer = world.operator.patch(
            "sensors/pump-1/", {"name": "N"}, REMOTE_ADDR="192.0.2.7", HTTP_X_FORWARDED_FOR=forwarded
        )
    assert answer.status_code == 200
    assert AuditEntry.objects.get(object_repr="N").remote_addr == address


def test_changes_of_roles_tokens_and_credentials_are_recorded_without_secrets(world):
    sensor = made_sensor(world)
    member = make_user("member")
    members = f"networks/{world.network.slug}/members/"
    world.owner.post(members, {"user": member.username, "role": "viewer"})
    world.owner.patch(f"{members}{member.username}/", {"role": "operator"})
    world.owner.delete(f"{members}{member.username}/")
    secret = world.owner.post("tokens/", {"name": "page", "days": 3, "scope": "read"}).json()
    world.owner.delete(f"tokens/{secret['handle']}/")
    password = world.operator.post("sensors/pump-1/credential/").json()["password"]
    assert [
        (entry["action"], [(change["field"], change["before"], change["after"]) for change in entry["changes"]])
        for entry in listed(world.owner, ENTRIES, kind="membership", search=member.username)
        if entry["action"] == "update"
    ] == [("update", [("role", "viewer", "operator")])]
    assert [entry["action"] for entry in listed(world.owner, ENTRIES, kind="access-token", search="page")] == [
        "delete",
        "create",
    ]
    assert next(entry["changes"] for entry in listed(world.owner, ENTRIES, kind="sensor", search="pump-1")) == [
        {"field": "credential", "before": "", "after": "issued"}
    ]
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    hashed = [sensor.credential.secret_hash, sensor.credential.sealed_secret]
    for hidden in (secret["token"], password, *hashed):
        assert hidden not in everything


def test_a_change_of_password_shows_nothing_of_it(db):
    user = make_user(password="first-and-long")
    user.password = make_password("second-and-long")
    user.save()
    entry = AuditEntry.objects.filter(object_id=user.pk, action=AuditEntry.Action.UPDATE).get()
    assert entry.changes == {"password": ["(hidden)", "(hidden)"]}
    assert "pbkdf2" not in json.dumps(list(AuditEntry.objects.values()), default=str)


def test_relations_are_what_was_added_and_what_was_taken_away(world):
    sensors = [made_sensor(world, f"pump-{number}") for number in (1, 2)]
    rule = {"name": "Hot", "kind": "threshold", "attribute": "a", "above": 1}
    number = world.operator.post("alert-rules/", {**rule, "sensors": ["pump-1"]}).json()["id"]
    assert world.operator.patch(f"alert-rules/{number}/", {"sensors": ["pump-2"]}).status_code == 200
    changes = [entry["changes"][0] for entry in listed(world.owner, ENTRIES, kind="rule", action="update")]
    assert sorted(changes, key=str) == sorted(
        [
            {"field": "sensors", "before": None, "after": [str(sensors[0])]},
            {"field": "sensors", "before": [str(sensors[0])], "after": None},
            {"field": "sensors", "before": None, "after": [str(sensors[1])]},
        ],
        key=str,
    )


# --- Who sees it -------------------------------------------------------------------------------------


def test_owners_see_their_networks_and_others_only_what_they_did_to_themselves(world):
    other, users = make_network("other", eve=Role.OWNER)
    eve = Caller(users["eve"])
    made_sensor(world)
    services.create_sensor(other, identifier="theirs")
    world.viewer.post("tokens/", {"name": "mine", "days": 1})
    assert {entry["network"] for entry in listed(world.owner, ENTRIES)} == {world.network.slug}
    assert {entry["network"] for entry in listed(eve, ENTRIES)} == {other.slug}
    assert listed(world.operator, ENTRIES) == listed(world.stranger, ENTRIES) == []
    assert [entry["object"] for entry in listed(world.viewer, ENTRIES)] == ["mine"]
    assert {entry["network"] for entry in listed(world.staff, ENTRIES)} >= {world.network.slug, other.slug, None}
    assert listed(eve, ENTRIES, network=world.network.slug) == []
    assert exported(eve, f"?format=ndjson&network={world.network.slug}")[0] == ""


def test_a_token_sees_no_more_than_it_may_do(world):
    made_sensor(world)
    second = services.create_network(slug="second", owner=world.owner.user)
    for options, seen in (
        ({"scope": "admin"}, {world.network.slug, "second"}),
        ({"scope": "admin", "networks": [second]}, {"second"}),
        ({"scope": "read"}, set()),
        ({"scope": "operate"}, set()),
    ):
        _, secret = services.create_token(world.owner.user, name="t", days=1, **options)
        limited = Caller(Authorization=f"Bearer {secret}")
        assert {entry["network"] for entry in listed(limited, ENTRIES) if entry["network"]} == seen


def test_a_network_that_is_made_anew_under_the_same_name_has_its_own_history(world):
    made_sensor(world)
    slug = world.network.slug
    services.delete_network(Network.objects.get(slug=slug))
    services.create_network(slug=slug, owner=world.stranger.user)
    assert {entry["object"] for entry in listed(world.stranger, ENTRIES)} == {
        slug,
        f"{world.stranger.user} as owner of {slug}",
    }
    assert "pump-1" in {entry["object"] for entry in listed(world.staff, ENTRIES, network=slug)}


# --- It outlives, and stays ----------------------------------------------------------------------------


def test_entries_outlive_the_user_the_object_and_the_network(world):
    made_sensor(world)
    name, slug = world.operator.user.username, world.network.slug
    world.operator.delete("sensors/pump-1/")
    services.delete_network(Network.objects.get(slug=slug))
    User.objects.get(username=name).delete()
    entries = listed(world.staff, ENTRIES, network=slug, search="pump-1")
    assert [(entry["action"], entry["actor"]) for entry in entries] == [("delete", name), ("create", name)]


@pytest.mark.parametrize(
    "alter",
    [
        lambda entries: entries.update(actor_name="somebody else"),
        lambda entries: entries.update(changes={}),
        lambda entries: entries.update(actor=None, object_repr=""),
        lambda entries: entries.delete(),
    ],
)
def test_nobody_alters_an_entry(world, alter):
    made_sensor(world)
    before = list(AuditEntry.objects.values())
    with pytest.raises(IntegrityError, match="neither changed nor deleted"), transaction.atomic():
        alter(AuditEntry.objects.filter(object_repr="pump-1"))
    assert list(AuditEntry.objects.values()) == before


def test_old_entries_are_let_go_by_one_way_that_leaves_an_entry(world, capsysbinary, monkeypatch):
    made_sensor(world)
    before = AuditEntry.objects.count()
    assert prune_audit_log(before=datetime.now(UTC) - timedelta(days=1)) == 0
    assert AuditEntry.objects.count() == before
    monkeypatch.setattr("builtins.input", lambda _question: "n")
    with pytest.raises(CommandError, match="nothing was deleted"):
        call_command("audit_log", "prune", "--before", "2099-01-01")
    with pytest.raises(CommandError, match="needs --before"):
        call_command("audit_log", "prune")
    # One network's, from a day on: nobody should believe that the rest stays.
    for misplaced in (["--network", world.network.slug], ["--start", "2026-01-01"], ["--csv"]):
        with pytest.raises(CommandError, match="belongs to export"):
            call_command("audit_log", "prune", "--before", "2099-01-01", "--yes", *misplaced)
    assert AuditEntry.objects.count() == before
    call_command("audit_log", "prune", "--before", "2099-01-01", "--yes")
    (left,) = AuditEntry.objects.all()
    assert left.changes == {"entries": [before, 0]}
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_entries_that_services_write_themselves_are_found_by_their_kind(world):
    made_sensor(world)
    prune_audit_log(before=datetime.now(UTC) + timedelta(days=1))
    claim = Claim(pk=7, identifier="boiler-1", network=world.network)
    AuditEntry.objects.log_create(claim, force_log=True, action=AuditEntry.Action.UPDATE, changes={})
    assert [entry["kind"] for entry in listed(world.owner, ENTRIES, kind="claim")] == ["claim"]
    assert [entry["kind"] for entry in listed(world.staff, ENTRIES, kind="audit-entry")] == ["audit-entry"]


# --- Files ---------------------------------------------------------------------------------------------


def test_it_is_exported_whole_with_the_filters_of_the_list(world, monkeypatch):
    monkeypatch.setattr(history, "ENTRIES_AT_ONCE", 2)
    for number in range(5):
        made_sensor(world, f"pump-{number}")
    text, answer = exported(world.owner, "?format=ndjson&kind=sensor")
    assert [json.loads(line) for line in text.splitlines()] == listed(world.owner, ENTRIES, kind="sensor")
    assert len(text.splitlines()) == 5
    assert answer["Content-Disposition"] == 'attachment; filename="audit-log.ndjson"'
    assert answer["Cache-Control"] == "no-store"


def test_csv_has_a_line_for_each_changed_field_and_no_formula(world):
    made_sensor(world)
    world.operator.patch("sensors/pump-1/", {"name": '=HYPERLINK("x")', "period_s": 90})
    rows = list(csv.DictReader(io.StringIO(exported(world.owner, "?action=update")[0])))
    assert {row["field"]: (row["before"], row["after"]) for row in rows} == {
        "name": ("", '\'=HYPERLINK("x")'),
        "period_s": ("60", "90"),
    }
    assert {row["object"] for row in rows} == {'\'=HYPERLINK("x")'}
    assert {(row["actor"], row["kind"], row["action"]) for row in rows} == {
        (world.operator.user.username, "sensor", "update")
    }


def test_csv_leaves_out_no_entry_that_changed_no_field(db):
    user = make_user()
    AuditEntry.objects.log_create(user, force_log=True, action=AuditEntry.Action.ACCESS)
    lines = list(history.csv_lines(AuditEntry.objects.filter(action=AuditEntry.Action.ACCESS)))
    assert len(lines) == 1
    assert lines[0].decode().strip().endswith("user," + str(user) + ",,,,")


def test_the_command_writes_the_same(world, capsysbinary):
    owner = world.owner
    made_sensor(world)
    call_command("audit_log", "export", "--network", world.network.slug)
    printed = capsysbinary.readouterr()
    assert printed.out.decode() == exported(owner, "?format=ndjson&network=" + world.network.slug)[0]
    call_command("audit_log", "export", "--csv", "--start", "2099-01-01")
    assert capsysbinary.readouterr().out.decode() == history.csv_head().decode()


@pytest.mark.parametrize("path", [ENTRIES, "alerts/"])
def test_a_time_may_have_an_offset_that_the_database_does_not_know(world, path):
    assert listed(world.owner, path, start="2561-05-04T18:33:58-16:26", end="2561-05-04T18:33:58+22:30") == []


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("?kind=planet", "kind", "'planet' is none of"),
        ("?action=steal", "action", "steal"),
        ("?start=now", "start", "valid"),
        ("?end=9999-12-31T23:59:59-01:00", "end", "valid"),
        ("?actr=x", "actr", "Unknown parameter"),
    ],
)
@pytest.mark.parametrize("path", [ENTRIES, f"{ENTRIES}export/"])
def test_a_wrong_filter_is_named(world, path, query, field, words):
    answer = world.owner.get(path + query)
    assert answer.status_code == 400
    assert words in answer.json()[field][0]


def test_a_format_that_is_none_is_named_and_pages_are_for_the_list(world):
    assert "xlsx" in world.owner.get(f"{ENTRIES}export/?format=xlsx").json()["format"][0]
    assert "limit" in world.owner.get(f"{ENTRIES}export/?limit=3").json()
    assert "format" in world.owner.get(f"{ENTRIES}?format=csv").json()


def test_a_token_without_a_name_records_whosever_it_is(db, unique):
    user = User.objects.create_user(unique + "n" * (150 - len(unique)))
    _, secret = services.create_token(user, days=1)
    program = Caller()
    program.headers["Authorization"] = f"Bearer {secret}"
    assert program.post("networks/", {"slug": f"n-{unique}"}).status_code == 201
    entry = AuditEntry.objects.filter(network_slug=f"n-{unique}").first()
    assert (entry.actor_name, entry.token_name) == (user.username, f"token of {user.username}"[:100])
