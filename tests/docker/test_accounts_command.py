"""`manage.py mosquitto_accounts`: what it writes and prints."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleet.mqtt.accounts import PLUGIN_NAME, read_passwords
from sensors.secrets import HashedSecret
from sensors.services import create_network, create_sensor, issue_credential, revoke_credential

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mqtt_url(settings: Any) -> None:
    settings.MQTT_URL = "mqtt://fleet-bridge:p%40ss@mosquitto:1884"


def _run(directory: Path, *arguments: str) -> str:
    out = io.StringIO()
    call_command("mosquitto_accounts", "--write", str(directory), *arguments, stdout=out)
    return out.getvalue()


def test_it_makes_the_bridges_account_and_an_empty_file_for_the_plugin(tmp_path: Path) -> None:
    assert "start mosquitto" in _run(tmp_path)
    assert HashedSecret.parse(read_passwords(tmp_path)["fleet-bridge"]).matches("p@ss")
    assert "user fleet-bridge\n" in (tmp_path / "acl").read_text()
    assert json.loads((tmp_path / PLUGIN_NAME).read_text())["clients"] == []
    assert "up to date" in _run(tmp_path)
    (tmp_path / "acl").unlink()
    assert "SIGHUP" in _run(tmp_path)


def test_rebuild_writes_the_accounts_of_all_who_have_a_credential(tmp_path: Path) -> None:
    network = create_network(slug="plant", owner=None)
    now = datetime.now(UTC)
    boiler, freezer, _ = (create_sensor(network, identifier=name) for name in ("boiler", "freezer", "pump"))
    for sensor in (boiler, freezer):
        issue_credential(sensor, author=None, now=now)
    revoke_credential(freezer, author=None, now=now)
    _run(tmp_path)
    assert json.loads(_run(tmp_path, "--rebuild", "--json")) == {"reload": False, "restart": True, "accounts": 1}
    [client] = json.loads((tmp_path / PLUGIN_NAME).read_text())["clients"]
    assert (client["username"], client["clientid"]) == ("boiler", "boiler")
    assert json.loads(_run(tmp_path, "--rebuild", "--json")) == {"reload": False, "restart": False, "accounts": 1}


@pytest.mark.parametrize("url", ["mqtt://mosquitto:1884", "mqtt://fleet-bridge@mosquitto", "http://a:b@c"])
def test_an_address_without_the_bridges_login_is_refused(tmp_path: Path, settings: Any, url: str) -> None:
    settings.MQTT_URL = url
    with pytest.raises(CommandError, match="MQTT_URL"):
        _run(tmp_path / "new")
    assert not (tmp_path / "new").exists()
