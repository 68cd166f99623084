"""Tokens with part of their user's rights: what each may, who makes and ends them."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client

from sensors import services
from sensors.models import AccessToken, AuditEntry, Role, TokenScope, User
from tests.api.callers import Caller, make_network

SCOPES = list(TokenScope)
SENSOR = "sensors/scoped-sensor/"


@pytest.fixture
def things(world):
    services.create_sensor(world.network, identifier="scoped-sensor")
    return world


def by_token(user, **limits) -> Caller:
    """Return a caller by a token of `user` with these limits."""
    _, secret = services.create_token(user, name="test", days=1, **limits)
    return Caller(Authorization=f"Bearer {secret}")


# method, path, body, then the answers to an owner's token for read, operate, admin
TABLE = [
    ("GET", SENSOR, None, 200, 200, 200),
    ("PATCH", SENSOR, {"name": "x"}, 403, 200, 200),
    ("POST", SENSOR + "configurations/", {"configuration": {}}, 403, 201, 201),
    ("POST", SENSOR + "credential/", {}, 403, 201, 201),
    ("POST", "alert-rules/", {"name": "r", "kind": "staleness", "sensors": ["scoped-sensor"]}, 403, 201, 201),
    ("POST", "silences/", {"matchers": {"sensor": "scoped-sensor"}, "ends_at": "2099-01-01T00:00:00Z"}, 403, 201, 201),
    ("POST", "networks/{network}/members/", {"user": "{stranger}", "role": "viewer"}, 403, 403, 201),
    ("DELETE", "networks/{network}/", None, 403, 403, 204),
    ("POST", "networks/", {"slug": "by-token", "name": "x"}, 403, 403, 201),
    ("GET", "tokens/", None, 200, 200, 200),
    ("POST", "tokens/", {"name": "child", "scope": "admin", "days": 1}, 403, 403, 201),
    ("POST", "auth/logout/", None, 204, 204, 204),
]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-{row[1]}")
def test_a_token_may_do_what_its_scope_is_for(things, row, scope):
    method, path, body, *statuses = row
    names = {"network": things.network.slug, "stranger": things.stranger.user.get_username()}
    body = body and {key: value.format(**names) if isinstance(value, str) else value for key, value in body.items()}
    caller = by_token(things.owner.user, scope=scope)
    answer = caller.send(method, path.format(**names), body)
    assert answer.status_code == statuses[SCOPES.index(scope)], answer.content


def test_a_token_never_may_more_than_its_user(things):
    caller = by_token(things.viewer.user, scope=TokenScope.ADMIN)
    assert caller.patch(SENSOR, {"name": "x"}).status_code == 403
    assert caller.get("me/").json()["memberships"] == [{"network": things.network.slug, "role": "viewer"}]


@pytest.mark.parametrize("who", ["owner", "staff"])
def test_a_bound_token_knows_its_networks_only(things, who):
    user = getattr(things, who).user
    other, _ = make_network("elsewhere")
    if who == "owner":
        services.set_member(other, user=user, role=Role.OWNER)
    services.create_sensor(other, identifier="other-sensor")
    caller = by_token(user, scope=TokenScope.ADMIN, networks=[things.network])

    assert [row["identifier"] for row in caller.get("sensors/").json()["results"]] == ["scoped-sensor"]
    assert [row["slug"] for row in caller.get("networks/").json()["results"]] == [things.network.slug]
    assert caller.get("sensors/other-sensor/").status_code == 404
    body = {"identifier": "new", "network": other.slug}
    assert caller.post("sensors/", body).status_code == 400
    assert caller.post("sensors/", {**body, "network": things.network.slug}).status_code == 201
    assert caller.post("networks/", {"slug": "beyond", "name": "x"}).status_code == 403
    # What belongs to no network at all.
    assert caller.get("ingest/").status_code == 403


def test_roles_are_shown_as_far_as_the_token_goes(things):
    caller = by_token(things.owner.user, scope=TokenScope.OPERATE)
    me = caller.get("me/").json()
    assert me["memberships"] == [{"network": things.network.slug, "role": "operator"}]
    assert (me["token"]["name"], me["token"]["scope"]) == ("test", "operate")
    assert caller.get(f"networks/{things.network.slug}/").json()["role"] == "operator"


def test_a_token_is_shown_once_and_listed_without_it(things):
    body = {"name": "weather page", "scope": "read", "networks": [things.network.slug], "days": 2}
    answer = things.owner.post("tokens/", body)
    assert answer.status_code == 201
    made = answer.json()
    secret = made.pop("token")
    assert {name: made[name] for name in ("name", "scope", "networks")} == {
        name: body[name] for name in ("name", "scope", "networks")
    }
    path = f"tokens/{made['handle']}/"
    assert things.owner.get(path).json() == made
    assert things.viewer.get(path).status_code == 404
    assert Caller(Authorization=f"Bearer {secret}").get(SENSOR).status_code == 200

    digest = AccessToken.objects.get(handle=made["handle"]).digest
    browser = Client()
    browser.force_login(User.objects.create_superuser("root"))
    admins = f"/admin/sensors/accesstoken/{made['handle']}"
    shown = [things.owner.get("tokens/"), things.owner.get("audit-log/")]
    shown += [browser.get(page) for page in (f"{admins}/change/", f"{admins}/delete/", f"{admins}/history/")]
    entry = AuditEntry.objects.get(object_pk=digest)
    pages = ("accesstoken", "auditentry", f"auditentry/{entry.pk}/change")
    shown += [browser.get(f"/admin/sensors/{page}/") for page in pages]
    assert {answer.status_code for answer in shown} == {200}
    assert [number for number, answer in enumerate(shown) if "weather page" not in answer.content.decode()] == []
    assert browser.post(f"{admins}/delete/", {"post": "yes"}).status_code == 302
    shown += [browser.get("/admin/sensors/auditentry/"), things.owner.get("audit-log/")]
    stored = [list(AuditEntry.objects.values()), list(LogEntry.objects.values())]
    for row in stored[0]:
        # By this the log knows the row, and shows it nowhere.
        assert secret not in row.pop("object_pk")
    texts = [json.dumps(made), json.dumps(stored, default=str), *(answer.content.decode() for answer in shown)]
    assert [text for text in texts if secret in text or digest in text] == []


def test_who_made_a_token_ends_it(things):
    token, secret = services.create_token(things.owner.user, days=1)
    path = f"tokens/{token.handle}/"
    assert things.viewer.delete(path).status_code == 404
    assert things.owner.delete(path).status_code == 204
    assert Caller(Authorization=f"Bearer {secret}").get(SENSOR).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "days"),
        ({"name": "x", "days": 0}, "days"),
        ({"days": 1}, "name"),
        ({"name": "x", "days": 1, "scope": "all"}, "scope"),
        ({"name": "x", "days": 1, "networks": []}, "networks"),
        ({"name": "x", "days": 1, "networks": ["unseen"]}, "networks"),
        ({"name": "x", "days": 1, "token": "mine"}, "token"),
    ],
)
def test_a_wrong_wish_is_named_and_makes_no_token(things, body, field):
    make_network("unseen")
    owner = things.owner
    before = AccessToken.objects.count()
    answer = owner.post("tokens/", body)
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert AccessToken.objects.count() == before


def test_its_use_is_noted_to_the_minute(things):
    token, secret = services.create_token(things.viewer.user, days=1)
    caller = Caller(Authorization=f"Bearer {secret}")
    assert token.last_used_at is None
    caller.get("me/")
    first = AccessToken.objects.get(pk=token.pk).last_used_at
    caller.get("me/")
    assert AccessToken.objects.get(pk=token.pk).last_used_at == first
    AccessToken.objects.filter(pk=token.pk).update(last_used_at=first - timedelta(minutes=2))
    caller.get("me/")
    assert AccessToken.objects.get(pk=token.pk).last_used_at >= first


def test_a_program_may_send_its_token_as_an_api_key(things):
    _, secret = services.create_token(things.viewer.user, days=1, scope=TokenScope.READ)
    caller = Caller(**{"X-API-Key": secret})
    assert caller.get(SENSOR).status_code == 200
    assert caller.post(SENSOR + "credential/", {}).status_code == 403
    for wrong in ("nonsense", "ü", secret[:-1]):
        answer = Caller(**{"X-API-Key": wrong}).get(SENSOR)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")


def test_a_token_of_a_deleted_network_opens_nothing(things):
    caller = by_token(things.owner.user, networks=[things.network])
    services.delete_network(things.network)
    answer = caller.get("sensors/")
    assert (answer.status_code, answer.json()["results"]) == (200, [])


# --- manage.py create_token -----------------------------------------------------------------------


def test_the_command_makes_a_token_with_limits(things):
    out = StringIO()
    arguments = ["--user", things.owner.user.get_username(), "--scope", "read", "--network", things.network.slug]
    call_command("create_token", *arguments, stdout=out)
    caller = Caller(Authorization=f"Bearer {out.getvalue().strip()}")
    assert caller.get(SENSOR).status_code == 200
    assert caller.patch(SENSOR, {"name": "x"}).status_code == 403
    with pytest.raises(CommandError, match="sees no network nowhere"):
        call_command("create_token", *arguments, "--network", "nowhere", stdout=out)
