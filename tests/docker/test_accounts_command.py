"""`manage.py mosquitto_accounts`: what it prints, and which sensors it takes."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from fleet.mqtt.accounts import password_matches, read_passwords
from sensors.models import Network, Sensor

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mqtt_url(settings: Any) -> None:
    settings.MQTT_URL = "mqtt://fleet-bridge:p%40ss@mosquitto:1884"


@pytest.fixture
def sensors() -> None:
    network = Network.objects.create(slug="plant", name="Plant")
    for identifier in ("boiler", "freezer"):
        Sensor.objects.create(identifier=identifier, network=network)


def _run(directory: Path, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("mosquitto_accounts", "--write", str(directory), *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_without_sensors_it_makes_the_bridges_account_and_prints_no_secret(tmp_path: Path) -> None:
    out, err = _run(tmp_path)
    assert out == ""
    assert "SIGHUP" in err
    assert password_matches("p@ss", stored=read_passwords(tmp_path)["fleet-bridge"])
    assert "user fleet-bridge\n" in (tmp_path / "acl").read_text()
    assert "up to date" in _run(tmp_path)[1]


@pytest.mark.usefixtures("sensors")
def test_a_new_secret_is_printed_once_and_is_the_one_that_was_written(tmp_path: Path) -> None:
    out, _ = _run(tmp_path, "--sensor", "boiler")
    username, secret = out.split()
    assert username == "boiler"
    assert password_matches(secret, stored=read_passwords(tmp_path)["boiler"])
    out, err = _run(tmp_path, "--sensor", "boiler")
    assert out == ""
    assert "--rotate" in err


@pytest.mark.usefixtures("sensors")
def test_all_means_every_sensor_that_has_no_account_and_json_says_the_same(tmp_path: Path) -> None:
    _run(tmp_path, "--sensor", "boiler")
    out, _ = _run(tmp_path, "--all", "--json")
    (login,) = json.loads(out)
    assert login["username"] == "freezer"
    assert password_matches(login["password"], stored=read_passwords(tmp_path)["freezer"])
    assert json.loads(_run(tmp_path, "--all", "--json")[0]) == []
    rotated = json.loads(_run(tmp_path, "--all", "--rotate", "--json")[0])
    assert [entry["username"] for entry in rotated] == ["boiler", "freezer"]


@pytest.mark.usefixtures("sensors")
def test_a_sensor_named_like_the_bridge_gets_no_account(tmp_path: Path) -> None:
    Sensor.objects.create(identifier="fleet-bridge", network=Network.objects.get())
    out, err = _run(tmp_path, "--all", "--json")
    assert [entry["username"] for entry in json.loads(out)] == ["boiler", "freezer"]
    assert "fleet-bridge" in err
    with pytest.raises(CommandError, match="bridge's own"):
        _run(tmp_path, "--sensor", "fleet-bridge")
    assert password_matches("p@ss", stored=read_passwords(tmp_path)["fleet-bridge"])


@pytest.mark.usefixtures("sensors")
def test_a_removed_account_is_gone(tmp_path: Path) -> None:
    _run(tmp_path, "--all")
    _, err = _run(tmp_path, "--remove", "boiler")
    assert "boiler" in err
    assert read_passwords(tmp_path).keys() == {"fleet-bridge", "freezer"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sensor", "boiler"), "no such sensor: boiler"),
        (("--remove", "boiler"), "no account to remove: boiler"),
        (("--rotate",), "--rotate needs"),
    ],
)
def test_a_mistake_is_refused_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        _run(tmp_path / "accounts", *arguments)
    assert not (tmp_path / "accounts").exists()


@pytest.mark.parametrize("url", ["mqtt://mosquitto:1884", "mqtt://fleet-bridge@mosquitto", "http://a:b@c"])
def test_an_address_without_the_bridges_login_is_refused(tmp_path: Path, settings: Any, url: str) -> None:
    settings.MQTT_URL = url
    with pytest.raises(CommandError, match="MQTT_URL"):
        _run(tmp_path / "accounts")
