"""Taking rejected messages in again from the admin's list."""

import json
from types import SimpleNamespace

from django.test import Client

from fleet.adminsite import rejected as page
from telemetry.models import Measurement, RejectedMessage
from tests.admin.conftest import AT

LIST = "/admin/telemetry/rejectedmessage/"


def run(client: Client, *numbers: int) -> str:
    body = {"action": "reingest", "_selected_action": numbers, "index": 0, "select_across": 0}
    return client.post(LIST, body, follow=True).content.decode()


def test_the_chosen_messages_are_taken_in_again(operator: Client, fleet: SimpleNamespace) -> None:
    entries = [{"revision": 0, "timestamp": AT.timestamp(), "value": {"t": 1}}]
    payload = json.dumps({"measurements": entries}).encode()
    good = RejectedMessage.objects.create(
        topic="measurements/boiler-1", digest=bytes(16), reason="unknown_sensor", detail="", first_at=AT, last_at=AT,
        payload=payload, payload_bytes=len(payload),
    )  # fmt: skip
    stays = RejectedMessage.objects.create(
        topic="measurements/nobody", digest=bytes(16), reason="unknown_sensor", detail="", first_at=AT, last_at=AT,
        payload=payload, payload_bytes=len(payload),
    )  # fmt: skip

    html = run(operator, good.pk, stays.pk, fleet.rejected.pk)

    assert "1 of 3 went in again, with 1 new entries. 1 refused as unknown_sensor. 1 were not kept whole" in html
    assert Measurement.objects.get(sensor_id=fleet.sensor.pk).value == {"t": 1}
    assert {row.pk for row in RejectedMessage.objects.all()} == {stays.pk, fleet.rejected.pk}


def test_too_many_at_once_are_left_to_the_command(operator: Client, fleet: SimpleNamespace, monkeypatch) -> None:
    monkeypatch.setattr(page, "MOST", 0)

    assert "manage.py reingest_rejected" in run(operator, fleet.rejected.pk)
    assert RejectedMessage.objects.count() == 1
