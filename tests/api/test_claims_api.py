"""Sensors that introduce themselves over HTTP: they ask, somebody decides, they fetch their login once."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from sensors import services
from sensors.models import AuditEntry, Claim, ClaimCode, ClaimState, Role, Sensor, SensorCredential, SensorState
from sensors.services.credentials import hashed_secrets
from tests.api.callers import listed, make_network
from tests.api.claiming import OTHER_PROOF, PROOF, ask, make_code, waiting


@pytest.fixture
def code(world) -> str:
    return make_code(world.operator, world.network)


def test_a_device_waits_is_admitted_with_one_request_and_gets_its_login(world, code):
    answer = ask(world, code, name="Boiler, north", labels={"floor": "2"})
    assert answer.status_code == 202
    assert answer.json() == {"state": "waiting", "retry_after_s": 15}
    assert answer["Retry-After"] == "15"
    claim = waiting(world)
    assert (claim["identifier"], claim["name"], claim["labels"]) == ("boiler", "Boiler, north", {"floor": "2"})
    assert (claim["address"], claim["code"], claim["network"]) == ("192.0.2.7", "Delivery", world.network.slug)
    assert not Sensor.objects.exists()

    admitted = world.operator.post(f"claims/{claim['id']}/approve/", {})
    assert admitted.status_code == 200
    assert (admitted.json()["state"], admitted.json()["decided_by"]) == ("approved", str(world.operator.user))

    answer = ask(world, code)
    assert answer.status_code == 200
    login = answer.json()
    assert hashed_secrets()["boiler"].matches(login.pop("password"))
    assert login.pop("mqtt").keys() == {"host", "port", "tls"}
    assert login == {"state": "collected", "username": "boiler", "client_id": "boiler"}
    assert answer["Cache-Control"] == "no-store"
    sensor = Sensor.objects.get()
    assert (sensor.network, sensor.name, sensor.labels) == (world.network, "Boiler, north", {"floor": "2"})
    assert world.viewer.get(f"claims/{claim['id']}/").json()["state"] == "collected"


def test_a_code_is_shown_once_and_taken_however_it_is_typed(world, code):
    [row] = listed(world.viewer, "claim-codes/")
    assert (row["prefix"], row["state"], row["used"], row["waiting"]) == (code[:4], "active", 0, 0)
    everything = json.dumps(listed(world.viewer, "claim-codes/")) + json.dumps(
        list(ClaimCode.objects.values()), default=str
    )
    assert code not in everything
    assert code.replace("-", "") not in everything
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert ask(world, typed).status_code == 202
    assert world.viewer.get(f"claim-codes/{row['id']}/").json()["waiting"] == 1


def test_a_lost_answer_can_be_asked_for_again_until_the_sensor_was_heard(world, code):
    ask(world, code)
    claim = waiting(world)
    world.operator.post(f"claims/{claim['id']}/approve/", {})
    first, second = ask(world, code), ask(world, code)
    assert first.json() == second.json()
    SensorState.objects.update(last_seen_at=timezone.now())
    over = ask(world, code)
    assert over.status_code == 410
    assert "fetched before" in over.json()["detail"]
    assert Claim.objects.get().sealed_password == ""


def test_the_login_is_given_out_for_a_quarter_of_an_hour_only(world, code):
    ask(world, code)
    world.operator.post(f"claims/{waiting(world)['id']}/approve/", {})
    assert ask(world, code).status_code == 200
    Claim.objects.update(collected_at=timezone.now() - timedelta(minutes=14))
    assert ask(world, code).status_code == 200
    Claim.objects.update(collected_at=timezone.now() - timedelta(minutes=16))
    assert ask(world, code).status_code == 410
    assert ask(world, code).status_code == 410


@pytest.mark.parametrize("change", ["rotated", "revoked", "deleted"])
def test_what_became_of_the_login_meanwhile_is_not_given_out_as_one(world, code, change):
    ask(world, code)
    world.operator.post(f"claims/{waiting(world)['id']}/approve/", {})
    if change == "rotated":
        world.operator.post("sensors/boiler/credential/")
    elif change == "revoked":
        world.operator.delete("sensors/boiler/credential/")
    else:
        world.operator.delete("sensors/boiler/")
    answer = ask(world, code)
    assert answer.status_code == 410
    assert "new proof" in answer.json()["detail"]
    # As it says: a new proof begins anew.
    assert ask(world, code, proof=OTHER_PROOF).status_code == 202


def test_every_refusal_is_the_same(world, code):
    ask(world, code, identifier="refused")
    world.operator.post(f"claims/{waiting(world)['id']}/refuse/")
    full = make_code(world.operator, world.network, max_sensors=1)
    ask(world, full, identifier="admitted")
    world.operator.post(f"claims/{waiting(world)['id']}/approve/", {})
    old = make_code(world.operator, world.network, days=1)
    ClaimCode.objects.filter(prefix=old[:4]).update(expires_at=timezone.now())
    gone = make_code(world.operator, world.network)
    [row] = [row for row in listed(world.operator, "claim-codes/") if row["prefix"] == gone[:4]]
    assert world.operator.delete(f"claim-codes/{row['id']}/").status_code == 204

    answers = [
        ask(world, "7KQ2-9XWB-3MTZ-F0HR-8CVD"),
        ask(world, "x"),
        ask(world, full),
        ask(world, old),
        ask(world, gone),
        ask(world, code, identifier="refused"),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1


def test_revoking_a_code_refuses_who_waits_and_leaves_who_was_admitted(world, code):
    ask(world, code, identifier="first")
    world.operator.post(f"claims/{waiting(world)['id']}/approve/", {})
    ask(world, code, identifier="second")
    [row] = listed(world.operator, "claim-codes/", revoked="false")
    assert world.operator.delete(f"claim-codes/{row['id']}/").status_code == 204
    assert listed(world.operator, "claim-codes/", revoked="false") == []
    assert world.operator.delete(f"claim-codes/{row['id']}/").status_code == 409
    assert [claim["state"] for claim in listed(world.operator, "claims/")] == ["refused", "approved"]
    assert Sensor.objects.get().identifier == "first"
    # Also who has not fetched its login yet.
    assert hashed_secrets()["first"].matches(ask(world, code, identifier="first").json()["password"])
    assert ask(world, code, identifier="second").status_code == 403


def test_another_proof_is_another_device_and_one_of_them_is_chosen(world, code):
    ask(world, code)
    ask(world, code, proof=OTHER_PROOF, address="198.51.100.9")
    claims = listed(world.operator, "claims/", search="boil")
    assert [(claim["address"], claim["rivals"]) for claim in claims] == [("198.51.100.9", 1), ("192.0.2.7", 1)]
    assert world.operator.post(f"claims/{claims[1]['id']}/approve/", {}).status_code == 200
    assert ask(world, code).status_code == 200
    assert ask(world, code, proof=OTHER_PROOF).status_code == 202
    other = waiting(world)
    assert (other["is_known"], other["rivals"]) == (True, 0)
    answer = world.operator.post(f"claims/{other['id']}/approve/", {})
    assert answer.status_code == 409
    assert "has a sensor boiler already" in answer.json()["detail"]


def test_a_device_may_become_a_sensor_that_is_there_and_ends_its_older_login(world, code):
    sensor = services.create_sensor(world.network, identifier="boiler", name="Known", labels={"floor": "1"})
    old = services.issue_credential(sensor, author=None, now=timezone.now())
    ask(world, code, name="Called otherwise")
    claim = waiting(world)
    assert claim["is_known"]
    assert world.operator.post(f"claims/{claim['id']}/approve/", {"replace": True}).status_code == 200
    password = ask(world, code).json()["password"]
    assert hashed_secrets()["boiler"].matches(password)
    assert not hashed_secrets()["boiler"].matches(old.password)
    sensor.refresh_from_db()
    assert (sensor.name, sensor.labels) == ("Known", {"floor": "1"})


def test_a_sensor_of_another_network_shows_neither_to_the_device_nor_in_the_list(world, code):
    foreign, _ = make_network("foreign")
    sensor = services.create_sensor(foreign, identifier="boiler")
    services.issue_credential(sensor, author=None, now=timezone.now())
    before = hashed_secrets()["boiler"]
    taken, free = ask(world, code), ask(world, code, identifier="free")
    assert (taken.status_code, taken.json()) == (free.status_code, free.json())
    claims = {claim["identifier"]: claim for claim in listed(world.operator, "claims/")}
    assert not claims["boiler"]["is_known"]
    # Not with `replace` either: it is no sensor of this network.
    for body in ({}, {"replace": True}):
        answer = world.operator.post(f"claims/{claims['boiler']['id']}/approve/", body)
        assert answer.status_code == 400
        [reason] = answer.json()["identifier"]
        assert reason.startswith("Another sensor of this service is called boiler already; refuse this device")
    assert ask(world, code).status_code == 202
    assert hashed_secrets() == {"boiler": before}


def test_a_login_of_the_service_is_nobodys_and_only_the_operator_hears_it(world, code):
    assert ask(world, code, identifier="fleet-bridge").status_code == 202
    answer = world.operator.post(f"claims/{waiting(world)['id']}/approve/", {})
    assert answer.status_code == 400
    assert "login of the service itself" in answer.json()["identifier"][0]
    assert not Sensor.objects.exists()
    assert waiting(world)["state"] == "waiting"


def test_an_operator_may_say_better_what_the_device_is(world, code):
    gateway = services.create_gateway(world.network, identifier="hall")
    elsewhere = services.create_gateway(make_network("elsewhere")[0], identifier="elsewhere")
    ask(world, code, name="esp32-4711", labels={"a": 1})
    path = f"claims/{waiting(world)['id']}/approve/"
    wrong = world.operator.post(path, {"gateway": elsewhere.identifier})
    assert (wrong.status_code, list(wrong.json())) == (400, ["gateway"])
    body = {"name": "Boiler", "gateway": "hall", "labels": {"floor": "2"}}
    assert world.operator.post(path, body).status_code == 200
    sensor = Sensor.objects.get()
    assert (sensor.name, sensor.gateway, sensor.labels) == ("Boiler", gateway, {"floor": "2"})


def test_a_code_admits_as_many_as_it_is_for(world):
    code = make_code(world.operator, world.network, max_sensors=1)
    ask(world, code, identifier="first")
    ask(world, code, identifier="second")
    second, first = (claim["id"] for claim in listed(world.operator, "claims/"))
    assert world.operator.post(f"claims/{first}/approve/", {}).status_code == 200
    answer = world.operator.post(f"claims/{second}/approve/", {})
    assert answer.status_code == 409
    assert "was for 1 sensors" in answer.json()["detail"]
    [row] = listed(world.operator, "claim-codes/")
    assert (row["state"], row["used"]) == ("used_up", 1)
    # Who was admitted still fetches its login.
    assert ask(world, code, identifier="first").status_code == 200


def test_many_are_decided_at_once_and_each_stands_alone(world, code):
    services.create_sensor(world.network, identifier="d-1")
    for number in range(3):
        ask(world, code, identifier=f"d-{number}")
    ids = [claim["id"] for claim in reversed(listed(world.operator, "claims/"))]
    answer = world.operator.post("claims/approve/", {"claims": ids}).json()
    assert (answer["decided"], answer["failed"]) == (2, 1)
    assert [result["state"] for result in answer["results"]] == ["approved", None, "approved"]
    assert "already" in answer["results"][1]["error"]
    assert Sensor.objects.count() == 3
    answer = world.operator.post("claims/refuse/", {"claims": ids}).json()
    assert [result["state"] for result in answer["results"]] == [None, "refused", None]


def test_one_that_is_not_ones_own_among_many_decides_none(world, code):
    ask(world, code)
    theirs, _ = make_network("theirs")
    _, other = services.create_claim_code(theirs, name="x", days=1, author=None, now=timezone.now())
    services.present_claim(other, identifier="foreign", proof=PROOF, now=timezone.now())
    ids = list(Claim.objects.values_list("pk", flat=True))
    assert world.operator.post("claims/approve/", {"claims": ids}).status_code == 404
    services.set_member(theirs, user=world.operator.user, role=Role.VIEWER)
    assert world.operator.post("claims/approve/", {"claims": ids}).status_code == 403
    assert set(Claim.objects.values_list("state", flat=True)) == {ClaimState.WAITING}


def test_who_decides_second_is_told_who_was_first(world, code):
    ask(world, code)
    path = f"claims/{waiting(world)['id']}"
    world.operator.post(f"{path}/approve/", {})
    for verb in ("approve", "refuse"):
        answer = world.owner.post(f"{path}/{verb}/", {})
        assert answer.status_code == 409
        assert f"admitted already by {world.operator.user}" in answer.json()["detail"]
    assert SensorCredential.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"identifier": "no/topic"}, "identifier"),
        ({"identifier": None}, "identifier"),
        ({"proof": "short"}, "proof"),
        ({"proof": "0" * 40}, "proof"),
        ({"claim_code": 7}, "claim_code"),
        ({"labels": {"a": {}}}, "labels"),
        ({"name": "x" * 201}, "name"),
        ({"network": "plant"}, "network"),
    ],
)
def test_a_mistake_of_a_device_is_named(world, code, change, field):
    body = {"claim_code": code, "identifier": "boiler", "proof": PROOF, **change}
    answer = world.nobody.post("claims/", body, REMOTE_ADDR="192.0.2.7")
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not Claim.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [({"days": 0}, "days"), ({"max_sensors": 0}, "max_sensors"), ({"name": ""}, "name"), ({"network": "x"}, "network")],
)
def test_a_mistake_in_a_code_is_named(world, change, field):
    answer = world.operator.post("claim-codes/", {"network": world.network.slug, "name": "x", **change})
    assert (answer.status_code, list(answer.json())) == (400, [field])


def test_a_code_ends_after_a_month_unless_something_else_is_said(world):
    make_code(world.operator, world.network)
    make_code(world.operator, world.network, days=None)
    endless, month = ClaimCode.objects.all()
    assert endless.expires_at is None
    assert month.expires_at - month.created_at == timedelta(days=30)


def test_a_session_does_not_count_for_a_device_and_needs_no_csrf_token(world, code):
    world.nobody.client.force_login(world.stranger.user)
    assert ask(world, code).status_code == 202


def test_an_address_that_is_none_is_left_out(world, code, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}
    body = {"claim_code": code, "identifier": "boiler", "proof": PROOF}
    for header in ("<img src=x>", "x" * 500):
        assert world.nobody.post("claims/", body, headers={"X-Forwarded-For": header}).status_code == 202
        assert waiting(world)["address"] == ""


def test_the_history_names_who_decided_and_no_secret(world, code):
    ask(world, code, identifier="yes")
    ask(world, code, identifier="no")
    no, yes = (claim["id"] for claim in listed(world.operator, "claims/"))
    world.operator.post(f"claims/{yes}/approve/", {})
    world.owner.post(f"claims/{no}/refuse/")
    password = ask(world, code, identifier="yes").json()["password"]
    entries = AuditEntry.objects.filter(content_type__model="claim").order_by("pk")
    assert [(entry.object_repr, entry.changes["state"], entry.actor) for entry in entries] == [
        ("yes", ["waiting", "approved"], world.operator.user),
        ("no", ["waiting", "refused"], world.owner.user),
    ]
    made = AuditEntry.objects.get(content_type__model="claimcode")
    assert made.actor == world.operator.user
    everything = json.dumps(list(AuditEntry.objects.values()), default=str)
    row = ClaimCode.objects.get()
    claim = Claim.objects.get(pk=yes)
    for secret in (code, code.replace("-", ""), row.digest, claim.proof_hash, claim.sealed_password, password, PROOF):
        assert secret not in everything
    shown = world.owner.get("claims/").content.decode() + world.owner.get("claim-codes/").content.decode()
    for secret in (code, row.digest, claim.proof_hash, claim.sealed_password, password, PROOF):
        assert secret not in shown


def test_a_list_of_claims_costs_the_same_for_one_and_many(world, code, django_assert_num_queries):
    ask(world, code, identifier="d-0")
    caller = world.operator
    with django_assert_num_queries(2):
        assert len(listed(caller, "claims/")) == 1
    for number in range(1, 20):
        ask(world, code, identifier=f"d-{number}")
    with django_assert_num_queries(2):
        assert len(listed(caller, "claims/")) == 20
