"""Every page of the admin answers, from this host alone, and only to whom it may."""

import hashlib
import re
from pathlib import Path

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.staticfiles import finders
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.services import create_revision
from sensors import services
from sensors.models import AccessToken, User
from tests.admin.conftest import AT

ENTRIES = ["measurements", "heartbeats", "log-messages"]


def pages() -> list[tuple[str, str]]:
    """Return (model, page) of the whole registry."""
    kinds = ("changelist", "add", "change", "history", "delete")
    return [
        (f"{model._meta.app_label}_{model._meta.model_name}", kind) for model in admin.site._registry for kind in kinds
    ]


def address(name: str, kind: str) -> str:
    if kind in ("changelist", "add"):
        return reverse(f"admin:{name}_{kind}")
    model = next(model for model in admin.site._registry if f"{model._meta.app_label}_{model._meta.model_name}" == name)
    row = model._default_manager.first()
    assert row is not None, f"there is no row of {name}"
    key = row.handle if model is AccessToken else row.pk
    return reverse(f"admin:{name}_{kind}", args=[key])


NEVER = {
    ("config_revision", "delete"),
    ("alerts_alert", "add"),
    ("alerts_alert", "delete"),
    ("alerts_notification", "add"),
    ("alerts_notification", "delete"),
    ("telemetry_rejectedmessage", "add"),
    ("telemetry_rejectedmessage", "delete"),
    ("sensors_auditentry", "add"),
    ("sensors_auditentry", "delete"),
    ("sensors_accesstoken", "add"),
}


def test_the_registry_has_what_an_operator_needs():
    assert {name for name, _ in pages()} == {
        "alerts_alert", "alerts_notification", "alerts_notificationtarget", "alerts_rule", "alerts_silence",
        "sensors_auditentry", "auth_group", "config_revision",
        "sensors_accesstoken", "sensors_gateway", "sensors_network", "sensors_sensor", "sensors_user",
        "telemetry_rejectedmessage",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), pages())
def test_every_page_answers(operator: Client, fleet, name: str, kind: str):
    response = operator.get(address(name, kind))
    assert response.status_code == (403 if (name, kind) in NEVER else 200)
    if response.status_code == 200:
        check_sources(response.content.decode(), response.headers)


@pytest.mark.parametrize("path", ["/admin/", "/admin/sensors/", "/admin/search/?s=boiler"])
def test_other_pages_answer(operator: Client, fleet, path: str):
    response = operator.get(path)
    assert response.status_code == 200
    check_sources(response.content.decode(), response.headers)


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("query", ["", "?sensor=boiler-1", "?sensor=nobody", "?start=x", "?before=1_2", "?before=x"])
def test_pages_of_entries_answer(operator: Client, fleet, kind: str, query: str):
    response = operator.get(reverse("admin:telemetry_entries", args=[kind]) + query)
    assert response.status_code == 200
    check_sources(response.content.decode(), response.headers)


@pytest.mark.parametrize("method", ["get", "post"])
def test_the_admin_has_no_login_of_its_own(client: Client, db, method: str):
    answer = getattr(client, method)("/admin/login/?next=/admin/sensors/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login/?next=%2Fadmin%2Fsensors%2F")


def test_passwords_are_changed_on_one_page_only(operator: Client):
    assert operator.get("/admin/password_change/").headers["Location"] == "/password/"


def check_sources(html: str, headers) -> None:
    """Assert that the page loads nothing from elsewhere, and that the browser is told to allow nothing else."""
    foreign = re.findall(r"""(?:src|href|action|srcset)\s*=\s*["'](?:https?:)?//[^"']*""", html)
    assert not foreign, foreign
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_search_and_filters_answer(operator: Client, fleet):
    for name in (
        "sensors_sensor",
        "sensors_network",
        "sensors_gateway",
        "config_revision",
        "alerts_rule",
        "alerts_alert",
    ):
        assert operator.get(reverse(f"admin:{name}_changelist"), {"q": "boiler"}).status_code == 200
    shown = operator.get(reverse("admin:sensors_sensor_changelist"), {"status": "down"}).content.decode()
    assert "boiler-1" in shown
    assert "boiler-1" not in listed(operator.get(reverse("admin:sensors_sensor_changelist"), {"status": "up"}))
    for model, query in (("config_revision", "state=superseded"), ("telemetry_rejectedmessage", "reason=schema")):
        assert operator.get(reverse(f"admin:{model}_changelist") + "?" + query).status_code == 200


def listed(response) -> str:
    return " ".join(str(row) for row in response.context["cl"].result_list)


@pytest.mark.parametrize("name", ["sensors_sensor", "config_revision", "alerts_alert", "sensors_auditentry"])
def test_lists_cost_the_same_for_many_rows(operator: Client, fleet, name: str):
    path = reverse(f"admin:{name}_changelist")
    operator.get(path)
    with CaptureQueriesContext(connection) as few:
        operator.get(path)
    for number in range(20):
        sensor = services.create_sensor(fleet.network, identifier=f"more-{number}")
        create_revision(sensor, values={}, author=fleet.owner, now=AT)
    with CaptureQueriesContext(connection) as many:
        operator.get(path)
    assert len(many) == len(few)


