"""docker/compose.yml against the rules of the Compose specification, and against what this service needs."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.mqtt.address import BrokerAddress

from .compose import DOCKER, ENVIRONMENT, interpolate

PROCESSES = {"web", "bridge", "worker", "beat"}
ONE_SHOT = {"accounts", "certificates", "migrate"}
SERVERS = {"postgres", "valkey", "mosquitto"}
# The keys of the specification that are used here; one that is misspelt is in no list.
SERVICE_KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "env_file",
    "environment",
    "healthcheck",
    "image",
    "init",
    "logging",
    "mem_limit",
    "networks",
    "pids_limit",
    "ports",
    "read_only",
    "restart",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
}
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
DURATION = re.compile(r"(?:(\d+)m)?(?:(\d+)s)?")


def _seconds(duration: str) -> int:
    match = DURATION.fullmatch(duration)
    assert match, duration
    return int(match[1] or 0) * 60 + int(match[2] or 0)


def _mebibytes(size: str) -> int:
    match = re.fullmatch(r"(\d+)([mg])", size)
    assert match, size
    return int(match[1]) * (1024 if match[2] == "g" else 1)


# --- The specification ---------------------------------------------------------------------------


def test_only_known_keys_are_used(document: dict[str, Any], services: dict[str, Any]) -> None:
    assert {key for key in document if not key.startswith("x-")} == {"name", "services", "networks", "volumes"}
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        if "build" in service:
            assert set(service["build"]) == {"context", "dockerfile"}
        health = service["healthcheck"]
        assert health == {"disable": True} or set(health) == HEALTHCHECK_KEYS, name


def test_the_services_are_the_ones_that_the_architecture_names(services: dict[str, Any]) -> None:
    assert set(services) == PROCESSES | ONE_SHOT | SERVERS


def test_what_is_referred_to_exists(document: dict[str, Any], services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            condition = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert other in services, (name, other)
            assert how == {"condition": condition}, (name, other)
        assert set(service["networks"]) <= document["networks"].keys(), name
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            assert target.startswith("/")
            assert mode in ([], ["ro"])
            if source.startswith("."):
                assert (DOCKER / source).is_file(), source
            else:
                assert source in document["volumes"], source
    build = services["web"]["build"]
    assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert document["volumes"].keys() <= used


def test_nothing_waits_for_itself(services: dict[str, Any]) -> None:
    def needs(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, above
        for other in services[name].get("depends_on", {}):
            needs(other, (*above, name))

    for name in services:
        needs(name, ())


def test_every_variable_has_a_default_or_is_demanded_and_is_in_the_example(text: str) -> None:
    example = (DOCKER / "env.example").read_text()
    for name, operator in re.findall(r"(?<!\$)\$\{(\w+)(:[-?])?", text):
        assert operator, f"{name} would silently be empty"
        assert re.search(rf"^#?{name}=", example, re.MULTILINE), name
    # A dollar sign alone would be replaced by Compose before any shell sees it.
    assert not re.search(r"(?<!\$)\$(?![{$])", text)


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "REDIS_PASSWORD", "MQTT_PASSWORD"])
def test_without_a_secret_nothing_starts(text: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: run docker/make-env.sh"):
        interpolate(yaml.safe_load(text), ENVIRONMENT | {name: ""})


def test_a_parser_of_the_specification_accepts_the_file(document: dict[str, Any]) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    # A copy without shared parts: YAML's references are resolved before the parser sees them.
    plain = json.loads(json.dumps(document))
    compose_spec.PyCompose.from_json(json.dumps(plain))
    plain["services"]["web"]["healtcheck"] = {}
    with pytest.raises(ValueError, match="healtcheck"):
        compose_spec.PyCompose.from_json(json.dumps(plain))


def test_docker_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    shutil.copytree(DOCKER, tmp_path / "docker", ignore=shutil.ignore_patterns(".env"))
    (tmp_path / "docker/.env").write_text("".join(f"{name}={value}\n" for name, value in ENVIRONMENT.items()))
    command = [docker, "compose", "--file", str(tmp_path / "docker/compose.yml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == PROCESSES | ONE_SHOT | SERVERS


# --- Running for months --------------------------------------------------------------------------


def test_every_service_restarts_and_is_checked_and_the_one_shots_are_not(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name in ONE_SHOT:
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
            continue
        assert service["restart"] == "unless-stopped", name
        health = service["healthcheck"]
        assert health["test"][0] in ("CMD", "CMD-SHELL"), name
        assert _seconds(health["timeout"]) < _seconds(health["interval"]), name
        # Without a short interval at the start, those that wait for this one would wait for the long one.
        assert _seconds(health["start_interval"]) <= 2, name
        assert _seconds(health["start_period"]) >= 20, name


def test_each_process_has_time_to_end_in_good_order(services: dict[str, Any]) -> None:
    # The bridge ends within 10 s of SIGTERM; the servers write what they have.
    assert _seconds(services["bridge"]["stop_grace_period"]) >= 15
    assert _seconds(services["postgres"]["stop_grace_period"]) >= 60
    assert _seconds(services["mosquitto"]["stop_grace_period"]) >= 60
    for name in PROCESSES | SERVERS:
        assert "stop_grace_period" in services[name], name


def test_logs_and_memory_are_bounded(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name
        assert 128 <= _mebibytes(service["mem_limit"]) <= 2048, name


def test_what_must_stay_is_on_a_named_volume(services: dict[str, Any]) -> None:
    assert "postgres:/var/lib/postgresql" in services["postgres"]["volumes"]
    assert "mosquitto:/mosquitto/data" in services["mosquitto"]["volumes"]
    assert "beat:/var/lib/fleet/data" in services["beat"]["volumes"]
    assert services["beat"]["environment"]["FLEET_DATA_DIR"] == "/var/lib/fleet/data"


# --- Security ------------------------------------------------------------------------------------


def test_every_container_is_confined(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name
        if name in SERVERS:
            assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name


def test_images_are_pinned_to_a_release(services: dict[str, Any]) -> None:
    for name, service in services.items():
        image, _, tag = service["image"].partition(":")
        if name in SERVERS:
            assert re.match(r"\d+\.\d+", tag), service["image"]
        else:
            assert (image, tag) == ("fleet", "local")
    # One service builds it, the others run what was built.
    assert [name for name, service in services.items() if "build" in service] == ["web"]


def test_only_web_and_the_clients_listeners_are_published_and_by_default_on_loopback(
    services: dict[str, Any], text: str
) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "web": ["127.0.0.1:8000:8000"],
        "mosquitto": ["127.0.0.1:1883:1883", "127.0.0.1:8883:8883", "127.0.0.1:9001:9001"],
    }
    opened = interpolate(yaml.safe_load(text), ENVIRONMENT | {"FLEET_MQTT_HOST": "0.0.0.0"})["services"]
    # What has no TLS stays.
    assert opened["mosquitto"]["ports"] == ["127.0.0.1:1883:1883", "0.0.0.0:8883:8883", "0.0.0.0:9001:9001"]
    assert opened["web"]["ports"] == ["127.0.0.1:8000:8000"]


def test_database_and_valkey_are_on_the_network_without_a_way_out(
    document: dict[str, Any], services: dict[str, Any]
) -> None:
    assert document["networks"]["inner"] == {"internal": True}
    for name in ("postgres", "valkey", "bridge", "beat", "migrate", "accounts", "certificates"):
        assert services[name]["networks"] == ["inner"], name


def test_servers_get_their_own_secret_only(services: dict[str, Any]) -> None:
    for name, secrets in {"postgres": {"aa11"}, "valkey": {"bb22"}, "mosquitto": set()}.items():
        assert "env_file" not in services[name]
        given = json.dumps(services[name])
        assert {secret for secret in ("aa11", "bb22", "cc33") if secret in given} == secrets, name


# --- The parts fit together ----------------------------------------------------------------------


def test_the_addresses_name_the_services_and_their_secrets(services: dict[str, Any]) -> None:
    for name in PROCESSES | ONE_SHOT:
        environment = services[name]["environment"]
        assert services[name]["env_file"] == ".env"
        assert environment["DATABASE_URL"] == "postgres://fleet:aa11@postgres:5432/fleet"
        assert environment["REDIS_URL"] == "redis://:bb22@valkey:6379/0"
        broker = BrokerAddress.from_url(environment["MQTT_URL"])
        assert (broker.host, broker.username, broker.password) == ("mosquitto", "fleet-bridge", "cc33")
        # The listener that leaves client ids alone and is not published.
        listener = (DOCKER / "mosquitto/mosquitto.conf").read_text().split(f"listener {broker.port}\n")[1]
        assert "use_username_as_clientid" not in listener.split("\n\n")[0]


def test_accounts_are_written_by_the_brokers_user_where_the_broker_reads_them(services: dict[str, Any]) -> None:
    accounts, mosquitto = services["accounts"], services["mosquitto"]
    assert accounts["user"] == mosquitto["user"] == "1883:1883"
    assert accounts["command"] == ["manage", "mosquitto_accounts", "--write", "/var/lib/fleet/accounts"]
    assert accounts["volumes"] == ["accounts:/var/lib/fleet/accounts"]
    assert "accounts:/mosquitto/accounts" in mosquitto["volumes"]
    conf = (DOCKER / "mosquitto/mosquitto.conf").read_text()
    assert "password_file /mosquitto/accounts/passwords\n" in conf
    assert "acl_file /mosquitto/accounts/acl\n" in conf
    assert "plugin_opt_config_file /mosquitto/accounts/dynamic-security.json\n" in conf
    dockerfile = (DOCKER / "Dockerfile").read_text()
    assert "--owner 1883 --group 1883 --mode 0700 /var/lib/fleet/accounts" in dockerfile


def test_certificates_are_made_by_the_brokers_user_and_the_broker_cannot_reach_the_authoritys_key(
    services: dict[str, Any],
) -> None:
    certificates, mosquitto = services["certificates"], services["mosquitto"]
    assert certificates["user"] == mosquitto["user"]
    folder = "/var/lib/fleet/certificates"
    assert certificates["command"] == ["manage", "certificates", "--folder", folder]
    assert certificates["volumes"] == [f"certificates:{folder}", f"authority:{folder}/authority"]
    assert "certificates:/mosquitto/certificates:ro" in mosquitto["volumes"]
    with_authority = {
        name for name, service in services.items() if any("authority:" in each for each in service.get("volumes", []))
    }
    assert with_authority == {"certificates"}
    dockerfile = (DOCKER / "Dockerfile").read_text()
    for each in (folder, f"{folder}/authority"):
        assert f"--owner 1883 --group 1883 --mode 0700 {each}" in dockerfile


def test_every_published_port_beyond_the_loopback_is_a_listener_with_tls(text: str) -> None:
    opened = interpolate(yaml.safe_load(text), ENVIRONMENT | {"FLEET_MQTT_HOST": "0.0.0.0"})["services"]
    outside = {port.split(":")[-1] for port in opened["mosquitto"]["ports"] if not port.startswith("127.0.0.1:")}
    blocks = re.findall(
        r"^listener (\d+)\n((?:.+\n)*)", (DOCKER / "mosquitto/mosquitto.conf").read_text(), re.MULTILINE
    )
    with_tls = {port for port, lines in blocks if "\ncertfile " in lines and "\nkeyfile " in lines}
    assert outside == with_tls == {"8883", "9001"}
    assert {port for port, _ in blocks} - with_tls == {"1883", "1884"}
