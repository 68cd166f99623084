"""Sensors' credentials in the admin: issued, rotated and revoked, each after a question."""

import base64
import csv
import io
import re

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from sensors import services
from sensors.admin_credentials import MOST
from sensors.models import Sensor, SensorCredential
from sensors.services.credentials import hashed_secrets


def act(client, name, *sensors, confirmed=True):
    data = {"action": name, "_selected_action": [sensor.pk for sensor in sensors]}
    return client.post(reverse("admin:sensors_sensor_changelist"), data | ({"confirmed": "yes"} if confirmed else {}))


def logins_in(page):
    """Return the logins of the file that the page offers; they are those that it shows."""
    text = page.content.decode()
    [file] = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]+)" download="credentials.csv"', text)
    rows = list(csv.DictReader(io.StringIO(base64.b64decode(file).decode())))
    shown = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    assert shown == [row[name] for row in rows for name in ("username", "client_id", "password")]
    return rows


def test_new_logins_are_shown_and_a_file_after_a_question_and_the_next_ones_end_them(operator, fleet):
    other = services.create_sensor(fleet.network, identifier="boiler-2")
    page = act(operator, "issue_credentials", fleet.sensor, other, confirmed=False)
    assert "Issue new credentials to these sensors?" in page.content.decode()
    assert not SensorCredential.objects.exists()
    answers = [act(operator, "issue_credentials", fleet.sensor, other) for _ in range(2)]
    assert "no-store" in answers[0]["Cache-Control"]
    assert "2 new credentials: done" in answers[0].content.decode()
    assert "confirmed" not in answers[0].content.decode()
    first, second = map(logins_in, answers)
    assert [row["username"] for row in first] == [row["client_id"] for row in second] == ["boiler-1", "boiler-2"]
    hashes = hashed_secrets()
    assert all(hashes[row["username"]].matches(row["password"]) for row in second)
    assert not any(hashes[row["username"]].matches(row["password"]) for row in first)


def test_as_many_as_may_be_chosen_are_done_and_one_more_is_not(operator, fleet):
    Sensor.objects.bulk_create(
        [Sensor(identifier=f"s-{number}", network=fleet.network) for number in range(MOST - Sensor.objects.count())]
    )
    across = {"action": "issue_credentials", "select_across": "1", "_selected_action": [fleet.sensor.pk]}
    path = reverse("admin:sensors_sensor_changelist")
    page = operator.post(path, across).content.decode()
    # What a browser sends of the page, with the token that a test needs not.
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
    names = {name for name, _ in fields}
    data = {name: [value for other, value in fields if other == name] for name in names}
    assert len(data["_selected_action"]) == MOST
    assert operator.post(path, {**data, "csrfmiddlewaretoken": "x"}).status_code == 200
    assert SensorCredential.objects.count() == MOST
    services.create_sensor(fleet.network, identifier="one-more")
    answer = operator.get(operator.post(path, across)["Location"])
    assert "More than 900 at once take" in answer.content.decode()


def test_they_are_revoked_after_a_question_and_who_has_none_is_passed_over(operator, fleet):
    other = services.create_sensor(fleet.network, identifier="boiler-2")
    act(operator, "issue_credentials", fleet.sensor)
    page = act(operator, "revoke_credentials", fleet.sensor, other, confirmed=False)
    assert "Revoke the credentials" in page.content.decode()
    assert hashed_secrets().keys() == {"boiler-1"}
    answer = operator.get(act(operator, "revoke_credentials", fleet.sensor, other)["Location"])
    assert "1 of 2 had a credential, which is revoked." in answer.content.decode()
    assert not hashed_secrets()


def test_a_login_of_the_service_is_refused_with_the_reason(operator, fleet):
    other = services.create_sensor(fleet.network, identifier="sensor")
    answer = operator.get(act(operator, "issue_credentials", fleet.sensor, other)["Location"])
    assert "is a login of the service itself" in answer.content.decode()
    assert not SensorCredential.objects.exists()


@pytest.mark.parametrize("name", ["issue_credentials", "revoke_credentials"])
def test_who_may_only_look_has_no_such_action(client, fleet, django_user_model, name):
    looker = django_user_model.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_sensor"))
    services.issue_credential(fleet.sensor, author=None, now=fleet.sensor.created_at)
    before = SensorCredential.objects.values().get()
    client.force_login(looker)
    act(client, name, fleet.sensor)
    assert SensorCredential.objects.values().get() == before
