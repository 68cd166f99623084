"""Where the dashboard tells people to connect a sensor."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from sensors.models import User

pytestmark = pytest.mark.django_db


def shown(host: str) -> dict[str, Any]:
    client = Client(headers={"host": host})
    client.force_login(User.objects.get_or_create(username="reader")[0])
    page = client.get("/", secure=True).content.decode()
    found = re.search(r'<script[^>]* id="viewer"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found is not None
    address: dict[str, Any] = json.loads(found[1])["mqtt"]
    return address


def test_in_production_it_is_the_published_port_with_tls_and_never_the_bridge_s(settings: Any) -> None:
    settings.FLEET_LOCAL, settings.ALLOWED_HOSTS = False, ["fleet.example.org"]
    settings.MQTT_URL = "mqtt://fleet-bridge:secret@mosquitto:1884"
    assert shown("fleet.example.org:8443") == {"host": "fleet.example.org", "port": 8883, "tls": True, "login": True}
    for host in ("[2001:db8::1]", "[2001:db8::1]:8443"):
        settings.ALLOWED_HOSTS = ["[2001:db8::1]"]
        assert shown(host)["host"] == "2001:db8::1"
    settings.ALLOWED_HOSTS = ["fleet.example.org"]
    settings.MQTT_TLS_PORT = 18883
    assert shown("fleet.example.org")["port"] == 18883


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [("mqtt://b:c@127.0.0.1:2883", 2883, False), ("mqtt://127.0.0.1", 1883, False), ("mqtts://127.0.0.1", 8883, True)],
)
def test_locally_it_is_the_broker_s_own_address(settings: Any, url: str, port: int, tls: bool) -> None:
    settings.FLEET_LOCAL, settings.ALLOWED_HOSTS, settings.MQTT_URL = True, ["127.0.0.1"], url
    assert shown("127.0.0.1:8000") == {"host": "127.0.0.1", "port": port, "tls": tls, "login": False}
