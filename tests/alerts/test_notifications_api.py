"""Notification targets and notifications over HTTP and in the admin; their addresses are shown nowhere."""

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from alerts.delivery import keys
from alerts.models import Notification, NotificationTarget
from alerts.services import targets as target_services
from sensors.models import AuditEntry
from tests.alerts.making import deliver, feed, make_sensor, make_target, make_threshold
from tests.api.callers import listed

pytestmark = pytest.mark.django_db
SLACK = "slack://T0FLEET00/B0FLEET00/aBcDeFgHiJkLmNoPqRsTuVwX/"
LISTED = "/admin/alerts/notificationtarget/"
SECRETS = ("T0FLEET00", "B0FLEET00", "aBcDeFgHiJkLmNoPqRsTuVwX", "gAAAA")


def body(world, **changes):
    fields = {"name": "Duty", "network": world.network.slug, "url": SLACK, **changes}
    return {name: value for name, value in fields.items() if value is not ...}


def told_in(world, receiver):
    """Return a target that was told of an alert."""
    target = make_target(world.network, receiver.url(), name="Hook")
    make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)], now_s=1)
    deliver(11)
    return target


# --- Targets ------------------------------------------------------------------------------------------


def test_a_target_is_made_and_shown_without_its_address(world):
    answer = world.operator.post("notification-targets/", body(world))
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert world.viewer.get(f"notification-targets/{shown['id']}/").json() == shown
    assert listed(world.viewer, "notification-targets/") == [shown]
    for name in ("created_at", "updated_at", "url_changed_at"):
        assert shown.pop(name).endswith("Z")
    assert shown.pop("id") == NotificationTarget.objects.get().pk
    assert shown == {
        "network": world.network.slug,
        "name": "Duty",
        "address": "slack://…",
        "enabled": True,
        "least_severity": "info",
        "tell_resolved": True,
        "group_wait_s": 10,
        "repeat_interval_s": None,
        "escalate_after_s": None,
        "last_sent_at": None,
        "last_failed_at": None,
        "last_error": "",
        "retry_at": None,
        "created_by": world.operator.user.username,
    }
    assert keys.decrypt(NotificationTarget.objects.get().encrypted_url) == SLACK


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ...}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"network": "nowhere"}, "network"),
        ({"network": ...}, "network"),
        ({"url": ...}, "url"),
        ({"url": ""}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://example.org/"}, "url"),
        ({"url": "syslog://"}, "url"),
        ({"url": "json://127.0.0.1/x"}, "url"),
        ({"url": "json://[::ffff:169.254.169.254]/x"}, "url"),
        ({"url": SLACK + "?template=/etc/passwd"}, "url"),
        ({"least_severity": "fatal"}, "least_severity"),
        ({"tell_resolved": "perhaps"}, "tell_resolved"),
        ({"group_wait_s": None}, "group_wait_s"),
        ({"group_wait_s": -1}, "group_wait_s"),
        ({"group_wait_s": 3601}, "group_wait_s"),
        ({"group_wait_s": "5"}, "group_wait_s"),
        ({"repeat_interval_s": 59}, "repeat_interval_s"),
        ({"escalate_after_s": 0}, "escalate_after_s"),
        ({"escalate_after_s": 1.5}, "escalate_after_s"),
        ({"address": "slack://…"}, "address"),
        ({"last_error": ""}, "last_error"),
        ({"encrypted_url": "x"}, "encrypted_url"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(world, changes, field):
    answer = world.operator.post("notification-targets/", body(world, **changes))
    assert answer.status_code == 400
    assert field in answer.json()
    assert not any(secret in answer.content.decode() for secret in SECRETS)
    assert NotificationTarget.objects.count() == 0


def test_a_name_is_given_once_in_a_network(world):
    assert world.operator.post("notification-targets/", body(world)).status_code == 201
    assert world.operator.post("notification-targets/", body(world)).json().keys() == {"name"}
    assert world.staff.post("notification-targets/", body(world, network=world.elsewhere.slug)).status_code == 201


def test_a_network_has_so_many_targets_and_no_more(world, monkeypatch):
    monkeypatch.setattr(target_services, "MAX_TARGETS_PER_NETWORK", 1)
    assert world.operator.post("notification-targets/", body(world)).status_code == 201
    assert world.operator.post("notification-targets/", body(world, name="Other")).status_code == 409


def test_a_target_is_changed_and_deleted(world):
    made = world.operator.post("notification-targets/", body(world)).json()
    path = f"notification-targets/{made['id']}/"
    changes = {"name": "Night", "least_severity": "critical", "repeat_interval_s": 600, "network": world.network.slug}
    shown = world.operator.patch(path, changes).json()
    assert {name: shown[name] for name in changes} == changes
    assert (shown["address"], shown["url_changed_at"]) == ("slack://…", made["url_changed_at"])
    assert keys.decrypt(NotificationTarget.objects.get().encrypted_url) == SLACK
    shown = world.operator.patch(path, {"url": "tgram://123456789:AbCdEfGhIjKlMnOpQrStUvWxYz012345678/12345"}).json()
    assert (shown["address"], shown["url_changed_at"] > made["url_changed_at"]) == ("tgram://…", True)
    assert world.operator.patch(path, {"network": world.elsewhere.slug}).json().keys() == {"network"}
    assert world.operator.patch(path, {"url": "json://10.0.0.1/"}).json().keys() == {"url"}
    assert world.operator.delete(path).status_code == 204
    assert world.operator.get(path).status_code == 404


def test_access_to_targets(world):
    made = world.operator.post("notification-targets/", body(world)).json()
    path = f"notification-targets/{made['id']}/"

    def statuses(caller):
        return [
            caller.get(path).status_code,
            caller.patch(path, {"name": "x"}).status_code,
            caller.post(f"{path}test/").status_code,
            caller.delete(path).status_code,
            caller.post("notification-targets/", body(world, name="Other")).status_code,
        ]

    assert statuses(world.nobody) == [401] * 5
    assert statuses(world.stranger) == [404, 404, 404, 404, 400]
    assert statuses(world.viewer) == [200, 403, 403, 403, 403]
    assert listed(world.stranger, "notification-targets/") == []
    assert [row["name"] for row in listed(world.staff, "notification-targets/")] == ["Duty"]


def test_a_test_message_is_sent_and_what_became_of_it_is_said(world, receiver):
    target = make_target(world.network, receiver.url())
    path = f"notification-targets/{target.pk}/test/"
    assert world.operator.post(path, {"text": "x"}).json().keys() == {"text"}
    answer = world.operator.post(path)
    assert (answer.status_code, answer.json()) == (200, {"sent": True, "error": ""})
    assert receiver.titles() == [f"{world.network.name}: a test"]
    assert world.operator.post(path).status_code == 409
    NotificationTarget.objects.update(tested_at=timezone.now() - timedelta(seconds=11))
    receiver.status = 403
    expected = {"sent": False, "error": "The server answered with the status 403."}
    assert world.operator.post(path).json() == expected
    shown = world.viewer.get(f"notification-targets/{target.pk}/").json()
    assert (shown["last_error"], shown["last_failed_at"] > shown["last_sent_at"]) == (expected["error"], True)
    assert Notification.objects.count() == 0


# --- Notifications ------------------------------------------------------------------------------------


def test_what_was_told_is_shown(world, receiver):
    target = told_in(world, receiver)
    row = Notification.objects.get()
    (shown,) = listed(world.viewer, "notifications/")
    assert world.viewer.get(f"notifications/{row.pk}/").json() == shown
    assert shown == {
        "id": row.pk,
        "network": world.network.slug,
        "alert": row.alert_id,
        "rule_name": "Hot",
        "sensor": world.sensor.identifier,
        "gateway": None,
        "target": target.pk,
        "target_name": "Hook",
        "event": "firing",
        "number": 0,
        "state": "sent",
        "created_at": "2026-03-01T12:00:01Z",
        "due_at": "2026-03-01T12:00:11Z",
        "sent_at": "2026-03-01T12:00:11Z",
        "attempts": 1,
        "last_error": "",
    }
    assert listed(world.stranger, "notifications/") == []
    assert world.stranger.get(f"notifications/{row.pk}/").status_code == 404
    assert world.nobody.get("notifications/").status_code == 401
    for verb in (world.operator.post, world.operator.patch, world.operator.delete):
        assert verb(f"notifications/{row.pk}/").status_code == 405


def test_notifications_are_filtered(world, receiver):
    target = told_in(world, receiver)
    row = Notification.objects.get()
    for query, count in [
        ({}, 1),
        ({"alert": row.alert_id}, 1),
        ({"alert": row.alert_id + 1}, 0),
        ({"target": target.pk}, 1),
        ({"target": target.pk + 1}, 0),
        ({"state": "sent"}, 1),
        ({"state": ["waiting", "failed", "dropped"]}, 0),
        ({"event": "firing"}, 1),
        ({"event": "resolved"}, 0),
        ({"network": world.network.slug}, 1),
        ({"network": world.elsewhere.slug}, 0),
    ]:
        assert len(listed(world.viewer, "notifications/", **query)) == count, query
    for query in ("state=lost", "event=x", "alert=x", "colour=red"):
        assert world.viewer.get(f"notifications/?{query}").status_code == 400, query
    assert len(listed(world.viewer, "notification-targets/", enabled="true", network=world.network.slug)) == 1
    assert listed(world.viewer, "notification-targets/", enabled="false") == []
    assert [row["name"] for row in listed(world.viewer, "notification-targets/", search="hoo")] == ["Hook"]
    assert listed(world.viewer, "notification-targets/", search="mail") == []


@pytest.mark.parametrize("path", ["notifications/", "notification-targets/"])
def test_a_list_costs_the_same_queries_for_1_and_20_rows(world, path):
    make_threshold(world.network)

    def grow(count):
        for _ in range(count):
            make_target(world.network, SLACK)
            feed(make_sensor(world.network), [(1, 51.0)], now_s=1)

    def cost():
        with CaptureQueriesContext(connection) as captured:
            assert listed(world.viewer, path)
        return len(captured)

    grow(1)
    few = cost()
    grow(19)
    assert len(listed(world.viewer, path)) >= 20
    assert cost() == few


# --- Secrets ------------------------------------------------------------------------------------------


def test_neither_the_api_nor_the_admin_nor_the_history_shows_an_address(world, client):
    made = world.operator.post("notification-targets/", body(world)).json()
    pk = made["id"]
    other = SLACK.replace("T0", "T1")
    answers = [
        world.operator.get("notification-targets/").content,
        world.operator.get(f"notification-targets/{pk}/").content,
        world.operator.patch(f"notification-targets/{pk}/", {"url": other}).content,
        world.operator.patch(f"notification-targets/{pk}/", {"name": "Night"}).content,
        world.operator.get("/api/schema/").content,
    ]
    client.force_login(get_user_model().objects.create_superuser("root"))
    pages = [client.get(reverse("admin:alerts_notificationtarget_changelist"))]
    pages += [
        client.get(reverse(f"admin:alerts_notificationtarget_{page}", args=[pk]))
        for page in ("change", "history", "delete")
    ]
    pages.append(client.get(reverse("admin:sensors_auditentry_changelist")))
    assert [page.status_code for page in pages] == [200] * 5
    entries = AuditEntry.objects.get_for_object(NotificationTarget.objects.get())
    answers += [page.content for page in pages] + [json.dumps([entry.changes for entry in entries]).encode()]
    secrets = (*SECRETS, "T1FLEET00")
    assert [secret for secret in secrets for answer in answers if secret in answer.decode()] == []
    # That the address was changed, and by whom, is recorded all the same.
    changed = [entry for entry in entries if "url_changed_at" in entry.changes and entry.action == entry.Action.UPDATE]
    assert [entry.actor for entry in changed] == [world.operator.user]


def test_a_delivery_leaves_no_history(world, receiver):
    target = make_target(world.network, receiver.url())
    before = AuditEntry.objects.count()
    make_threshold(world.network, enabled=False)
    rules = AuditEntry.objects.count() - before
    make_threshold(world.network)
    feed(world.sensor, [(1, 51.0)], now_s=1)
    deliver(11)
    world.operator.post(f"notification-targets/{target.pk}/test/")
    assert AuditEntry.objects.count() == before + 2 * rules


# --- The admin ----------------------------------------------------------------------------------------


def form(world, **changes):
    return {
        "network": world.network.pk, "name": "Duty", "url": SLACK, "least_severity": "info", "tell_resolved": "on",
        "group_wait_s": "10", "repeat_interval_s": "", "escalate_after_s": "", "enabled": "on", **changes,
    }  # fmt: skip


def test_a_target_is_made_and_changed_in_the_admin(world, client):
    client.force_login(get_user_model().objects.create_superuser("root"))
    add = reverse("admin:alerts_notificationtarget_add")
    for changes, field in [
        ({"url": ""}, "url"),
        ({"url": "json://127.0.0.1/"}, "url"),
        ({"name": ""}, "name"),
        ({"group_wait_s": "4000"}, "group_wait_s"),
        ({"repeat_interval_s": "5"}, "repeat_interval_s"),
    ]:
        answer = client.post(add, form(world, **changes))
        assert answer.status_code == 200
        assert list(answer.context["adminform"].form.errors) == [field]
        assert "aBcDeFgHiJkLmNoPqRsTuVwX" not in answer.content.decode()
    assert client.post(add, form(world)).status_code == 302
    target = NotificationTarget.objects.get()
    assert (keys.decrypt(target.encrypted_url), target.scheme, target.created_by.username) == (SLACK, "slack", "root")
    change = reverse("admin:alerts_notificationtarget_change", args=[target.pk])
    assert client.post(change, form(world, url="", name="Night", repeat_interval_s="600")).status_code == 302
    target.refresh_from_db()
    assert (target.name, target.repeat_interval_s, keys.decrypt(target.encrypted_url)) == ("Night", 600, SLACK)
    assert client.post(change, form(world, url=SLACK.replace("T0", "T1"))).status_code == 302
    target.refresh_from_db()
    assert keys.decrypt(target.encrypted_url) == SLACK.replace("T0", "T1")
    assert client.post(reverse("admin:alerts_notificationtarget_delete", args=[target.pk]), {"post": "yes"})
    assert NotificationTarget.objects.count() == 0


def test_the_admin_shows_what_deliveries_wrote_once_there_can_be_any(world, client):
    client.force_login(get_user_model().objects.create_superuser("root"))
    target = make_target(world.network, SLACK)
    NotificationTarget.objects.update(last_failed_at=timezone.now(), last_error="No.", retry_at=timezone.now())

    def shown(page):
        return {name for fieldset in page.context["adminform"] for name in fieldset.fields}

    written = {"address", "address_set_at", "last_sent_at", "last_failed_at", "last_error", "retry_at"}
    new = client.get(reverse("admin:alerts_notificationtarget_add"))
    assert (shown(new) & written, new.context["adminform"].form["url"].label) == (set(), "Address")
    made = client.get(reverse("admin:alerts_notificationtarget_change", args=[target.pk]))
    assert shown(made) == shown(new) | written
    assert made.context["adminform"].form["url"].label == "New address"
    (row,) = re.findall("<tbody.*?</tbody>", client.get(LISTED).content.decode(), re.DOTALL)
    assert "failed" in row
    assert "No." in row


def test_a_test_message_is_sent_from_the_admin(world, client, receiver):
    client.force_login(get_user_model().objects.create_superuser("root"))
    target = make_target(world.network, receiver.url())
    receiver.status = 500
    data = {"action": "send_test", "_selected_action": [target.pk]}
    said = []
    for _ in range(2):
        answer = client.post(reverse("admin:alerts_notificationtarget_changelist"), data, follow=True)
        said += [str(message) for message in answer.context["messages"]]
    assert said == [
        f"{target.name}: The server answered with the status 500.",
        f"{target.name}: It is tested already; try again in 10 s.",
    ]
    assert len(receiver.messages) == 1
