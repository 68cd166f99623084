"""What the admin's forms do: they go through the services, and say beside the field what is wrong."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse

from alerts.models import Alert, Rule, Silence
from config.models import Revision
from sensors import services
from sensors.models import AuditEntry, Gateway, Invitation, Membership, Network, Role, Sensor, SensorTombstone, User

SENSOR = {"identifier": "pump-7", "name": "", "labels": '{"floor": 1}', "period_s": "60", "grace_s": "30"}
RULE = {
    "name": "cold", "kind": "threshold", "severity": "warning", "enabled": "on", "scope": "network", "labels": "{}",
    "attribute": "t", "above": "", "below": "5", "hysteresis": "0", "for_s": "0", "keep_firing_s": "0",
    "period_s": "", "grace_s": "", "share": "1",
}  # fmt: skip
NO_MEMBERS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def post(client: Client, name: str, data: dict, *, pk: object = None):
    path = reverse(f"admin:{name}_add") if pk is None else reverse(f"admin:{name}_change", args=[pk])
    return client.post(path, data)


def errors(response) -> dict[str, list[str]]:
    assert response.status_code == 200, response.headers
    return dict(response.context["adminform"].form.errors)


class TestSensors:
    def test_one_is_made_and_logged_with_its_author(self, operator, fleet, superuser):
        response = post(operator, "sensors_sensor", SENSOR | {"network": fleet.network.pk})
        assert response.status_code == 302
        sensor = Sensor.objects.get(identifier="pump-7")
        assert (sensor.labels, sensor.period_s) == ({"floor": 1}, 60)
        entry = AuditEntry.objects.filter(object_repr="pump-7").latest("id")
        assert (entry.actor, entry.action) == (superuser, AuditEntry.Action.CREATE)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"identifier": "has space"}, "identifier"),
            ({"identifier": "boiler-1"}, "identifier"),
            ({"identifier": "a\x00b"}, "identifier"),
            ({"labels": "[1]"}, "labels"),
            ({"labels": '{"a": {"b": 1}}'}, "labels"),
            ({"labels": '{"a": NaN}'}, "labels"),
            ({"labels": "{"}, "labels"),
            ({"period_s": "0"}, "period_s"),
            ({"period_s": "999999999"}, "period_s"),
            ({"network": ""}, "network"),
        ],
    )
    def test_what_is_wrong_stands_beside_its_field(self, operator, fleet, change, field):
        before = Sensor.objects.count()
        response = post(operator, "sensors_sensor", SENSOR | {"network": fleet.network.pk} | change)
        assert list(errors(response)) == [field]
        assert Sensor.objects.count() == before

    def test_a_gateway_of_another_network_is_refused(self, operator, fleet):
        other = Network.objects.create(slug="other", name="Other")
        response = post(operator, "sensors_sensor", SENSOR | {"network": other.pk, "gateway": fleet.gateway.pk})
        assert list(errors(response)) == ["gateway"]

    def test_identifier_and_network_stay_what_they_are(self, operator, fleet):
        other = Network.objects.create(slug="other", name="Other")
        change = SENSOR | {"identifier": "renamed", "network": other.pk, "name": "New name"}
        assert post(operator, "sensors_sensor", change, pk=fleet.sensor.pk).status_code == 302
        fleet.sensor.refresh_from_db()
        assert (fleet.sensor.identifier, fleet.sensor.network, fleet.sensor.name) == (
            "boiler-1",
            fleet.network,
            "New name",
        )

    def test_deleting_asks_counts_and_leaves_a_tombstone(self, operator, fleet):
        path = reverse("admin:sensors_sensor_delete", args=[fleet.sensor.pk])
        html = operator.get(path).content.decode()
        assert "Boiler &lt;1&gt;" in html
        assert Sensor.objects.filter(pk=fleet.sensor.pk).exists()
        assert operator.post(path, {"post": "yes"}).status_code == 302
        assert not Sensor.objects.filter(pk=fleet.sensor.pk).exists()
        assert not Revision.objects.exists()
        assert SensorTombstone.objects.filter(identifier="boiler-1").exists()

    def test_many_are_deleted_at_once(self, operator, fleet):
        data = {"action": "delete_selected", "_selected_action": [fleet.sensor.pk]}
        assert operator.post("/admin/sensors/sensor/", data).status_code == 200
        assert operator.post("/admin/sensors/sensor/", data | {"post": "yes"}).status_code == 302
        assert SensorTombstone.objects.filter(identifier="boiler-1").count() == 1


SILENCE = {"interval_attribute": "every", "interval_factor": "2.5", "new_sensors": "alert", "new_after_s": "600"}


class TestNetworks:
    def test_who_owns_it_no_more_has_invited_nobody(self, operator, fleet):
        heir = User.objects.create_user("heir")
        services.set_member(fleet.network, user=heir, role=Role.OWNER)
        services.create_invitation(fleet.network, role="owner", author=fleet.owner, now=datetime.now(UTC))
        members = list(Membership.objects.filter(network=fleet.network))
        forms = {"memberships-TOTAL_FORMS": len(members), "memberships-INITIAL_FORMS": len(members)}
        for number, member in enumerate(members):
            forms |= {
                f"memberships-{number}-id": member.pk,
                f"memberships-{number}-network": fleet.network.pk,
                f"memberships-{number}-user": member.user_id,
                f"memberships-{number}-role": "operator" if member.user == fleet.owner else member.role,
            }
        response = post(operator, "sensors_network", {"name": "Plant", **SILENCE, **forms}, pk=fleet.network.pk)
        assert response.status_code == 302, errors(response)
        assert Membership.objects.get(user=fleet.owner).role == Role.OPERATOR
        assert Invitation.objects.get().revoked_at is not None

    def test_one_is_made_with_its_members(self, operator, fleet):
        data = {
            "slug": "roof", "name": "Roof", "retention_days": "30", **SILENCE,
            "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0",
            "memberships-0-user": fleet.owner.pk, "memberships-0-role": "owner",
        }  # fmt: skip
        assert post(operator, "sensors_network", data).status_code == 302
        network = Network.objects.get(slug="roof")
        assert (network.retention_days, network.interval_attribute, network.new_after_s) == (30, "every", 600)
        assert [(one.user, one.role) for one in network.memberships.all()] == [(fleet.owner, "owner")]

    def test_the_last_owner_stays(self, operator, fleet):
        member = Membership.objects.get(user=fleet.owner)
        data = {
            "slug": "x", "name": "Plant", "retention_days": "", **SILENCE,
            "memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1", "memberships-0-id": member.pk,
            "memberships-0-network": fleet.network.pk, "memberships-0-user": fleet.owner.pk,
        }  # fmt: skip
        for change in ({"memberships-0-role": "viewer"}, {"memberships-0-role": "owner", "memberships-0-DELETE": "on"}):
            response = post(operator, "sensors_network", data | change, pk=fleet.network.pk)
            assert response.status_code == 200
            assert "without an owner" in response.content.decode()
        member.refresh_from_db()
        assert member.role == "owner"

    def test_deleting_one_counts_what_goes_with_it(self, operator, fleet):
        now = datetime.now(UTC)
        services.create_invitation(fleet.network, role="viewer", author=None, now=now)
        _, code = services.create_claim_code(fleet.network, name="Delivery", days=1, author=None, now=now)
        for name in ("s-1", "s-2"):
            services.present_claim(code, identifier=name, proof="a proof of the admin's tests", now=now)
        path = reverse("admin:sensors_network_delete", args=[fleet.network.pk])
        page = operator.get(path)
        assert "boiler" not in page.content.decode()
        assert dict(page.context["model_count"]) == {
            "networks": 1, "sensors": 1, "gateways": 1, "memberships": 2, "invitations": 1, "claim codes": 1,
            "claims": 2,
        }  # fmt: skip
        assert operator.post(path, {"post": "yes"}).status_code == 302
        assert not Sensor.objects.exists()
        assert not Alert.objects.exists()

    def test_a_gateway_is_made_and_renamed(self, operator, fleet):
        data = {"identifier": "gate-2", "network": fleet.network.pk, "name": ""}
        assert post(operator, "sensors_gateway", data).status_code == 302
        gateway = Gateway.objects.get(identifier="gate-2")
        assert post(operator, "sensors_gateway", {"name": "North"}, pk=gateway.pk).status_code == 302
        gateway.refresh_from_db()
        assert gateway.name == "North"
        assert list(errors(post(operator, "sensors_gateway", data))) == ["identifier"]


class TestRevisions:
    def test_the_form_starts_from_the_newest(self, operator, fleet):
        response = operator.get(reverse("admin:config_revision_add"), {"sensor": fleet.sensor.pk})
        form = response.context["adminform"].form
        assert form.initial["values"] == {"interval_s": 6, "mode": "eco"}
        assert form.initial["expected_revision"] == 1
        response = operator.get(reverse("admin:config_revision_add"), {"sensor": fleet.sensor.pk, "from": "0"})
        form = response.context["adminform"].form
        assert (form.initial["values"]["interval_s"], form.initial["comment"]) == (5, "Restored from revision 0")

    def test_one_is_made_with_the_next_number_and_its_author(self, operator, fleet, superuser):
        data = {"sensor": fleet.sensor.pk, "values": '{"interval_s": 9}', "comment": "slower", "expected_revision": "1"}
        response = post(operator, "config_revision", data)
        assert response.status_code == 302
        revision = Revision.objects.get(number=2)
        assert (revision.values, revision.comment, revision.created_by) == ({"interval_s": 9}, "slower", superuser)

    @pytest.mark.parametrize(
        "values", ["", "{", "[]", '"a"', '{"a": [1]}', '{"a": NaN}', '{"a": 1e999}', '{"a": "\\u0000"}']
    )
    def test_what_is_no_flat_object_is_refused(self, operator, fleet, values):
        data = {"sensor": fleet.sensor.pk, "values": values, "comment": "", "expected_revision": "1"}
        assert list(errors(post(operator, "config_revision", data))) == ["values"]
        assert Revision.objects.count() == 2

    def test_who_was_slower_is_told(self, operator, fleet):
        data = {"sensor": fleet.sensor.pk, "values": "{}", "comment": "", "expected_revision": "0"}
        messages = str(errors(post(operator, "config_revision", data)))
        assert "revision 1" in messages
        assert Revision.objects.count() == 2

    def test_one_that_is_made_is_shown_with_its_changes_and_not_changed(self, operator, fleet):
        html = operator.get(reverse("admin:config_revision_change", args=[fleet.revision.pk])).content.decode()
        assert "interval_s" in html
        assert "changed" in html
        response = post(operator, "config_revision", {"values": "{}", "comment": "x"}, pk=fleet.revision.pk)
        assert response.status_code == 403


class TestRulesAndAlerts:
    def test_a_rule_is_made_changed_and_deleted(self, operator, fleet, superuser):
        assert post(operator, "alerts_rule", RULE | {"network": fleet.network.pk}).status_code == 302
        rule = Rule.objects.get(name="cold")
        assert (rule.below, rule.above, rule.created_by) == (5, None, superuser)
        change = RULE | {"below": "6", "scope": "sensors", "sensors": [fleet.sensor.pk]}
        assert post(operator, "alerts_rule", change, pk=rule.pk).status_code == 302
        rule.refresh_from_db()
        assert (rule.below, rule.scope, list(rule.sensors.all())) == (6, "sensors", [fleet.sensor])
        path = reverse("admin:alerts_rule_delete", args=[fleet.rule.pk])
        assert operator.post(path, {"post": "yes"}).status_code == 302
        fleet.alert.refresh_from_db()
        assert (fleet.alert.state, fleet.alert.resolution) == ("resolved", "rule_deleted")

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"attribute": ""}, "attribute"),
            ({"below": ""}, "above"),
            ({"above": "1"}, "below"),
            ({"hysteresis": "-1"}, "hysteresis"),
            ({"period_s": "5"}, "period_s"),
            ({"scope": "sensors"}, "sensors"),
            ({"scope": "labels"}, "labels"),
        ],
    )
    def test_what_is_wrong_with_a_rule_stands_beside_its_field(self, operator, fleet, change, field):
        response = post(operator, "alerts_rule", RULE | {"network": fleet.network.pk} | change)
        assert list(errors(response)) == [field]
        assert Rule.objects.count() == 1

    @pytest.mark.parametrize(("action", "state"), [("acknowledge", "firing"), ("resolve", "resolved")])
    def test_alerts_are_handled_from_the_list(self, operator, fleet, superuser, action, state):
        data = {"action": action, "_selected_action": [fleet.alert.pk]}
        assert operator.post("/admin/alerts/alert/", data).status_code == 302
        fleet.alert.refresh_from_db()
        assert fleet.alert.state == state
        assert (fleet.alert.acknowledged_by == superuser) is (action == "acknowledge")
        # Again: resolved is resolved, and that is said rather than raised.
        assert operator.post("/admin/alerts/alert/", data).status_code == 302

    def test_who_only_looks_does_not_handle(self, client, fleet):
        clerk = User.objects.create_user("clerk", is_staff=True)
        clerk.user_permissions.add(Permission.objects.get(codename="view_alert"))
        client.force_login(clerk)
        assert client.get("/admin/alerts/alert/").status_code == 200
        client.post("/admin/alerts/alert/", {"action": "resolve", "_selected_action": [fleet.alert.pk]})
        fleet.alert.refresh_from_db()
        assert fleet.alert.state == "firing"

    def test_a_silence_is_made_and_ended(self, operator, fleet, superuser):
        now = datetime.now(UTC)
        data = {
            "matchers": json.dumps({"sensor": "boiler-1"}), "comment": "repair",
            "starts_at_0": f"{now:%Y-%m-%d}", "starts_at_1": f"{now:%H:%M:%S}",
            "ends_at_0": f"{now + timedelta(days=1):%Y-%m-%d}", "ends_at_1": "12:00:00",
        }  # fmt: skip
        assert post(operator, "alerts_silence", data).status_code == 302
        silence = Silence.objects.get(comment="repair")
        assert (silence.network, silence.created_by) == (fleet.network, superuser)
        assert list(errors(post(operator, "alerts_silence", data | {"matchers": '{"sensor": "nobody"}'}))) == [
            "matchers"
        ]
        assert list(errors(post(operator, "alerts_silence", data | {"ends_at_0": "2020-01-01"}))) == ["ends_at"]
        later = data | {"comment": "done"}
        assert post(operator, "alerts_silence", later, pk=silence.pk).status_code == 302
        silence.refresh_from_db()
        assert silence.comment == "done"


class TestEntries:
    @pytest.fixture
    def measured(self, fleet):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO telemetry_measurement (sensor_id, measured_at, digest, received_at, revision, value)"
                " SELECT %s, '2025-06-01 12:00:00+00'::timestamptz + (i / 2) * interval '1 second', i - 120,"
                " now(), 0, jsonb_build_object('i', i) FROM generate_series(0, 249) AS i",
                [fleet.sensor.pk],
            )
        return fleet.sensor

    def seen(self, response) -> list[int]:
        return [json.loads(row[3])["i"] for row in response.context["page"].rows]

    def test_pages_go_on_where_the_last_ended(self, operator, measured):
        path = reverse("admin:telemetry_entries", args=["measurements"]) + "?sensor=boiler-1"
        seen, lengths = [], []
        while path:
            response = operator.get(path)
            page = self.seen(response)
            seen += page
            lengths.append(len(page))
            path = response.context["older"] if response.context["page"].older else ""
        assert lengths == [100, 100, 50]
        assert seen == list(range(249, -1, -1))

    def test_a_range_is_in_utc_and_its_end_is_open(self, operator, measured):
        path = reverse("admin:telemetry_entries", args=["measurements"])
        query = {"sensor": "boiler-1", "start": "2025-06-01T12:00:10", "end": "2025-06-01T12:00:12"}
        assert self.seen(operator.get(path, query)) == [23, 22, 21, 20]
