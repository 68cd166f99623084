"""Unsafe settings: each has its message, and no process starts with them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import override_settings

from fleet.checks import check_settings, refuse_unsafe_settings
from tests.live.web import ROOT

# DATABASES is only read here.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")

KEY = "k3Yr4nd0m-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-xyzABC"
DATABASE = {
    "ENGINE": "django.db.backends.postgresql",
    "USER": "fleet",
    "PASSWORD": "xF7sdf9Asd",
    "HOST": "db.example.org",
}

# As docker/env.example and docker/compose.yml make them.
PRODUCTION = {
    "FLEET_LOCAL": False,
    "FLEET_HTTPS": True,
    "DEBUG": False,
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": ["fleet.example.org"],
    "DATABASES": {"default": DATABASE},
    "REDIS_URL": "redis://:aSdlkj23489@redis.example.org:6379/0",
    "MQTT_URL": "mqtts://fleet-bridge:Sldkfj2398@mqtt.example.org",
    "CORS_ALLOWED_ORIGINS": ["https://desk.example.org"],
    "CSRF_TRUSTED_ORIGINS": ["https://*.example.org"],
    "METRICS_TOKEN": "",
    "MQTT_ACCOUNTS": "dynamic-security",
    "BROKER_AUTH_SECRET": "",
    "BROKER_LOGIN_THROTTLE": "10/min",
    "LIVE_RECHECK_S": 10,
}
LONG = "mqtts://fleet-bridge:Sldkfj2398Sldkfj2398@mqtt.example.org"
MAIL = {"MAIL_IS_CONFIGURED": True, "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend"}


def found(**changes: object) -> list[str]:
    with override_settings(**{**PRODUCTION, **changes}):
        return [message.id for message in check_settings(None)]


def test_production_settings_are_clean():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SECRET_KEY": ""}, "fleet.E001"),
        ({"SECRET_KEY": "short"}, "fleet.E001"),
        ({"SECRET_KEY": "x" * 60}, "fleet.E001"),
        ({"SECRET_KEY": "django-insecure-" + KEY}, "fleet.E001"),
        ({"DEBUG": True}, "fleet.E002"),
        ({"ALLOWED_HOSTS": []}, "fleet.E003"),
        ({"ALLOWED_HOSTS": ["fleet.example.org", "*"]}, "fleet.E003"),
        ({"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}, "fleet.E004"),
        ({"FLEET_HTTPS": False}, "fleet.W005"),
        ({"MQTT_URL": "mqtt.example.org"}, "fleet.E006"),
        ({"MQTT_URL": "http://a:b@mqtt.example.org"}, "fleet.E006"),
        ({"MQTT_URL": "mqtts://mqtt.example.org"}, "fleet.E007"),
        ({"MQTT_URL": "mqtts://fleet-bridge@mqtt.example.org"}, "fleet.E007"),
        ({"MQTT_URL": "mqtt://127.0.0.1"}, "fleet.E007"),
        ({"MQTT_URL": "mqtt://fleet-bridge:Sldkfj2398@mqtt.example.org"}, "fleet.W007"),
        ({"MQTT_URL": "mqtt://fleet-bridge:Sldkfj2398@10.0.0.7"}, "fleet.W007"),
        ({"MQTT_URL": "mqtts://fleet-bridge:Mosquitto@mqtt.example.org"}, "fleet.E008"),
        ({"MQTT_URL": "mqtts://bridge-x:bridge-x@mqtt.example.org"}, "fleet.E008"),
        ({"DATABASES": {"default": DATABASE | {"PASSWORD": "postgres"}}}, "fleet.E008"),
        ({"REDIS_URL": "redis://:redis@redis.example.org"}, "fleet.E008"),
        ({"REDIS_URL": "redis://redis.example.org"}, "fleet.W008"),
        ({"DATABASES": {"default": DATABASE | {"PASSWORD": ""}}}, "fleet.W009"),
        ({"CORS_ALLOWED_ORIGINS": ["*"]}, "fleet.E010"),
        ({"CORS_ALLOWED_ORIGINS": ["https://*"]}, "fleet.E010"),
        ({"CORS_ALLOW_ALL_ORIGINS": True}, "fleet.E010"),
        ({"CSRF_TRUSTED_ORIGINS": ["https://*"]}, "fleet.E010"),
        ({"MQTT_ACCOUNTS": "https"}, "fleet.E030"),
        ({"BROKER_AUTH_SECRET": "short"}, "fleet.E031"),
        ({"BROKER_AUTH_SECRET": "x" * 40}, "fleet.E031"),
        ({"MQTT_ACCOUNTS": "database"}, "fleet.E030"),
        ({"MQTT_ACCOUNTS": "http", "MQTT_URL": LONG}, "fleet.E032"),
        ({"MQTT_ACCOUNTS": "http", "BROKER_AUTH_SECRET": KEY}, "fleet.E035"),
        ({"BROKER_LOGIN_THROTTLE": "often"}, "fleet.E033"),
        ({"REST_FRAMEWORK": {"DEFAULT_THROTTLE_RATES": {"caller": "0/s"}}}, "fleet.E033"),
        ({"CLAIM_DAYS": 0}, "fleet.E034"),
        ({"LIVE_SOCKETS_PER_USER": 0}, "fleet.E034"),
        ({**MAIL, "DEFAULT_FROM_EMAIL": "fleet@localhost"}, "fleet.W034"),
        ({"METRICS_TOKEN": "short"}, "fleet.E011"),
        ({"LIVE_RECHECK_S": 20}, "fleet.E012"),
        ({"LIVE_RECHECK_S": 0}, "fleet.E012"),
        ({"PUBLIC_URL": "fleet.example.org"}, "fleet.E013"),
        ({"NOTIFICATION_KEYS": ["short"]}, "fleet.E014"),
        ({"NOTIFICATION_PRIVATE_TARGETS": ["10.0.0.0/99"]}, "fleet.E015"),
    ],
)
def test_each_unsafe_setting_has_its_message(changes: dict[str, object], code: str):
    assert found(**changes) == [code]


@pytest.mark.parametrize(
    "changes",
    [
        {"MQTT_URL": "mqtt://fleet-bridge:Sldkfj2398@mosquitto:1884"},
        {"MQTT_URL": "mqtt://fleet-bridge:Sldkfj2398@127.0.0.1"},
        {"REDIS_URL": "redis://valkey:6379/0"},
        {"DATABASES": {"default": DATABASE | {"PASSWORD": "", "HOST": "/run/postgresql"}}},
        {"METRICS_TOKEN": "a-token-of-enough-characters"},
        {**MAIL, "DEFAULT_FROM_EMAIL": "fleet@example.org"},
    ],
)
def test_what_stays_on_one_machine_is_let_pass(changes: dict[str, object]):
    assert found(**changes) == []


def test_the_local_stack_needs_a_key_and_nothing_else():
    local = {"FLEET_LOCAL": True, "FLEET_HTTPS": False, "DEBUG": True, "MQTT_URL": "mqtt://127.0.0.1:1883"}
    assert found(**local, DATABASES={"default": DATABASE | {"PASSWORD": ""}}, REDIS_URL="redis://127.0.0.1") == []
    assert found(**local, SECRET_KEY="") == ["fleet.E001"]
    assert found(**local, ALLOWED_HOSTS=["*"]) == ["fleet.W003"]


def test_each_check_has_a_row_in_its_page():
    codes = set(re.findall(r'id="(fleet\.[EW]\d+)"', (ROOT / "fleet" / "checks.py").read_text()))
    rows = set(re.findall(r"^\| (fleet\.[EW]\d+) \|", (ROOT / "docs" / "checks.md").read_text(), re.MULTILINE))
    assert rows == codes


def test_an_error_stops_the_process_and_a_warning_does_not(capsys):
    with override_settings(**PRODUCTION | {"FLEET_HTTPS": False}):
        refuse_unsafe_settings()
    with override_settings(**PRODUCTION | {"DEBUG": True, "ALLOWED_HOSTS": []}), pytest.raises(SystemExit) as ended:
        refuse_unsafe_settings()
    assert ended.value.code == os.EX_CONFIG
    error = capsys.readouterr().err
    assert "fleet.E002" in error
    assert "fleet.E003" in error


UNSAFE = {
    "FLEET_LOCAL": "0",
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": "*",
    "MQTT_URL": "mqtts://b:sdlkfj239@m.example.org",
    "DATABASE_URL": "postgres://fleet:xF7sdf9Asd@127.0.0.1:1/fleet",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "daphne", "-p", "1", "fleet.asgi:application"],
        ["-m", "celery", "-A", "fleet", "worker", "--pool", "threads"],
        ["-m", "celery", "-A", "fleet", "beat", "--schedule", "{folder}/beat.db"],
        ["manage.py", "bridge"],
    ],
    ids=["web", "worker", "beat", "bridge"],
)
def test_no_process_starts_with_unsafe_settings(command: list[str], tmp_path: Path):
    # Beat replaces whatever lies at its schedule's path; as root that would be a device as well.
    arguments = [part.format(folder=tmp_path) for part in command]
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **UNSAFE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "fleet.E003" in ended.stderr


@pytest.mark.parametrize(
    "environment", [{}, UNSAFE | {"ALLOWED_HOSTS": "fleet.example.org"}], ids=["local", "production"]
)
def test_deploy_checks_are_clean(environment: dict[str, str]):
    ended = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