class TestRights:
    def test_who_is_not_staff_does_not_enter(self, client: Client, fleet):
        for path in ("/admin/", "/admin/sensors/sensor/", reverse("admin:telemetry_entries", args=["measurements"])):
            assert client.get(path).status_code == 302
        client.force_login(fleet.owner)
        for path in ("/admin/", "/admin/sensors/sensor/", reverse("admin:telemetry_entries", args=["measurements"])):
            response = client.get(path)
            assert (response.status_code, response.headers["Location"].split("?")[0]) == (302, "/admin/login/")

    def test_staff_without_rights_see_an_empty_house(self, client: Client, fleet):
        client.force_login(User.objects.create_user("clerk", is_staff=True))
        assert client.get("/admin/").status_code == 200
        for name, kind in pages():
            assert client.get(address(name, kind)).status_code == 403, (name, kind)
        for kind in ENTRIES:
            assert client.get(reverse("admin:telemetry_entries", args=[kind])).status_code == 403

    def test_a_right_opens_its_page_and_no_other(self, client: Client, fleet):
        clerk = User.objects.create_user("clerk", is_staff=True)
        clerk.user_permissions.add(*Permission.objects.filter(codename__in=["view_sensor", "view_measurement"]))
        client.force_login(clerk)
        assert client.get("/admin/sensors/sensor/").status_code == 200
        assert client.get(address("sensors_sensor", "change")).status_code == 200
        assert client.get(address("sensors_sensor", "delete")).status_code == 403
        assert client.post(address("sensors_sensor", "change"), {"name": "x"}).status_code == 403
        assert client.get(reverse("admin:telemetry_entries", args=["measurements"])).status_code == 200
        assert client.get(reverse("admin:telemetry_entries", args=["heartbeats"])).status_code == 403
        index = client.get("/admin/").content.decode()
        assert "/admin/sensors/sensor/" in index
        assert "/admin/alerts/rule/" not in index

    def test_staff_who_manage_users_give_nobody_more_rights(self, client: Client, fleet, superuser):
        clerk = User.objects.create_user("clerk", is_staff=True)
        names = ["view_user", "change_user", "add_user", "delete_user", "view_group", "change_group", "add_group"]
        clerk.user_permissions.add(*Permission.objects.filter(codename__in=names))
        client.force_login(clerk)
        everybody = [fleet.owner, clerk, superuser]
        for user in everybody:
            page = reverse("admin:sensors_user_change", args=[user.pk])
            rights = {"username": user.username, "is_active": "on", "is_staff": "on", "is_superuser": "on"}
            client.post(page, rights)
            user.refresh_from_db()
        assert [user.is_superuser for user in everybody] == [False, False, True]
        assert [user.is_staff for user in everybody] == [False, True, True]
        # A superuser's password would be all rights at once.
        for user in (superuser, clerk):
            path = f"/admin/sensors/user/{user.pk}/password/"
            client.post(
                path, {"password1": "taken-over-12345", "password2": "taken-over-12345", "usable_password": "true"}
            )
            user.refresh_from_db()
            assert not user.check_password("taken-over-12345")
            assert client.post(reverse("admin:sensors_user_delete", args=[user.pk]), {"post": "yes"}).status_code == 403
        client.post(
            "/admin/sensors/user/", {"action": "delete_selected", "_selected_action": superuser.pk, "post": "yes"}
        )
        assert User.objects.filter(pk=superuser.pk).exists()
        assert client.get(reverse("admin:auth_group_add")).status_code == 403


def test_no_page_shows_a_digest_of_a_token(operator: Client, fleet):
    digest = fleet.token.digest
    for kind in ("changelist", "change", "delete", "history"):
        html = operator.get(address("sensors_accesstoken", kind)).content.decode()
        assert digest not in html
        assert fleet.token.token_key not in html
    operator.post(address("sensors_accesstoken", "delete"), {"post": "yes"})
    assert not AccessToken.objects.filter(pk=digest).exists()
    for path in ("/admin/", "/admin/sensors/auditentry/"):
        assert digest not in operator.get(path).content.decode()


def test_what_sensors_sent_is_shown_and_not_run(operator: Client, fleet):
    html = operator.get(address("telemetry_rejectedmessage", "change")).content.decode()
    assert "<script>alert(" not in html
    assert r"\xff\x00&lt;script&gt;" in html
    html = operator.get(address("telemetry_rejectedmessage", "changelist")).content.decode()
    assert "measurements/&lt;b&gt;" in html
    assert "Boiler <1>" not in operator.get("/admin/sensors/sensor/").content.decode()


def test_the_build_of_alpine_that_is_served_is_the_published_one():
    served = Path(str(finders.find("unfold/js/alpine/alpine.js")))
    told = (served.parent / "README.md").read_text()
    assert f"`{hashlib.sha256(served.read_bytes()).hexdigest()}`" in told
